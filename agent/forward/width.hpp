// Width: how many messages and bytes may be on their way, by what the line makes of them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace penstock::forward {

/// Wide enough for most lines at first. While something waits for room and the quickest answers
/// still come as quickly as ever, the line holds more: the width doubles, up to its bounds. Once
/// even these are late, what is on its way only waits in a queue: it shrinks again, to what it was
/// at first. The quickest count, since on a lossy line most answers are late whatever is sent.
/// Thread: owner only.
class Width {
 public:
  static constexpr std::size_t first_messages = 8;
  static constexpr std::uint64_t first_bytes = 1U << 20;

  Width(std::size_t messages_max, std::uint64_t bytes_max);

  /// A connection begins: its line is not known.
  void begin();
  /// Something waits for room.
  void on_full() { was_full_ = true; }
  /// messages_left: that are on their way still.
  void on_acknowledged(std::int64_t round_trip_us, std::size_t messages_left);

  std::size_t messages() const { return messages_; }
  std::uint64_t bytes() const { return bytes_; }

 private:
  void begin_filling();
  void end_round();

  std::size_t messages_max_;
  std::uint64_t bytes_max_;
  std::size_t messages_ = 0;
  std::uint64_t bytes_ = 0;
  std::int64_t quickest_us_ = 0;  // of the connection
  // Answers to come to messages that met no queue of ours: quick whatever the line.
  std::size_t unjudged_answers_ = 0;
  // A round is as many answers as the window has places.
  std::int64_t round_quickest_us_ = 0;
  std::size_t round_answers_ = 0;
  bool was_full_ = false;
};

}  // namespace penstock::forward
