// The parts of the wire contract that several rooms write: the members that open an event, and loss
// records.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace penstock {

/// Why numbers of a stream will never come. Stored as its number, sent as its name.
enum class LossReason : std::uint8_t {
  source = 1,       ///< the source lost it before we could read it
  buffer_full = 2,  ///< dropped by the buffer's limits
  expired = 3,      ///< older than buffer.max_age
  refused = 4,      ///< no broker will ever take it
  corrupt = 5,      ///< stored bytes were damaged
  purged = 6,       ///< a person took them out of the buffer
};
std::string_view to_string(LossReason reason);

/// Writes the members that are the same for all events of a stream once, and repeats them cheaply.
/// Thread: const, any.
class EventHead {
 public:
  EventHead(std::string_view device, std::string_view stream, std::string_view epoch);

  /// Appends `{"time":"…","device":"…","stream":"…","epoch":"…","seq":N` without the closing brace.
  /// time_unix_us: UTC, µs since 1970.
  void append(std::string& out, std::int64_t time_unix_us, std::uint64_t seq) const;

 private:
  std::string middle_;  // from the end of the time to "seq":
};

/// Appends a whole loss record: the head, then "lost", "exact":false if the size is unknown,
/// "reason", "code" if it is not 0.
void append_loss_record(std::string& out, const EventHead& head, std::int64_t time_unix_us,
                        std::uint64_t seq, std::uint64_t count, LossReason reason, bool is_exact,
                        std::uint8_t code = 0);

/// Members of an event that belong to the contract; fields of these names get "_" appended, tags of
/// these names are a configuration error.
bool is_reserved_member(std::string_view name);

}  // namespace penstock
