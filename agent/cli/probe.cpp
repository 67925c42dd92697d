// `penstock probe NAME`: runs one connector of the configuration alone and shows its events.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <thread>

#include "agent/base/log.hpp"
#include "agent/base/text.hpp"
#include "agent/base/unique_fd.hpp"
#include "agent/cli/commands.hpp"
#include "agent/cli/configuration.hpp"
#include "agent/cli/human.hpp"
#include "agent/cli/logging.hpp"
#include "agent/cli/probe_session.hpp"
#include "agent/cli/terminal.hpp"
#include "agent/daemon/exit_code.hpp"

namespace penstock::cli {
namespace {

constexpr int stop_grace_ms = 5000;

struct ProbeOptions {
  std::string name;
  std::uint64_t count_max = 10;
  std::string run_for = "30s";
};

daemon::BuiltConnector* find_connector(Configuration& configuration, const std::string& name) {
  std::vector<std::string_view> names;
  for (daemon::BuiltConnector& built : configuration.connectors()) {
    if (built.entry->name == name) return &built;
    names.push_back(built.entry->name);
  }
  const std::string_view near = nearest(std::string_view(name), names);
  complain(fmt::format("there is no connector {} in {}; {}", penstock::quoted(name),
                       penstock::quoted(configuration.file().string()),
                       near.empty() ? fmt::format("there are: {}", fmt::join(names, " "))
                                    : fmt::format("did you mean \"{}\"?", near)));
  return nullptr;
}

/// Readable on SIGINT and SIGTERM, which are blocked from here on.
UniqueFd open_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGINT);
  ::sigaddset(&set, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  return UniqueFd(::signalfd(-1, &set, SFD_CLOEXEC));
}

struct Outcome {
  Result<void> result;
  bool is_in_time = true;
};

/// The connector on a thread of its own, until it ends, a signal comes or the time is over.
Outcome run_alone(connectors::Connector& connector, ProbeSession& session,
                  std::chrono::microseconds run_for) {
  const UniqueFd signals = open_signals();
  UniqueFd ended[2];
  int ends[2];
  Outcome outcome;
  if (::pipe2(ends, O_CLOEXEC) != 0) return {errno_error("pipe"), true};
  ended[0].reset(ends[0]);
  ended[1].reset(ends[1]);
  std::thread thread([&] {
    outcome.result = connector.run(session);
    ended[1].reset();
  });
  pollfd waited[] = {{ended[0].get(), POLLIN, 0}, {signals.get(), POLLIN, 0}};
  const int timeout_ms = static_cast<int>(
      std::min<std::int64_t>(run_for.count() / 1000, std::numeric_limits<int>::max()));
  outcome.is_in_time = ::poll(waited, 2, timeout_ms) != 0;
  session.request_stop();
  if (::poll(waited, 1, stop_grace_ms) == 0) {
    complain("the connector does not stop; leaving it");
    std::fflush(stdout);
    ::_exit(daemon::exit_internal);
  }
  thread.join();
  return outcome;
}

int probe(const Globals& globals, const ProbeOptions& options) {
  const auto run_for = parse_duration(options.run_for);
  if (!run_for || run_for->count() == 0) {
    complain(fmt::format("--for {} is no duration: write 30s, 5m or 500ms",
                         penstock::quoted(options.run_for)));
    return daemon::exit_usage;
  }
  Configuration configuration(globals);
  if (!configuration.load_or_complain()) return configuration.exit_code();
  daemon::BuiltConnector* found = find_connector(configuration, options.name);
  if (found == nullptr) return daemon::exit_usage;
  set_up_logging_for(globals, "warn");
  ProbeSession session(options.name, options.count_max, [&](const auto& chunk, const auto& event) {
    print(globals.is_json ? event_for_programs(chunk, event) : event_for_people(chunk, event));
    std::fflush(stdout);
  });
  const Outcome outcome = run_alone(*found->connector, session, *run_for);
  if (session.shown_count() >= options.count_max) return finish_output(daemon::exit_ok);
  if (!outcome.result.ok() && outcome.result.error().code != Errc::stopped) {
    complain(fmt::format("{}: {}", options.name, outcome.result.error().text));
    const bool is_invalid = outcome.result.error().code == Errc::invalid;
    return finish_output(is_invalid ? daemon::exit_config : daemon::exit_unavailable);
  }
  if (!outcome.is_in_time) {
    complain(fmt::format("{} of {} events within {}", session.shown_count(), options.count_max,
                         options.run_for));
    return finish_output(daemon::exit_try_again);
  }
  return finish_output(daemon::exit_ok);
}

}  // namespace

void add_probe_command(CLI::App& app, const Globals& globals, int& exit_code) {
  auto options = std::make_shared<ProbeOptions>();  // shared with the callback
  CLI::App* command =
      app.add_subcommand("probe", "Run one connector alone and show what it yields");
  command->add_option("NAME", options->name, "as in the configuration")->required();
  command->add_option("-n,--count", options->count_max, "end after so many events")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1'000'000'000}))
      ->capture_default_str();
  command
      ->add_option("--for", options->run_for, "end after this time; exit code 75 if too few came")
      ->capture_default_str();
  command->footer(
      "Opens neither the buffer nor a connection to a broker; the source is read as if for the "
      "first\n"
      "time.\n\nExample:\n  penstock probe host -n 3 -c penstock.yaml");
  command->callback([options, &globals, &exit_code] { exit_code = probe(globals, *options); });
}

}  // namespace penstock::cli
