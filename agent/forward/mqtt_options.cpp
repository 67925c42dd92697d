#include "agent/forward/mqtt_options.hpp"

#include <array>

namespace penstock::forward {

std::string_view to_string(Protocol protocol) { return protocol == Protocol::v5 ? "5" : "3.1.1"; }

ProtocolChoice parse_protocol_choice(std::string_view text) {
  if (text == "5") return ProtocolChoice::v5;
  if (text == "3.1.1") return ProtocolChoice::v3_1_1;
  return ProtocolChoice::automatic;
}

std::string_view reason_text(std::uint8_t code) {
  struct Meaning {
    std::uint8_t code;
    std::string_view text;
  };
  constexpr std::array<Meaning, 35> meanings{{
      {0x00, "success"},
      {0x10, "no matching subscribers"},
      {0x80, "unspecified error"},
      {0x81, "malformed packet"},
      {0x82, "protocol error"},
      {0x83, "implementation specific error"},
      {0x84, "unsupported protocol version"},
      {0x85, "client identifier not valid"},
      {0x86, "bad user name or password"},
      {0x87, "not authorised"},
      {0x88, "server unavailable"},
      {0x89, "server busy"},
      {0x8A, "banned"},
      {0x8B, "server shutting down"},
      {0x8C, "bad authentication method"},
      {0x8D, "keep alive timeout"},
      {0x8E, "session taken over by another client with the same id"},
      {0x8F, "topic filter invalid"},
      {0x90, "topic name invalid"},
      {0x91, "packet identifier in use"},
      {0x93, "receive maximum exceeded"},
      {0x94, "topic alias invalid"},
      {0x95, "packet too large"},
      {0x96, "message rate too high"},
      {0x97, "quota exceeded"},
      {0x98, "administrative action"},
      {0x99, "payload format invalid"},
      {0x9A, "retain not supported"},
      {0x9B, "QoS not supported"},
      {0x9C, "use another server"},
      {0x9D, "server moved"},
      {0x9E, "shared subscriptions not supported"},
      {0x9F, "connection rate exceeded"},
      {0xA0, "maximum connect time"},
      {0xA2, "wildcard subscriptions not supported"},
  }};
  for (const Meaning& meaning : meanings) {
    if (meaning.code == code) return meaning.text;
  }
  return "unknown reason";
}

}  // namespace penstock::forward
