// Subscription: receives messages from a broker, in order, through a bounded queue. For `penstock
// receive`.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>

#include "agent/base/result.hpp"
#include "agent/forward/mqtt_options.hpp"

namespace penstock::forward {

struct SubscriptionOptions {
  /// `connect.protocol` is not looked at, `connect.will` is allowed.
  ConnectOptions connect;
  ProtocolChoice protocol = ProtocolChoice::automatic;
  /// true: the broker keeps the session, so that messages that come while we are away are delivered
  /// at the next connect with the same client id. false: clean start.
  bool is_persistent = false;
  /// Of a persistent session, at most and by default 68 years. MQTT 5 only: 3.1.1 brokers decide.
  std::uint32_t session_expiry_s = 0x7FFF'FFFF;
  /// Bytes of payload that may wait for next_message(); beyond them the socket is not read.
  std::size_t queue_bytes_max = std::size_t{16} << 20;
};

struct ReceivedMessage {
  std::string topic;
  std::string payload;
  bool is_retained = false;
  std::string content_type;        ///< "" if there is none (always with 3.1.1)
  UserProperties user_properties;  ///< empty with 3.1.1
};

/// One connection at a time: connect, subscribe, next_message until it fails, connect again.
/// Nothing reconnects by itself. A message is acknowledged to the broker when it enters the queue;
/// what is in the queue survives the loss of the connection and is handed out first.
/// Thread: owner only.
class Subscription {
 public:
  Subscription();
  Subscription(const Subscription&) = delete;
  Subscription& operator=(const Subscription&) = delete;
  ~Subscription();  ///< as close(), with 1 s

  /// Replaces an earlier connection. stopped: `stop` was asked for, which ends it soon. Blocks for
  /// at most twice options.connect.timeout for each protocol tried, plus 3 s, and for a WebSocket
  /// as long again. invalid: the broker refuses us (user, password, client id) or the TLS files
  /// cannot be used. unavailable: all else.
  Result<Limits> connect(const SubscriptionOptions& options, const std::stop_token& stop = {});

  /// QoS 1. Blocks for at most 10 s, or until `stop` is asked for, which is unavailable. invalid:
  /// the broker refuses a filter. unavailable: the connection was lost or the broker does not
  /// answer.
  Result<void> subscribe(std::span<const std::string> filters, const std::stop_token& stop = {});

  /// QoS 1, retained. Blocks until the broker has it, at most 10 s, or until `stop` is asked for.
  /// invalid: it refuses it (MQTT 5; one of 3.1.1 has no way to say so). unavailable: no answer.
  Result<void> publish_retained(const std::string& topic, const std::string& payload,
                                const std::stop_token& stop = {});

  /// The next message, or nullopt after `timeout`. unavailable: the connection is lost, and all
  /// that had come was handed out.
  Result<std::optional<ReceivedMessage>> next_message(std::chrono::milliseconds timeout);

  bool is_connected() const;

  /// Disconnects within `timeout` and frees the client; what still waits in the queue stays
  /// readable.
  void close(std::chrono::milliseconds timeout);

 private:
  struct Connection;
  Result<std::string> resolve(const ConnectOptions& options,
                              const std::stop_token& stop) const;  // an address, in digits
  Result<Limits> connect_once(const SubscriptionOptions& options, const std::string& address,
                              const std::stop_token& stop);
  static void start(Connection& connection);

  std::unique_ptr<Connection> connection_;  // never null; the queue outlives each client
  bool answered_v5_ = false;  // of this broker: then a silent close is no wrong version
};

}  // namespace penstock::forward
