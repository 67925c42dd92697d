// WebSocketRelay: a broker behind a WebSocket, for a client of plain MQTT in this process.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>

#include "agent/base/result.hpp"
#include "agent/base/unique_fd.hpp"
#include "agent/forward/mqtt_options.hpp"
#include "agent/forward/websocket_stream.hpp"

namespace penstock::forward {

/// Paho C 1.3.12 keeps what it has read of a WebSocket in memory that all its clients share, and
/// loses a connection when several messages come together. So it gets plain TCP on loopback, and
/// this is the other end: one connection of one client. Bytes wait in bounded memory; when the
/// client does not read, neither does this. Thread: owner only; its own does the work.
class WebSocketRelay {
 public:
  /// Connects to the broker at `address` (digits), with TLS for wss, and opens the WebSocket. Each
  /// step blocks for options.timeout at most, and for 3 s at most after `stop` was asked for.
  /// stopped: by that. unavailable: says why not.
  static Result<std::unique_ptr<WebSocketRelay>> open(const ConnectOptions& options,
                                                      const std::string& address,
                                                      const std::stop_token& stop);
  WebSocketRelay(const WebSocketRelay&) = delete;
  WebSocketRelay& operator=(const WebSocketRelay&) = delete;
  /// Once the client has closed: hands on what it wrote, for up to a second.
  ~WebSocketRelay();

  /// Where the client finds it. Others on this machine are turned away.
  config::BrokerAddress address() const;
  /// Why the broker's side has ended; "": it has not, or in silence. Thread: any.
  std::string end_text() const;

 private:
  class Pump;
  explicit WebSocketRelay(WebSocketStream broker);
  Result<void> listen();
  void run();
  UniqueFd accept_client() const;

  WebSocketStream broker_;
  UniqueFd listener_;
  UniqueFd stop_;  // an eventfd: readable once the owner goes away
  std::uint16_t port_ = 0;

  mutable std::mutex mutex_;  // guards: end_text_
  std::string end_text_;

  std::jthread thread_;  // last: it uses all of the above
};

}  // namespace penstock::forward
