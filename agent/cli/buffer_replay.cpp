// `penstock buffer replay`: sends what a set-aside or copied buffer holds, under its own numbers.
#include <fmt/format.h>
#include <poll.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <filesystem>

#include "agent/base/log.hpp"
#include "agent/cli/buffer_frame.hpp"
#include "agent/cli/configuration.hpp"
#include "agent/cli/human.hpp"
#include "agent/cli/logging.hpp"
#include "agent/daemon/exit_code.hpp"
#include "agent/daemon/json_line.hpp"
#include "agent/daemon/room_options.hpp"
#include "agent/daemon/signals.hpp"
#include "agent/daemon/store_opening.hpp"
#include "agent/forward/forwarder.hpp"
#include "buffer/store.hpp"

namespace penstock::cli {
namespace {

namespace fs = std::filesystem;

constexpr int look_every_ms = 50;
constexpr std::chrono::milliseconds goodbye_time{1500};

struct ReplayOptions {
  std::string dir;
  std::string give_up = "60s";
  bool is_dry_run = false;
};

enum class Ending { sent, interrupted, gave_up };

/// Sends until nothing is left, a signal comes, or nothing goes on. What was acknowledged is taken
/// out by commits without rows.
class Replay {
 public:
  Replay(buffer::Store& store, forward::Forwarder& forwarder, daemon::Signals& signals,
         std::chrono::microseconds give_up)
      : store_(store), forwarder_(forwarder), signals_(signals), give_up_us_(give_up.count()) {}

  Ending run(ProgressBar& bar) {
    const std::uint64_t total = store_.stats().rows;
    std::uint64_t left = total;
    std::int64_t progress_us = system_clock().steady_us();
    forwarder_.start();
    Ending ending = Ending::sent;
    while (left > 0) {
      pollfd waited{signals_.fd(), POLLIN, 0};
      if (::poll(&waited, 1, look_every_ms) > 0 && is_stop_asked()) {
        ending = Ending::interrupted;
        break;
      }
      trim();
      const std::int64_t now_us = system_clock().steady_us();
      const std::uint64_t before = std::exchange(left, store_.stats().rows);
      if (left != before) progress_us = now_us;
      bar.update(total - std::min(left, total), total);
      if (now_us - progress_us > give_up_us_) {
        ending = Ending::gave_up;
        break;
      }
    }
    stats_ = forwarder_.stats();
    forwarder_.request_stop(goodbye_time);
    forwarder_.join();
    trim();
    return ending;
  }
  /// Of the disk: why acknowledged rows could not be taken out. "": they could.
  const std::string& error() const { return error_; }
  /// When run() ended, before the connection did.
  const forward::ForwardStats& stats() const { return stats_; }

 private:
  bool is_stop_asked() {
    bool is_asked = false;
    while (const auto signal = signals_.next()) is_asked = is_asked || *signal != SIGHUP;
    return is_asked;
  }
  void trim() {
    if (!store_.has_pending_trims()) return;
    const auto done = store_.commit({});
    error_ = done.ok() ? std::string() : done.error().text;
  }

