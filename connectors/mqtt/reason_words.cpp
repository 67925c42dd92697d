// Reason codes in words: MQTT 3.1.1, 3.2.2.3 and 3.9.3; MQTT 5.0, 2.4.
#include <utility>

#include "connectors/mqtt/packet.hpp"

namespace penstock::connectors::mqtt {
namespace {

using Row = std::pair<std::uint8_t, std::string_view>;

constexpr Row rows_311[] = {
    {0x01, "the broker does not speak MQTT 3.1.1"},
    {0x02, "the broker does not take this client_id"},
    {0x03, "the broker cannot serve now"},
    {0x04, "wrong user or password"},
    {0x05, "not authorised: check user and password, and the broker's access list"},
};

constexpr Row rows_5[] = {
    {0x04, "the broker has published our last will"},
    {0x80, "unspecified error"},
    {0x81, "the broker cannot read our packet"},
    {0x82, "the broker sees a protocol error"},
    {0x83, "not possible with this broker"},
    {0x84, "the broker does not speak MQTT 5"},
    {0x85, "the broker does not take this client_id"},
    {0x86, "wrong user or password"},
    {0x87, "not authorised: check user and password, and the broker's access list"},
    {0x88, "the broker cannot serve now"},
    {0x89, "the broker is busy"},
    {0x8A, "the broker has banned this client"},
    {0x8B, "the broker shuts down"},
    {0x8C, "the broker wants another way of authentication"},
    {0x8D, "the broker has heard nothing from us for too long"},
    {0x8E, "another client has connected with this client_id"},
    {0x8F, "the broker does not take this topic filter"},
    {0x90, "invalid topic"},
    {0x93, "the broker says that too many messages are in flight"},
    {0x95, "packet too large for the broker"},
    {0x96, "message rate too high for the broker"},
    {0x97, "the broker's quota is used up"},
    {0x98, "disconnected by the broker's administrator"},
    {0x9A, "the broker keeps no retained messages"},
    {0x9B, "the broker does not support this QoS"},
    {0x9C, "use another server, for now"},
    {0x9D, "use another server"},
    {0x9E, "the broker does not support shared subscriptions"},
    {0x9F, "connection rate too high for the broker"},
    {0xA0, "the broker ends connections after this time"},
    {0xA1, "the broker does not support subscription identifiers"},
    {0xA2, "the broker does not support wildcards"},
};

}  // namespace

std::string_view reason_words(Version version, std::uint8_t code) {
  if (version == Version::v311) {
    for (const auto& [known, words] : rows_311) {
      if (known == code) return words;
    }
  }
  for (const auto& [known, words] : rows_5) {
    if (known == code) return words;
  }
  return code == 0 ? "no reason given" : "a reason that the standard does not name";
}

}  // namespace penstock::connectors::mqtt
