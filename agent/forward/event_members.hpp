// The members of a stored event, for formats that are not JSON.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.hpp"

namespace penstock::forward {

struct Member {
  enum class Kind : std::uint8_t { null, boolean, integer, real, text };
  Kind kind = Kind::null;
  bool is_true = false;  ///< boolean
  std::string name;
  std::string text;  ///< text: without escapes. integer, real: as written
};

/// Reads one flat JSON object into `members`, whose memory is used again.
/// corrupt: it is none, or a value is nested. Thread: any.
Result<void> read_members(std::string_view event, std::vector<Member>& members);

/// What the wire contract puts at the front of each event, in this order.
enum Opening : std::size_t { time_at, device_at, stream_at, epoch_at, seq_at, opening_count };

/// The event's time, in µs since 1970. corrupt: it does not open as it should.
Result<std::int64_t> time_of(const std::vector<Member>& members);

}  // namespace penstock::forward
