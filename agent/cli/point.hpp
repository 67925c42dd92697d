// A place in a stream as people write it: a number, a moment, or how long ago.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace penstock::cli {

/// One of the two is set.
struct Point {
  std::optional<std::uint64_t> number = std::nullopt;
  std::optional<std::int64_t> time_unix_us = std::nullopt;
};

/// "1200"; "2026-11-23T21:39:15Z" with up to six decimals; "2026-11-23"; "2h": that long before
/// now. nullopt: none of these.
std::optional<Point> parse_point(std::string_view text, std::int64_t now_us);

}  // namespace penstock::cli
