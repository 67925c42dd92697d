// Supervisor: one thread per connector, restarts with back-off, and where each of them stands.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "agent/base/log.hpp"
#include "agent/base/result.hpp"
#include "agent/daemon/backoff.hpp"
#include "connectors/api/connector.hpp"

namespace penstock::daemon {

enum class ConnectorState {
  running,   ///< inside run()
  waiting,   ///< its source was not to be had; run() is called again after a while
  failed,    ///< invalid: stays down until the agent is started again
  finished,  ///< its source has ended for good
  stopped,   ///< stop was asked for
};
std::string_view to_string(ConnectorState state);

struct ConnectorStatus {
  std::string name;
  std::string type;
  ConnectorState state = ConnectorState::running;
  std::int64_t since_unix_us = 0;
  std::uint32_t restarts = 0;
  std::uint32_t failures_in_a_row = 0;  ///< without a run of a minute in between
  std::string last_error;               ///< of the last run that failed; stays while running again
  std::int64_t last_error_unix_us = 0;  ///< 0: none yet
  std::int64_t next_try_unix_us = 0;    ///< waiting: when; else 0
};

/// What the supervisor needs of a connector. Session and functions must outlive the supervisor.
struct SupervisedConnector {
  std::string name;
  std::string type;
  std::unique_ptr<connectors::Connector> connector;
  connectors::Session* session = nullptr;
  /// Waits until all that was pushed is durable; before run() is called again. stopped: stop.
  std::function<Result<void>()> settle;
  std::function<void()> request_stop;
};

/// Threads: start, request_stop, wait and the destructor belong to the owner; status: any.
/// on_change is called on the connectors' threads, one call at a time.
class Supervisor {
 public:
  using OnChange = std::function<void(const ConnectorStatus&)>;

  Supervisor(std::vector<SupervisedConnector> connectors, OnChange on_change, Backoff backoff = {});
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;
  /// Asks all to stop and waits for them without a bound: leave by _exit if wait() named some.
  ~Supervisor();

  void start();
  /// Returns at once. Idempotent.
  void request_stop();
  /// Waits until every run() has returned; the names of those that had not within `grace`.
  std::vector<std::string> wait(std::chrono::milliseconds grace);

  std::vector<ConnectorStatus> status() const;

 private:
  struct Worker {
    SupervisedConnector what;
    ConnectorStatus status;  // guarded by mutex_
    bool is_done = false;    // guarded by mutex_
    std::thread thread;
  };
  void work(Worker& worker);
  bool wait_before_restart(Worker& worker, const Error& error, std::uint32_t failures);
  void end(Worker& worker, ConnectorState state, const Error* error);
  template <typename Change>
  void set(Worker& worker, const Change& change);

  const OnChange on_change_;
  const Backoff backoff_;
  mutable std::mutex mutex_;  // guards: status and is_done of the workers
  std::condition_variable done_;
  std::mutex change_mutex_;      // guards: the order of on_change_ calls
  std::vector<Worker> workers_;  // fixed once started
};

}  // namespace penstock::daemon
