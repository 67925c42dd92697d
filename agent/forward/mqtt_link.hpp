// MqttLink: the uplink, one connection to a broker at a time, as events in and calls out. What
// `penstock receive` needs is in mqtt_subscription.hpp.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/base/clock.hpp"
#include "agent/base/result.hpp"
#include "agent/forward/mqtt_options.hpp"

namespace penstock::forward {

struct LinkEvent {
  enum class Kind : std::uint8_t { up, down, acknowledged, message, not_subscribed };
  Kind kind = Kind::down;
  std::uint64_t connection = 0;
  std::int64_t steady_us = 0;  ///< when it happened, not when it was read

  Limits limits;  ///< up

  std::uint64_t message = 0;     ///< acknowledged: the number given to publish()
  std::uint8_t reason_code = 0;  ///< acknowledged: of the PUBACK. down: of CONNACK or DISCONNECT

  Stage stage = Stage::up;       ///< down: how far it got
  bool version_refused = false;  ///< down: a CONNACK refused the protocol version
  bool is_doubtful = false;      ///< down, while the link looks for the true reason
  std::string text;              ///< down, not_subscribed: why. message: the payload
  std::string topic;             ///< message
  bool is_retained = false;      ///< message: kept by the broker, not sent just now
  bool is_too_long = false;      ///< message: `text` says so instead
};

class LinkInbox;

/// A new Paho client for each connection, nothing kept or sent again by itself. Paho's callbacks
/// only post. Thread: owner only; the events come from others through the queue inside.
class MqttLink {
 public:
  /// `wake` is called on foreign threads whenever take_events() has something to do; it must only
  /// post. The clock must outlive the link.
  MqttLink(const Clock& clock, std::function<void()> wake);
  MqttLink(const MqttLink&) = delete;
  MqttLink& operator=(const MqttLink&) = delete;
  ~MqttLink();

  /// Begins a connection and returns at once; `up` or `down` will follow within about
  /// 2 x options.timeout. An earlier connection is closed first.
  void open(std::uint64_t connection, const ConnectOptions& options, std::uint32_t in_flight_max);

  /// When take_events() is due without a wake, on the steady clock; INT64_MAX: not.
  std::int64_t wake_at_us() const;

  /// All that happened since the last call, in order. Drives the connection on: to be called after
  /// each wake.
  std::vector<LinkEvent> take_events();

  /// At most in_flight_max may be unacknowledged; with QoS 0 a message is acknowledged when it is
  /// written. What is retained goes with QoS 1. unavailable: not connected; `down` follows.
  Result<void> publish(std::uint64_t message, OutgoingMessage outgoing);

  /// QoS 1; what comes are events of the kind `message`, of each topic the last one only. One that
  /// is longer than message_bytes_max is told without its payload; with MQTT 5 the broker knows
  /// beforehand and sends none. A refusal is the event `not_subscribed`. unavailable: not
  /// connected; `down` follows.
  Result<void> subscribe(const std::vector<std::string>& topics);
  static constexpr std::size_t message_bytes_max = std::size_t{512} << 10;

  /// Ends the connection and frees the client; blocks for at most `timeout` and a little. With
  /// `says_goodbye` by a DISCONNECT, else so that the broker publishes the will. No event follows.
  void close(std::chrono::milliseconds timeout, bool says_goodbye);

 private:
  struct Connection;
  void start_paho(Connection& connection);
  void add_words(Connection& connection, std::vector<LinkEvent>& events);
  void explain_failures(Connection& connection, std::vector<LinkEvent>& events);
  /// What a broker asked for in earlier answers.
  struct Asked {
    std::chrono::seconds keep_alive{0};  // 0: as we like
    bool retains = true;
    std::uint8_t qos_max = 1;
    void apply(ConnectOptions& options) const;
  };
  bool has_to_say_more(const LinkEvent& answer, const ConnectOptions& options);
  void obey_broker(Connection& connection, std::vector<LinkEvent>& events);
  void give_memory_back(Connection& connection, std::vector<LinkEvent>& events);

  const Clock& clock_;
  std::shared_ptr<LinkInbox> inbox_;
  std::unique_ptr<Connection> connection_;
  std::int64_t next_relief_us_ = 0;  // from when on a connection may be ended for its memory
  std::size_t failed_tries_ = 0;     // a name's addresses are tried from another one on each time
  std::map<std::string, Asked> asked_;  // by url
};

}  // namespace penstock::forward
