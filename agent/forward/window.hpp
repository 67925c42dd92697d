// Window: the messages and rows that are on their way on the present connection, and how far each
// class is acknowledged without a hole.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>

#include "buffer/store.hpp"

namespace penstock::forward {

/// A row is one or more messages. Message numbers run on over all connections, so that a number of
/// an earlier connection is never taken for one of this. Thread: owner only.
class Window {
 public:
  struct Answer {
    bool is_status = false;
    buffer::Priority priority = buffer::Priority::normal;
    std::uint64_t row_id = 0;
    std::int64_t round_trip_us = 0;
  };

  /// Forgets all that is on its way.
  void clear();

  /// The messages of this row follow.
  void begin_row(buffer::Priority priority, std::uint64_t row_id, std::uint32_t parts,
                 std::uint32_t events);
  /// One message of the row begun last in its class, or one without a row. Returns its number.
  std::uint64_t add_part(buffer::Priority priority, std::uint64_t bytes, std::int64_t now_us);
  std::uint64_t add_status(std::uint64_t bytes, std::int64_t now_us);

  /// nullopt: not on its way (of an earlier connection, or a repeat).
  std::optional<Answer> acknowledge(std::uint64_t message, std::int64_t at_us);
  /// The same without counting it as acknowledged.
  std::optional<Answer> find(std::uint64_t message) const;

  /// The highest row of the class up to which all are acknowledged, if that has risen since the
  /// last call; and how many events that made.
  struct Progress {
    std::uint64_t row_id = 0;
    std::uint64_t events = 0;
  };
  std::optional<Progress> take_progress(buffer::Priority priority);

  std::size_t messages() const { return unacknowledged_; }
  std::uint64_t bytes() const { return bytes_; }
  bool has_rows() const;
  /// The oldest row on its way, high classes first.
  std::optional<std::uint64_t> oldest_row(buffer::Priority priority) const;
  /// Since when the oldest message waits: sent, or those before it acknowledged, whatever was
  /// later.
  std::optional<std::int64_t> waiting_since_us() const;

 private:
  struct Message {
    bool is_status = false;
    bool is_acknowledged = false;
    buffer::Priority priority = buffer::Priority::normal;
    std::uint64_t row_id = 0;
    std::uint64_t bytes = 0;
    std::int64_t sent_us = 0;
  };
  struct Row {
    std::uint64_t id = 0;
    std::uint32_t parts = 0;
    std::uint32_t acknowledged = 0;
    std::uint32_t events = 0;
  };

  std::uint64_t add(const Message& message);
  std::deque<Row>& rows(buffer::Priority priority) {
    return rows_[static_cast<std::size_t>(priority)];
  }

  std::deque<Message> sent_;  // consecutive numbers; the first is not acknowledged
  std::uint64_t first_message_ = 1;
  std::size_t unacknowledged_ = 0;
  std::uint64_t bytes_ = 0;
  std::int64_t oldest_since_us_ = 0;
  std::array<std::deque<Row>, buffer::priority_count> rows_;
};

}  // namespace penstock::forward
