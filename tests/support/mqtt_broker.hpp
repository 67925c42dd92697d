// MqttBroker: a broker for one client on loopback TCP, with a session that outlives connections,
// for tests. Its codec is its own.
#pragma once

#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "agent/base/unique_fd.hpp"

namespace penstock::tests {

/// Speaks MQTT 3.1.1 and 5, QoS 0 to 2. Gives every message of the test to the client once it has
/// subscribed, whatever its topic; what the client publishes is answered and goes nowhere. Thread:
/// any.
class MqttBroker {
 public:
  struct Behaviour {
    bool knows_5 = true;
    bool closes_on_5 = false;              ///< instead of an answer
    std::uint8_t connack = 0;              ///< refuses with this code
    std::uint8_t suback = 0xFF;            ///< 0xFF: grants what is asked
    bool is_silent = false;                ///< after CONNACK
    unsigned window = 20;                  ///< messages in flight
    bool reuses_ids = false;               ///< the lowest that is free; otherwise they go round
    std::uint16_t keep_alive_s = 0;        ///< told with MQTT 5; 0: not
    std::size_t published_max = SIZE_MAX;  ///< of all that is published, so many are acknowledged
  };
  /// What the client has sent.
  struct Seen {
    unsigned connects = 0;
    unsigned pings = 0;
    unsigned disconnects = 0;
    std::uint8_t version = 0;
    bool is_clean = false;
    std::string client_id, user, password;
    std::uint32_t session_expiry_s = 0;
    std::uint16_t receive_max = 0;
    std::uint16_t keep_alive_s = 0;
    std::vector<std::string> published;  ///< topics
    std::vector<std::string> filters;    ///< of the last SUBSCRIBE
    std::uint8_t filter_options = 0;
    std::vector<std::string> unsubscribed;
    std::vector<std::uint16_t> pubacks, pubrecs, pubcomps;
  };

  explicit MqttBroker(std::uint16_t port = 0);
  explicit MqttBroker(Behaviour behaviour, std::uint16_t port = 0);
  MqttBroker(const MqttBroker&) = delete;
  MqttBroker& operator=(const MqttBroker&) = delete;
  ~MqttBroker();

  std::string url() const { return "mqtt://127.0.0.1:" + std::to_string(port_); }
  void publish(std::string_view topic, std::string_view payload, unsigned qos,
               bool is_retained = false);
  /// Any bytes, as they are.
  void send(std::string_view bytes);
  /// Ends the connection; the session stays.
  void drop_connection();
  Seen seen() const;
  /// Messages that the client has not acknowledged (QoS 2: not completed).
  std::size_t unacknowledged() const;

 private:
  struct Message {
    std::string topic, payload;
    unsigned qos;
    bool is_retained;
    std::uint16_t id = 0;  // 0: not sent yet
    bool is_released = false;
  };
  void serve();
  void take(std::uint8_t first, const std::string& body);
  void take_connect(const std::string& body);
  void take_publish(std::uint8_t first, const std::string& body);
  void take_subscribe(std::uint16_t id, const std::string& body, bool is_un);
  void send_queued(bool is_resumed);
  void send_packet(int first, const std::string& body);
  void close_connection();
  void wake();

  const Behaviour behaviour_;
  mutable std::mutex mutex_;  // guards: all below but the descriptors
  Seen seen_;
  std::deque<Message> queue_;
  bool has_session_ = false;
  bool is_subscribed_ = false;
  std::uint16_t last_id_ = 0;
  std::string received_;
  bool is_drop_due_ = false;
  bool is_stopping_ = false;
  std::uint16_t port_ = 0;
  UniqueFd listener_;
  UniqueFd connection_;
  UniqueFd wake_;
  std::thread thread_;
};

}  // namespace penstock::tests