  buffer::Store& store_;
  forward::Forwarder& forwarder_;
  daemon::Signals& signals_;
  const std::int64_t give_up_us_;
  std::string error_;
  forward::ForwardStats stats_;
};

/// As the agent would send them, but beside it: its session, status and last will stay its own.
forward::ForwardOptions replay_options(const config::AgentConfig& config,
                                       const buffer::StoreStats& stats) {
  forward::ForwardOptions options = daemon::forward_options(config, *config.upstream, "");
  options.device = stats.device;
  options.client_id = client_id_of(options, "-replay-" + stats.epoch);
  options.tells_status = false;
  return options;
}

void show(const Globals& globals, const fs::path& dir, const buffer::StoreStats& before,
          const buffer::StoreStats& after, bool is_dry_run) {
  if (globals.is_json) {
    print(daemon::JsonLine()
              .boolean("dry_run", is_dry_run)
              .text("path", dir.string())
              .text("device", before.device)
              .text("epoch", before.epoch)
              .number("events", before.events)
              .number("rows", before.rows)
              .number("left_events", after.events)
              .number("left_rows", after.rows)
              .take());
    return;
  }
  const std::string whose =
      fmt::format("of device {}, epoch {}", penstock::quoted(before.device), before.epoch);
  if (is_dry_run) {
    print(fmt::format("would send {} events in {} rows, {}", human_count(before.events),
                      human_count(before.rows), whose));
    return;
  }
  print(fmt::format("sent {} of {} events, {}",
                    human_count(before.events - std::min(after.events, before.events)),
                    human_count(before.events), whose));
  if (after.rows == 0) print(fmt::format("{} is empty now and may be removed", dir.string()));
}

/// Who has not answered, where nothing else is known to be wrong.
std::string silent_one(const forward::ForwardStats& stats) {
  if (stats.receivers.empty() || stats.acknowledged_events <= stats.verified_events) {
    return "the broker does not acknowledge";
  }
  std::string names;
  for (const auto& receiver : stats.receivers) {
    names += fmt::format("{}{}", names.empty() ? "" : ", ", penstock::quoted(receiver.name));
  }
  return fmt::format("the broker has the events, but not every receiver says so: {}", names);
}

int tell_ending(Ending ending, const buffer::StoreStats& left, const Replay& replay) {
  if (ending == Ending::sent) return daemon::exit_ok;
  const forward::ForwardStats& stats = replay.stats();
  std::string why = "stopped";
  if (ending == Ending::gave_up) {
    const bool is_parked = stats.parked_streams > 0;
    why = !replay.error().empty() ? replay.error()
          : is_parked
              ? fmt::format("the broker refuses {} streams: {}", stats.parked_streams,
                            stats.parked.empty() ? std::string() : stats.parked.front().reason)
          : !stats.last_error.empty() ? stats.last_error
                                      : silent_one(stats);
  }
  complain(fmt::format("{}; {} rows are left: the same command goes on with them", why, left.rows));
  return daemon::exit_try_again;
}

Result<std::unique_ptr<buffer::Store>> open_whole(const fs::path& dir, std::uint64_t max_size) {
  buffer::StoreOptions options;  // no device: nothing is made or begun anew
  options.path = dir;
  std::error_code unknown;
  const std::uintmax_t size = fs::file_size(dir / "buffer.mdb", unknown);
  // Taking rows out needs free pages: the map must not be smaller than the file.
  options.max_size = std::max(max_size, unknown ? 0 : std::uint64_t{size});
  options.preallocate = false;
  buffer::OpenReport report;
  return buffer::Store::open(options, report);
}

int send(const Globals& globals, const fs::path& dir, const config::AgentConfig& config,
         buffer::Store& store, std::chrono::microseconds give_up) {
  const buffer::StoreStats before = store.stats();
  Result<daemon::Signals> signals = daemon::Signals::take_over();
  if (!signals.ok()) {
    complain(signals.error().text);
    return daemon::exit_internal;
  }
  auto forwarder = forward::Forwarder::make(replay_options(config, before), store);
  if (!forwarder.ok()) {
    complain(forwarder.error().text);
    return daemon::exit_config;
  }
  Replay replay(store, **forwarder, *signals, give_up);
  ProgressBar bar(globals, "replay");
  const Ending ending = replay.run(bar);
  bar.clear();
  const buffer::StoreStats after = store.stats();
  show(globals, dir, before, after, false);
  return tell_ending(ending, after, replay);
}

int run(const BufferFrame& frame, const ReplayOptions& options) {
  const auto give_up = parse_duration(options.give_up);
  if (!give_up || give_up->count() == 0) {
    complain(fmt::format("--give-up-after {} is no duration: write 30s, 5m or 500ms",
                         penstock::quoted(options.give_up)));
    return daemon::exit_usage;
  }
  Configuration configuration(frame.globals);
  if (!configuration.load_or_complain()) return configuration.exit_code();
  const config::AgentConfig& config = configuration.loaded().values;
  if (!config.upstream) {
    complain("the configuration has no upstream to send to");
    return daemon::exit_config;
  }
  set_up_logging_for(frame.globals, "warn");
  const fs::path dir = options.dir;
  std::error_code failed;
  if (!fs::exists(dir / "buffer.mdb", failed)) {
    complain(fmt::format("there is no buffer at {}", penstock::quoted(dir.string())));
    return daemon::exit_unavailable;
  }
  if (daemon::is_buffer_held(dir)) {
    complain(fmt::format("a process is using {}: an agent sends what it holds by itself",
                         penstock::quoted(dir.string())));
    return daemon::exit_try_again;
  }
  auto store = open_whole(dir, config.buffer.max_size);
  if (!store.ok()) {
    complain(store.error().text);
    if (store.error().code == Errc::corrupt) {
      complain(fmt::format("penstock buffer salvage {} saves the events that can still be read",
                           dir.string()));
    }
    return daemon::exit_code_of_open(dir, store.error());
  }
  int code = daemon::exit_ok;
  const buffer::StoreStats stats = (*store)->stats();
  if (config.upstream->has_one_topic && stats.device != config.agent.id) {
    complain(fmt::format("the buffer is of device {}, and this upstream takes data of {} alone",
                         penstock::quoted(stats.device), penstock::quoted(config.agent.id)));
    code = daemon::exit_config;
  } else if (options.is_dry_run) {
    show(frame.globals, dir, stats, stats, true);
  } else {
    code = send(frame.globals, dir, config, **store, *give_up);
  }
  (*store)->close();
  return finish_output(code);
}

}  // namespace

void add_buffer_replay(CLI::App& parent, std::shared_ptr<BufferFrame> frame) {
  auto options = std::make_shared<ReplayOptions>();  // shared with the callback
  CLI::App* command = parent.add_subcommand(
      "replay", "Send what a set-aside or copied buffer holds, under its own numbers");
  command->add_option("DIR", options->dir, "directory of the buffer")->required();
  command->add_flag("--dry-run", options->is_dry_run, "only say what would be sent");
  command
      ->add_option("--give-up-after", options->give_up,
                   "end when nothing was acknowledged for so long; exit code 75")
      ->type_name("TIME")
      ->capture_default_str();
  command->footer(
      "Goes to the upstream of the configuration, beside a running agent too: with a client id of "
      "its own,\nand without a status message. What the broker has acknowledged is taken out of "
      "DIR, so that the same\ncommand goes on after an interruption. Receivers know the events by "
      "device, epoch and number: what\nthey have already is a repeat to them.\n\n"
      "Example:\n  penstock buffer replay /var/lib/penstock/buffer/previous-9f3c2a7e-1");
  command->callback([options, frame] { frame->exit_code = run(*frame, *options); });
}

}  // namespace penstock::cli
