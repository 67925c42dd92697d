// EventChoice: which stored events a command is about.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

namespace penstock::daemon {

/// All bounds are inclusive. Times are UTC, µs since 1970, of the events themselves.
struct EventChoice {
  std::string stream;  ///< "" = all
  std::uint64_t from = 0;
  std::uint64_t to = std::numeric_limits<std::uint64_t>::max();
  std::int64_t time_from = std::numeric_limits<std::int64_t>::min();
  std::int64_t time_to = std::numeric_limits<std::int64_t>::max();
  std::uint64_t count_max = 0;  ///< at most so many; 0 = all
  bool is_last = false;         ///< the newest count_max instead of the oldest

  bool has_times() const;
  bool takes_numbers(std::uint64_t seq, std::uint64_t count) const {
    return seq <= to && seq + count > from;
  }
  bool takes_time(std::int64_t time_unix_us) const {
    return time_unix_us >= time_from && time_unix_us <= time_to;
  }
};

inline bool EventChoice::has_times() const {
  return time_from != std::numeric_limits<std::int64_t>::min() ||
         time_to != std::numeric_limits<std::int64_t>::max();
}

/// The time of an event in the stored form; nullopt: it has none where it belongs.
std::optional<std::int64_t> time_of_event(std::string_view event);

}  // namespace penstock::daemon
