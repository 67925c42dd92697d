// Window: the messages and rows that are on their way on the present connection, and how far each
// class is acknowledged without a hole.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "agent/forward/brain_events.hpp"
#include "buffer/store.hpp"

namespace penstock::forward {

/// A row is one or more messages. Message numbers run on over all connections, so that a number of
/// an earlier connection is never taken for one of this. Thread: owner only.
class Window {
 public:
  struct RowInfo {
    RowRef ref;
    std::uint32_t stream_id = 0;
    std::uint32_t events = 0;   ///< 0: a loss record
    std::uint64_t seq = 0;      ///< its first number
    std::uint64_t end_seq = 0;  ///< behind its last one
  };
  struct Answer {
    bool is_status = false;
    RowInfo row;
    std::uint64_t bytes = 0;   ///< of the message
    std::uint32_t events = 0;  ///< of the message
    std::int64_t round_trip_us = 0;
  };

  /// Forgets all that is on its way.
  void clear();

  /// The messages of this row follow.
  void begin_row(const RowInfo& row, std::uint32_t parts);
  /// A row of a class that is not to be sent: it counts as done.
  void pass_over(const RowRef& row);
  /// A row that is on its way counts as done, whatever becomes of its messages.
  void give_up(const RowRef& row);
  bool is_given_up(const RowRef& row);  ///< or no longer on its way
  /// One message of a row that was begun, or one without a row. Returns its number.
  std::uint64_t add_part(const RowInfo& row, const EncodedPart& part, std::int64_t now_us);
  std::uint64_t add_status(std::uint64_t bytes, std::int64_t now_us);

  /// nullopt: not on its way (of an earlier connection, or a repeat).
  std::optional<Answer> acknowledge(std::uint64_t message, std::int64_t at_us);
  /// The same without counting it as acknowledged.
  std::optional<Answer> find(std::uint64_t message) const;

  /// The highest row of the class up to which all are acknowledged, if that has risen since the
  /// last call; and how many events that made. done: gets these rows, without a stream if they were
  /// passed over or given up.
  struct Progress {
    std::uint64_t row_id = 0;
    std::uint64_t events = 0;
    std::uint64_t sent_rows = 0;  ///< the others were passed over or given up
  };
  std::optional<Progress> take_progress(buffer::Priority priority,
                                        std::vector<RowInfo>* done = nullptr);
  /// Parked rows that are acknowledged, each for itself.
  std::vector<RowInfo> take_parked();

  std::size_t messages() const { return unacknowledged_; }
  std::uint64_t bytes() const { return bytes_; }
  bool has_rows() const;
  /// The one that waiting_since_us() is about.
  std::optional<Answer> oldest_message() const;
  /// The message that is the only one on its way, unless that is a status.
  std::optional<Answer> lone_message() const;
  std::size_t acknowledged_messages() const { return acknowledged_; }  ///< since clear()
  /// The oldest row on its way, high classes first.
  std::optional<std::uint64_t> oldest_row(buffer::Priority priority) const;
  /// Since when the oldest message waits: sent, or those before it acknowledged, whatever was
  /// later.
  std::optional<std::int64_t> waiting_since_us() const;

 private:
  struct Message {
    bool is_status = false;
    bool is_acknowledged = false;
    RowInfo row;
    EncodedPart part;
    std::int64_t sent_us = 0;
  };
  struct Row {
    RowInfo info;
    std::uint32_t parts = 0;
    std::uint32_t acknowledged = 0;
    bool is_given_up = false;
    bool is_done() const { return is_given_up || acknowledged == parts; }
  };
  static constexpr std::size_t parked_lane = buffer::priority_count;

  std::uint64_t add(const Message& message);
  std::deque<Row>& rows(const RowRef& row) {
    return rows_[row.parked_stream != 0 ? parked_lane : static_cast<std::size_t>(row.priority)];
  }
  Row* find_row(const RowRef& row);

  std::deque<Message> sent_;  // consecutive numbers; the first is not acknowledged
  std::uint64_t first_message_ = 1;
  std::size_t unacknowledged_ = 0;
  std::size_t acknowledged_ = 0;
  std::uint64_t bytes_ = 0;
  std::int64_t oldest_since_us_ = 0;
  std::array<std::deque<Row>, buffer::priority_count + 1> rows_;
};

}  // namespace penstock::forward
