// What a refusal asks for.
#pragma once

#include <cstdint>

namespace penstock::forward {

enum class Refusal : std::uint8_t {
  for_good,    ///< this message will never be taken
  too_large,   ///< parts of it may be taken
  connection,  ///< not a matter of the message: the connection is of no use any more
  for_now,     ///< the same message may be taken later
};

inline constexpr std::uint8_t packet_too_large = 0x95;

/// code: of a PUBACK of MQTT 5, from 0x80 on.
constexpr Refusal judge_refusal(std::uint8_t code) {
  switch (code) {
    case 0x90:  // topic name invalid
    case 0x99:  // payload format invalid
      return Refusal::for_good;
    case packet_too_large: return Refusal::too_large;
    case 0x81:  // malformed packet
    case 0x82:  // protocol error
    case 0x91:  // packet identifier in use
      return Refusal::connection;
    default: return Refusal::for_now;
  }
}

/// Whether a DISCONNECT with this code tells that the broker has read a packet and will not have
/// it. code: 0 if the connection ended without one.
constexpr bool blames_a_packet(std::uint8_t code) {
  switch (code) {
    case 0x81:  // malformed packet
    case 0x82:  // protocol error
    case 0x90:  // topic name invalid
    case packet_too_large:
    case 0x99:  // payload format invalid
      return true;
    default: return false;
  }
}

}  // namespace penstock::forward
