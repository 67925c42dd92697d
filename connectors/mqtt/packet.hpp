// The subscriber's half of MQTT's packets: what a broker sends us, read; what we send, written.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "agent/base/result.hpp"

namespace penstock::connectors::mqtt {

/// As in CONNECT.
enum class Version : std::uint8_t { v311 = 4, v5 = 5 };

struct Connack {
  bool has_session = false;  ///< the broker has kept our subscriptions and what came meanwhile
  std::uint8_t code = 0;     ///< 0 = taken
  std::optional<std::uint16_t> keep_alive_s = {};  ///< to be used instead of ours
  std::optional<std::uint32_t> session_expiry_s = {};
  std::string_view reason = {};  ///< the broker's words, or ""
};
struct Publish {
  std::string_view topic;  ///< not empty; any bytes
  std::uint16_t id = 0;    ///< > 0 with QoS 1 and 2
  std::uint8_t qos = 0;
  bool is_again = false;     ///< DUP: sent before, on this connection or an earlier one
  bool is_retained = false;  ///< sent because of the subscription, not because it was published now
  std::string_view payload = {};
  bool is_cut = false;  ///< it was over the limit
};
struct Pubrel {
  std::uint16_t id = 0;
};
struct Suback {
  std::string_view codes;  ///< one byte for each filter
  std::string_view reason = {};
};
struct Disconnect {
  std::uint8_t code = 0;
  std::string_view reason = {};
};
/// PINGRESP, UNSUBACK: nothing in them matters.
struct Answered {};
using Packet = std::variant<Answered, Connack, Publish, Pubrel, Suback, Disconnect>;

/// Cuts a connection's bytes into packets. Holds at most one packet's front: of a longer one the
/// payload's end is skipped. Thread: owner only.
class PacketReader {
 public:
  PacketReader(Version version, std::size_t payload_bytes_max);

  void feed(std::string_view data);
  /// The next packet that is complete; its views are valid until the next call. nullopt: more bytes
  /// are needed. invalid: this is not MQTT as a broker speaks it; no further packet can be found.
  Result<std::optional<Packet>> next();

  /// What is held, and the bytes that were fed last.
  std::size_t held_bytes() const { return held_.size() - at_; }
  /// Topic and properties of one packet may take so many bytes beside the payload.
  static constexpr std::size_t head_bytes_max = 128 * 1024;

 private:
  Result<Packet> parse(std::uint8_t first, std::string_view body, bool is_cut) const;
  Result<Packet> parse_publish(std::uint8_t flags, std::string_view body, bool is_cut) const;

  Version version_;
  std::size_t payload_bytes_max_;
  std::string held_;
  std::size_t at_ = 0;    // consumed of held_
  std::size_t skip_ = 0;  // of a long packet, still to come
};

struct Connect {
  std::string_view client_id;
  std::optional<std::string_view> user = {};
  std::optional<std::string_view> password = {};
  bool is_clean = false;
  std::uint16_t keep_alive_s = 0;
  std::uint32_t session_expiry_s = 0;  ///< MQTT 5
  std::uint16_t receive_max = 0;       ///< MQTT 5; at least 1
};
enum class RetainHandling : std::uint8_t { always = 0, if_new = 1, never = 2 };
enum class Ack : std::uint8_t { puback = 0x40, pubrec = 0x50, pubcomp = 0x70 };

/// Texts are at most 65,535 bytes, all filters together far below MQTT's limit of a packet.
std::string connect_packet(Version version, const Connect& connect);
std::string subscribe_packet(Version version, std::uint16_t id,
                             std::span<const std::string> filters, std::uint8_t qos,
                             RetainHandling retained);
std::string unsubscribe_packet(Version version, std::uint16_t id,
                               std::span<const std::string> filters);
void append_ack(std::string& out, Ack ack, std::uint16_t id);
std::string_view ping_packet();
/// Normal: the broker keeps the session as CONNECT said.
std::string_view disconnect_packet();

/// What a code of CONNACK, SUBACK or DISCONNECT means, in words.
std::string_view reason_words(Version version, std::uint8_t code);

}  // namespace penstock::connectors::mqtt
