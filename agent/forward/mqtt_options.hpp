// What a connection to a broker needs, in our own words: no Paho type passes beyond the mqtt_*
// files.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/agent_config.hpp"

namespace penstock::forward {

enum class Protocol : std::uint8_t { v3_1_1 = 4, v5 = 5 };
/// "3.1.1" or "5".
std::string_view to_string(Protocol protocol);

/// Which protocols may be tried.
enum class ProtocolChoice : std::uint8_t {
  automatic,  ///< 5; 3.1.1 only for a broker that does not speak 5
  v3_1_1,
  v5,
};
/// "auto", "5", "3.1.1"; anything else is automatic.
ProtocolChoice parse_protocol_choice(std::string_view text);

/// Used for brokers of scheme mqtts and wss, with TLS 1.2 or newer. Certificate and host name are
/// always checked unless `is_insecure`. The files are read at each connect, so a renewed
/// certificate needs no restart.
struct TlsFiles {
  std::string ca;    ///< PEM file of trusted authorities; "": the system's
  std::string cert;  ///< PEM file of our certificate; "": none
  std::string key;   ///< PEM file of its key
  bool is_insecure = false;
  std::string key_password{};       ///< "": the key is not encrypted
  std::vector<std::string> alpn{};  ///< protocols to offer; empty: none
};

/// A message that the broker publishes when the connection ends without a disconnect.
struct Will {
  std::string topic;  ///< "": no will
  std::string payload;
};

struct ConnectOptions {
  config::BrokerAddress broker;
  Protocol protocol = Protocol::v5;
  std::string client_id;
  std::string user;  ///< "": no user name
  std::string password;
  TlsFiles tls;
  Will will;
  std::uint8_t qos = 1;                ///< 0 or 1, of messages that are not retained
  std::uint64_t packet_bytes_max = 0;  ///< known of the broker beforehand; 0: only what it tells
  bool retains = true;                 ///< false: the broker keeps no messages, not even our will
  std::uint8_t qos_max = 1;            ///< what the broker takes, of the will and the status too
  std::chrono::seconds keep_alive{60};
  /// Bound on name resolution, and again on connect, TLS and CONNACK together.
  std::chrono::seconds timeout{10};
};

/// What the broker allows on this connection.
struct Limits {
  Protocol protocol = Protocol::v5;
  std::uint32_t receive_max = 65'535;
  std::uint64_t packet_bytes_max = 268'435'455;  ///< a whole PUBLISH with its header
  std::uint64_t split_bytes = 268'435'455;       ///< of several events; it refused larger ones
  std::uint64_t elsewhere_bytes_max = 0;         ///< what another broker of the list may take
  std::uint32_t keep_alive_s = 0;                ///< set by the broker; 0: ours holds
  std::uint8_t qos_max = 1;
  bool retains = true;  ///< the broker keeps messages for those who subscribe later
  bool session_present = false;
};

/// What a reason code of MQTT 5 means, in words.
std::string_view reason_text(std::uint8_t code);

/// How far a connection got before it ended.
enum class Stage : std::uint8_t {
  resolve,  ///< the name, or the files of TLS
  connect,  ///< TCP and TLS
  connack,  ///< ended without a CONNACK
  refused,  ///< by a CONNACK
  up,
};

using UserProperties = std::vector<std::pair<std::string, std::string>>;

struct OutgoingMessage {
  std::string topic;
  std::string payload;
  bool is_retained = false;
  bool is_text = true;       ///< payload format indicator
  std::uint32_t events = 0;  ///< in it; a loss record is one
  std::string content_type;  ///< MQTT 5 only, as are the properties
  UserProperties properties;
};

}  // namespace penstock::forward
