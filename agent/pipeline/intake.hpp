// Intake: the thread that takes chunks from all connectors, encodes them and commits them; the only
// appender of the store.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "agent/base/clock.hpp"
#include "agent/base/result.hpp"
#include "agent/pipeline/agent_events.hpp"
#include "agent/pipeline/clock_watch.hpp"
#include "agent/pipeline/session.hpp"
#include "agent/pipeline/source.hpp"
#include "buffer/store.hpp"

namespace penstock::pipeline {

class Collector;

struct IntakeOptions {
  std::string device;
  Tags tags;         ///< of the agent: every event carries them
  std::string boot;  ///< identity of this boot of the machine, 8 hex digits
  ClockTrust clock;

  std::chrono::microseconds commit_every{1'000'000};       ///< 0: as soon as chunks are there
  std::chrono::microseconds commit_max_delay{10'000'000};  ///< the write budget's longest stretch
  std::uint64_t commit_bytes =
      std::uint64_t{1024} * 1024;       ///< encoded text that makes a commit full
  double write_budget_bytes_per_s = 0;  ///< 0: none

  std::uint32_t batch_events_max = 500;
  std::uint64_t batch_bytes_max = std::uint64_t{96} * 1024;
  /// Of one encoded event, at most batch_bytes_max - 2; longer ones are cut and marked.
  std::uint64_t event_bytes_max = std::uint64_t{64} * 1024;
  /// Streams of the whole buffer, beyond which parts get none of their own; 0: as many as come.
  std::uint32_t streams_max = 0;
  /// Memory of a connector's queue; one chunk always fits.
  std::uint64_t queue_bytes_max = std::uint64_t{256} * 1024;
};

/// Counted since start.
struct IntakeStats {
  std::uint64_t chunks = 0;
  std::uint64_t events = 0;  ///< durable, without losses
  std::uint64_t bytes = 0;   ///< durable, of encoded text
  std::uint64_t batches = 0;
  std::uint64_t commits = 0;
  std::uint64_t commits_stretched = 0;  ///< waited for the write budget
  std::uint64_t commits_failed = 0;
  std::uint64_t dropped_events = 0;          ///< by the store, to make room
  std::uint64_t expired_events = 0;          ///< by the store, for their age
  std::uint64_t written_bytes = 0;           ///< by the store, to the disk
  std::uint64_t written_bytes_day = 0;       ///< of these, in the last 24 hours
  std::uint64_t write_budget_bytes_day = 0;  ///< 0: none
  std::uint64_t commit_us_total = 0;
  std::uint64_t commit_us_last = 0;
  std::uint64_t commit_us_max = 0;
  bool is_slow = false;  ///< a commit took seconds, lately
  std::int64_t last_commit_unix_us = 0;
  std::int64_t retrying_since_unix_us = 0;  ///< 0: the last commit succeeded
  std::string last_error;                   ///< of the commit that is being repeated, else ""
  bool is_holding_back = false;             ///< the buffer is nearly full: sources that wait do
  std::uint32_t streams = 0;
};

/// Owns the thread `intake`, the queues and the stream `_agent`. store and clock must outlive it,
/// and it must outlive its sessions.
/// Threads: start, stop and the destructor belong to the owner; the rest: any.
class Intake {
 public:
  Intake(const IntakeOptions& options, buffer::Store& store, const Clock& clock = system_clock());
  Intake(const Intake&) = delete;
  Intake& operator=(const Intake&) = delete;
  ~Intake();

  /// Reads the connector's positions; where some are damaged, a loss of unknown size comes first in
  /// its stream. invalid: a session of this name is open. unavailable: the
  /// store cannot be read, or chunks of an earlier session of this name are not yet durable.
  Result<std::unique_ptr<ConnectorSession>> open_session(const SourceOptions& options);
  /// The agent's own events; usable from the constructor on until stop().
  AgentEvents& agent_events();

  void start();
  /// Takes what is queued, commits it and ends the thread; tries for at most about 2 s when the
  /// store fails. Afterwards push and flush answer `stopped`. unavailable: something that was taken
  /// is not durable (the sources that can be read again will give it again). Idempotent, final.
  Result<void> stop();

  IntakeStats stats() const;

 private:
  void run();

  // On the heap so that this header, which the daemon includes, does not show the machinery.
  std::unique_ptr<Inbox> inbox_;
  std::unique_ptr<Collector> collector_;
  buffer::Store& store_;
  const Clock& clock_;
  std::atomic<bool> is_stopping_{false};
  Result<void> result_;  // of the last commit; written by the thread, read once it has been joined
  std::thread thread_;
};

}  // namespace penstock::pipeline
