#include "agent/daemon/agent.hpp"

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <thread>

#include "agent/daemon/buffer_commands.hpp"
#include "agent/daemon/exit_code.hpp"
#include "agent/daemon/machine.hpp"
#include "agent/daemon/room_options.hpp"
#include "agent/daemon/status_report.hpp"
#include "agent/daemon/store_opening.hpp"
#include "buffer/crash_marker.hpp"

namespace penstock::daemon {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

constexpr milliseconds lock_patience{5'000};
constexpr milliseconds lock_poll{50};

void tell_upstream(pipeline::AgentEvents& events, const forward::UpstreamChange& change) {
  using Kind = forward::UpstreamChange::Kind;
  const std::string_view broker = change.broker;
  const std::string_view reason = change.reason;
  switch (change.kind) {
    case Kind::connected:
      events.emit("upstream", {{"state", std::string_view("connected")},
                               {"broker", broker},
                               {"protocol", to_string(change.protocol)}});
      break;
    case Kind::lost:
      events.emit("upstream",
                  {{"state", std::string_view("lost")}, {"broker", broker}, {"error", reason}});
      break;
    case Kind::stream_parked:
      events.emit(
          "stream_parked",
          {{"name", std::string_view(change.stream)}, {"broker", broker}, {"error", reason}});
      break;
    case Kind::stream_returned:
      events.emit("stream_returned", {{"name", std::string_view(change.stream)}});
      break;
    case Kind::certificate_ends:
      events.emit("certificate_ends", {{"days_left", change.days_left}});
      break;
    case Kind::receiver_silent:
      events.emit("receiver_silent", {{"name", std::string_view(change.receiver)}});
      break;
    case Kind::receiver_back:
      events.emit("receiver_back", {{"name", std::string_view(change.receiver)}});
      break;
  }
}

int exit_code_of_listen(const Error& error) {
  if (error.code == Errc::full) return exit_try_again;
  return error.code == Errc::invalid ? exit_usage : exit_cannot_create;
}

}  // namespace

Agent::Agent(const config::LoadedConfig& config)
    : config_(config),
      boot_(boot_id()),
      started_steady_us_(system_clock().steady_us()),
      damage_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Agent::~Agent() = default;

StartError Agent::open(std::vector<BuiltConnector> connectors, const fs::path& socket) {
  StartError error = open_rest(std::move(connectors), socket);
  if (error.exit_code != exit_ok) {
    sessions_.clear();
    forwarder_.reset();
    intake_.reset();
    store_->close();
  }
  return error;
}

StartError Agent::open_rest(std::vector<BuiltConnector> connectors, const fs::path& socket) {
  if (StartError error = open_control(socket); error.exit_code != exit_ok) return error;
  intake_ = std::make_unique<pipeline::Intake>(intake_options(config_.values, boot_), *store_);
  news_ = std::make_unique<ConnectorNews>(intake_->agent_events());
  if (StartError error = open_forwarder(); error.exit_code != exit_ok) return error;
  return open_sessions(std::move(connectors));
}

StartError Agent::open_store() {
  const fs::path& path = config_.values.buffer.path;
  // Without it a crash in the store only costs a shorter check at the next start.
  if (const auto marked = buffer::mark_crashes_in(path); !marked.ok()) {
    log_.warn("event=buffer_warning text={}", penstock::quoted(marked.error().text));
  }
  open_report_ = {};
  auto store = buffer::Store::open(store_options(config_.values), open_report_);
  // A tool that reads a closed buffer is soon done; it must not keep the agent from starting.
  for (milliseconds waited{0}; !store.ok() && is_buffer_held(path) && waited < lock_patience;
       waited += lock_poll) {
    std::this_thread::sleep_for(lock_poll);
    open_report_ = {};
    store = buffer::Store::open(store_options(config_.values), open_report_);
  }
  if (store.ok()) {
    store_ = std::move(store).value();
    store_->on_damaged([fd = damage_fd_.get()] { ::eventfd_write(fd, 1); });
    return {};
  }
  return {exit_code_of_open(path, store.error()), store.error().text,
          may_pass(path, store.error())};
}

StartError Agent::open_control(const fs::path& socket) {
  control_ = std::make_unique<ControlServer>(ControlServer::Handlers{
      [this](const ControlRequest& request, LineSink& sink) { return handle(request, sink); },
      is_long_command});
  const fs::path& buffer_dir = config_.values.buffer.path;
  const Result<void> listening =
      control_->listen(server_socket_path(socket, buffer_dir), client_socket_path({}, buffer_dir));
  if (listening.ok()) return {};
  return {exit_code_of_listen(listening.error()), "control socket: " + listening.error().text};
}

StartError Agent::open_sessions(std::vector<BuiltConnector> connectors) {
  std::vector<SupervisedConnector> supervised;
  for (BuiltConnector& built : connectors) {
    auto session = intake_->open_session(source_options(built));
    if (!session.ok()) return {exit_io, session.error().text};
    pipeline::ConnectorSession* const lent = session->get();
    sessions_.push_back(std::move(session).value());
    supervised.push_back({built.entry->name, built.entry->type, std::move(built.connector), lent,
                          [lent] { return lent->settle(); }, [lent] { lent->request_stop(); }});
  }
  supervisor_ = std::make_unique<Supervisor>(
      std::move(supervised), [this](const ConnectorStatus& s) { news_->on_change(s); });
  return {};
}

StartError Agent::open_forwarder() {
  const auto& upstream = config_.values.upstream;
  if (!upstream) return {};
  auto forwarder =
      forward::Forwarder::make(forward_options(config_.values, *upstream, boot_), *store_);
  if (!forwarder.ok()) return {exit_config, "upstream: " + forwarder.error().text};
  forwarder_ = std::move(forwarder).value();
  forwarder_->on_change([this](const forward::UpstreamChange& change) {
    tell_upstream(intake_->agent_events(), change);
  });
  return {};
}

void Agent::start() {
  log_start();
  emit_start();
  intake_->start();
  if (forwarder_) forwarder_->start();
  supervisor_->start();
  control_->start();
}

void Agent::log_start() {
  for (const fs::path& file : config_.files) {
    log_.info("event=configuration file={}", penstock::quoted(file.string()));
  }
  const buffer::StoreStats stats = store_->stats();
  log_.info("event=buffer path={} epoch={} backlog_events={} live_bytes={} max_size={}",
            penstock::quoted(config_.values.buffer.path.string()), stats.epoch, stats.events,
            stats.live_bytes, stats.max_size);
  if (open_report_.is_new_epoch) {
    log_.info("event=new_epoch epoch={} reason={} previous_epoch={}", stats.epoch,
              open_report_.reason, penstock::quoted(open_report_.previous_epoch));
  }
  if (!open_report_.was_clean) {
    log_.info("event=unclean_stop text=\"the last run was cut short; what was durable is here\"");
  }
  for (const std::string& warning : open_report_.warnings) {
    log_.warn("event=buffer_warning text={}", penstock::quoted(warning));
  }
  if (!config_.values.upstream) {
    log_.info("event=no_upstream text=\"no upstream: collecting and keeping\"");
  } else {
    for (const auto& broker : config_.values.upstream->brokers) {
      log_.info("event=upstream broker={}", penstock::quoted(broker.url));
    }
  }
  for (const auto& entry : config_.values.connectors) {
    log_.info("event=connector name={} type={}", entry.name, entry.type);
  }
  if (::geteuid() == 0) {
    log_.warn("event=runs_as_root text=\"an ordinary user is enough for most sources\"");
  }
}

void Agent::emit_start() {
  pipeline::AgentEvents& events = intake_->agent_events();
  if (open_report_.is_new_epoch) {
    events.emit("epoch_started",
                {{"cause", std::string_view(open_report_.reason)},
                 {"previous_epoch", std::string_view(open_report_.previous_epoch)},
                 {"known_streams", std::uint64_t{open_report_.last_numbers.size()}}});
    emit_last_numbers();
  }
  events.emit("start", {{"version", std::string_view(PENSTOCK_VERSION)},
                        {"boot_id", std::string_view(boot_)},
                        {"was_clean", open_report_.was_clean}});
}

/// What a receiver can hold against the numbers that it has of the previous epoch.
void Agent::emit_last_numbers() {
  constexpr std::size_t told_max = 256;
  std::size_t told = 0;
  for (const buffer::LastNumber& last : open_report_.last_numbers) {
    if (last.next_seq == 0) continue;
    if (told++ == told_max) return;
    intake_->agent_events().emit("previous_stream", {{"name", std::string_view(last.stream)},
                                                     {"last_seq", last.next_seq - 1}});
  }
}

int Agent::stop() {
  log_.info("event=stopping");
  supervisor_->request_stop();
  const std::vector<std::string> stuck = supervisor_->wait(stop_grace);
  for (const std::string& name : stuck) {
    log_.error("event=connector_stuck connector={} waited_s={}", name, stop_grace.count());
  }
  intake_->agent_events().emit("stop");
  const Result<void> stored = intake_->stop();
  if (!stored.ok()) log_.error("event=not_stored error={}", penstock::quoted(stored.error().text));
  if (forwarder_) {
    const bool is_connected = forwarder_->stats().state == forward::ForwardStats::State::connected;
    forwarder_->request_stop(is_connected ? drain_time : std::chrono::milliseconds(0));
    forwarder_->join();
  }
  control_->stop();
  store_->close();
  log_.info("event=stop");
  const int exit_code = stored.ok() ? exit_ok : exit_io;
  // A thread cannot be ended from outside, and its session must not go away under it.
  if (!stuck.empty()) ::_exit(exit_internal);
  return exit_code;
}

Answer Agent::handle(const ControlRequest& request, LineSink& sink) const {
  if (request.command != "status") {
    return run_buffer_command(request, *store_, {config_.values.buffer.path, true}, sink);
  }
  StatusFacts facts;
  facts.device = config_.values.agent.id;
  facts.boot = boot_;
  facts.uptime_us = system_clock().steady_us() - started_steady_us_;
  for (const fs::path& file : config_.files) facts.config_files.push_back(file.string());
  facts.buffer_path = config_.values.buffer.path.string();
  facts.store = store_->stats();
  facts.intake = intake_->stats();
  if (forwarder_) facts.upstream = forwarder_->stats();
  const std::vector<ConnectorStatus> statuses = supervisor_->status();
  const std::vector<buffer::GroupStats> groups = store_->group_stats();
  for (std::size_t i = 0; i < statuses.size(); ++i) {
    ConnectorReport report{statuses[i], sessions_[i]->stats()};
    for (const buffer::GroupStats& group : groups) {
      if (group.name == statuses[i].name) report.stored = group;
    }
    facts.connectors.push_back(std::move(report));
  }
  sink.line(status_json(facts));
  return {};
}

}  // namespace penstock::daemon
