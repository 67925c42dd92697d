#include "agent/pipeline/intake.hpp"

#include <pthread.h>

#include <utility>

#include "agent/base/assert.hpp"
#include "agent/base/log.hpp"
#include "agent/pipeline/collector.hpp"
#include "agent/pipeline/inbox.hpp"

namespace penstock::pipeline {
namespace {

constexpr int stop_attempts_max = 20;
constexpr std::chrono::milliseconds stop_pause{100};

Result<Positions> read_positions(const buffer::Store& store, std::string_view owner) {
  Positions positions;
  PENSTOCK_TRY_ASSIGN(const std::vector<std::string> parts, store.position_parts(owner));
  for (const std::string& part : parts) {
    PENSTOCK_TRY_ASSIGN(std::optional<std::string> position, store.position(owner, part));
    if (position) positions.emplace(part, *std::move(position));
  }
  return positions;
}

/// Where a source stood is not known any more: it may skip events, or give some again.
void tell_damaged_positions(std::uint64_t count, const SourceOptions& options, Inbox& inbox,
                            Source& source, AgentEvents& events) {
  Log log("intake");
  log.error("event=position_damaged connector={} positions={} effect=\"it begins as without one\"",
            options.name, count);
  events.emit("position_damaged", {{"name", std::string_view(options.name)}, {"positions", count}});
  connectors::Chunk chunk;
  chunk.lost("", 0, LossReason::corrupt);
  const Result<void> pushed = inbox.push(source, chunk);
  PENSTOCK_ASSERT(pushed.ok());  // a queue that is empty takes any chunk
}

}  // namespace

Intake::Intake(const IntakeOptions& options, buffer::Store& store, const Clock& clock)
    : inbox_(std::make_unique<Inbox>(options.queue_bytes_max)),
      collector_(std::make_unique<Collector>(options, store, *inbox_, clock)),
      store_(store),
      clock_(clock) {}

Intake::~Intake() { static_cast<void>(stop()); }

Result<std::unique_ptr<ConnectorSession>> Intake::open_session(const SourceOptions& options) {
  PENSTOCK_TRY_ASSIGN(Source * source, inbox_->open(options));
  store_.set_policy(options.name, {options.priority, options.when_full, options.share_bytes_max});
  if (options.share_bytes_max != 0) source->stored_bytes = store_.group_bytes(options.name);
  auto session = std::make_unique<ConnectorSession>(*inbox_, *source, clock_);
  if (session->stop_fd() < 0) return errno_error("eventfd");
  PENSTOCK_TRY_ASSIGN(Positions positions, read_positions(store_, source->owner));
  inbox_->set_positions(*source, std::move(positions));
  PENSTOCK_TRY_ASSIGN(const std::uint64_t damaged, store_.damaged_positions(source->owner));
  if (damaged != 0) {
    tell_damaged_positions(damaged, options, *inbox_, *source, collector_->agent_events());
  }
  return session;
}

AgentEvents& Intake::agent_events() { return collector_->agent_events(); }

void Intake::start() {
  thread_ = std::thread([this] { run(); });
}

void Intake::run() {
  pthread_setname_np(pthread_self(), "intake");
  while (!is_stopping_) {
    const std::chrono::microseconds time = collector_->step();
    if (time.count() > 0 && !is_stopping_) inbox_->wait(time);
  }
  inbox_->shut();
  result_ = collector_->finish(stop_attempts_max, stop_pause);
}

Result<void> Intake::stop() {
  is_stopping_ = true;
  inbox_->wake();
  if (thread_.joinable()) {
    thread_.join();
  } else {
    inbox_->shut();
  }
  return result_;
}

IntakeStats Intake::stats() const { return collector_->stats(); }

}  // namespace penstock::pipeline
