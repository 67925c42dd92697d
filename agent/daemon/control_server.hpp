// ControlServer: answers the control socket; one thread `status`, and one more while a long command
// runs.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <thread>
#include <vector>

#include "agent/base/clock.hpp"
#include "agent/base/log.hpp"
#include "agent/base/result.hpp"
#include "agent/base/unique_fd.hpp"
#include "agent/daemon/control.hpp"
#include "agent/daemon/line_sink.hpp"

namespace penstock::daemon {

struct ControlLimits {
  std::size_t connections_max = 8;
  std::int64_t request_wait_us = 5'000'000;  ///< for a whole request line
  std::int64_t answer_wait_us = 10'000'000;  ///< for a client to read on
};

/// Short commands are answered on the thread `status` and must not block; long ones (a walk through
/// the whole buffer) run one at a time on a thread of their own, so that `status` always answers.
/// Life cycle: listen, start, and stop before what the handler uses goes away.
class ControlServer {
 public:
  /// Called on one of the two threads, at most one call at a time on each.
  using Handler = std::function<Answer(const ControlRequest&, LineSink&)>;
  struct Handlers {
    Handler handle;
    std::function<bool(const ControlRequest&)> is_long;
  };

  explicit ControlServer(Handlers handlers, ControlLimits limits = {});
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;
  ~ControlServer();  ///< stops

  /// Opens the socket, and a link to it at `link` if that is not empty and another path. Errors: as
  /// listen_control().
  Result<void> listen(const std::filesystem::path& path, const std::filesystem::path& link);
  void start();
  /// Ends both threads and removes the socket and its link. Idempotent.
  void stop();

 private:
  struct Connection;
  void serve();
  void accept_all();
  void serve_connection(Connection& connection, short happened);
  void read_request(Connection& connection);
  void answer(Connection& connection, std::string_view line);
  void start_long(Connection& connection, const ControlRequest& request);

  const Handlers handlers_;
  const ControlLimits limits_;
  Log log_{"control"};
  std::filesystem::path path_;
  std::filesystem::path link_;
  UniqueFd listener_;
  UniqueFd stop_fd_;                     // readable for ever once stop is asked for
  std::vector<Connection> connections_;  // the thread `status` alone
  std::atomic<bool> long_is_running_{false};
  std::thread long_thread_;  // started and replaced by the thread `status`, joined by stop()
  std::thread thread_;
};

}  // namespace penstock::daemon
