#include "agent/forward/width.hpp"

#include <algorithm>
#include <limits>

namespace penstock::forward {
namespace {

constexpr std::int64_t none_yet = std::numeric_limits<std::int64_t>::max();
// A long message takes longer than a short one, and on a lossy line it hardly ever passes without
// a loss: less would keep the window narrow where it has to be wide.
constexpr std::int64_t late = 4;

}  // namespace

Width::Width(std::size_t messages_max, std::uint64_t bytes_max)
    : messages_max_(messages_max), bytes_max_(bytes_max) {
  begin();
}

void Width::begin() {
  messages_ = std::min(first_messages, messages_max_);
  bytes_ = std::min(first_bytes, bytes_max_);
  quickest_us_ = none_yet;
  begin_filling();
}

void Width::begin_filling() {
  unjudged_answers_ = messages_;
  round_quickest_us_ = none_yet;
  round_answers_ = 0;
  was_full_ = false;
}

void Width::on_acknowledged(std::int64_t round_trip_us, std::size_t messages_left) {
  quickest_us_ = std::min(quickest_us_, std::max<std::int64_t>(1, round_trip_us));
  if (messages_left == 0) return begin_filling();
  if (unjudged_answers_ > 0) {
    --unjudged_answers_;
    return;
  }
  round_quickest_us_ = std::min(round_quickest_us_, round_trip_us);
  if (++round_answers_ >= messages_) end_round();
}

void Width::end_round() {
  if (was_full_) {
    if (round_quickest_us_ / late <= quickest_us_) {
      messages_ = std::min(2 * messages_, messages_max_);
      bytes_ = std::min(2 * bytes_, bytes_max_);
    } else {
      messages_ = std::max(messages_ / 2, std::min(first_messages, messages_max_));
      bytes_ = std::max(bytes_ / 2, std::min(first_bytes, bytes_max_));
    }
  }
  round_quickest_us_ = none_yet;
  round_answers_ = 0;
  was_full_ = false;
}

}  // namespace penstock::forward
