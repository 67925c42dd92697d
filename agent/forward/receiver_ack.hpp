// What a receiver publishes about what it has. docs/wire-format.md has the rule.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.hpp"

namespace penstock::forward {

struct ReceiverAck {
  struct Stream {
    std::string name;
    /// Begin and end of each range of numbers, rising; an end is behind its range.
    std::vector<std::uint64_t> bounds;
  };
  std::string epoch;
  std::string run;  ///< another one each time the receiver may have missed something
  std::vector<Stream> streams;
};

inline constexpr std::size_t receiver_ack_bytes_max = std::size_t{512} << 10;
inline constexpr std::size_t receiver_ack_ranges_max = 64;  ///< of a stream

/// invalid: anything but one object {"epoch":…,"run":…,"streams":{name: [begin, end, …]}}. Names
/// come once and hold no escapes; the bounds of a stream rise. The streams come back in order.
Result<ReceiverAck> parse_receiver_ack(std::string_view json);

/// The same as text. Names must hold nothing that JSON escapes.
std::string format_receiver_ack(const ReceiverAck& ack);

}  // namespace penstock::forward
