// What tests of connectors that listen need: a free port, a client that waits until it is served,
// and a connector that runs beside the test.
#pragma once

#include <sys/socket.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "agent/base/result.hpp"
#include "agent/base/unique_fd.hpp"
#include "connectors/api/connector.hpp"
#include "tests/support/fake_session.hpp"

namespace penstock::tests {

inline constexpr std::chrono::seconds net_patience{60};

/// A port of 127.0.0.1 that nothing listens on. kind: SOCK_STREAM or SOCK_DGRAM.
std::uint16_t free_port(int kind = SOCK_STREAM);

/// Waits until `is_true`; false after net_patience.
bool wait_for(const std::function<bool()>& is_true);

/// One attempt; not open if nobody listens.
UniqueFd connect_tcp(std::uint16_t port);
/// Waits until somebody listens, and throws after net_patience.
UniqueFd connected(std::uint16_t port);
UniqueFd connect_udp(std::uint16_t port);
UniqueFd connect_unix(const std::string& path, int kind);

/// Until all is sent; false if the other side refuses.
bool send_all(int fd, std::string_view data);
/// One datagram.
bool send_one(int fd, std::string_view datagram);
/// What comes until the other side closes.
std::string receive_all(int fd);

/// Runs a connector on a thread of its own until it is dropped or stopped.
class RunningConnector {
 public:
  explicit RunningConnector(connectors::Connector& connector,
                            std::function<void(FakeSession&)> hook = {},
                            std::function<void(FakeSession&)> flush_hook = {},
                            std::map<std::string, std::string, std::less<>> positions = {}) {
    session.hook = std::move(hook);
    session.flush_hook = std::move(flush_hook);
    session.set_positions(std::move(positions));
    thread_ = std::thread([this, &connector] { result_ = connector.run(session); });
  }
  ~RunningConnector() { static_cast<void>(stop()); }
  /// What run() returned.
  Result<void> stop() {
    session.request_stop();
    if (thread_.joinable()) thread_.join();
    return result_;
  }
  /// Waits until so many events have been pushed.
  bool wait_for_events(std::size_t count) {
    return wait_for([&] { return session.events().size() >= count; });
  }

  FakeSession session;

 private:
  Result<void> result_;
  std::thread thread_;
};

}  // namespace penstock::tests
