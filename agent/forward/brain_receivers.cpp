// The brain and its receivers: rows stay in the store until they are verified, and are sent again
// when what the broker acknowledged has not come through.
#include <algorithm>
#include <limits>
#include <utility>

#include "agent/forward/brain.hpp"

namespace penstock::forward {
namespace {

constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t between_us = 1'000'000;  // of going back twice
// What a receiver said of a hole may be older than what closed it.
constexpr std::int64_t believes_holes_after_us = 5'000'000;
constexpr std::uint32_t doublings_max = 6;
// Sent in vain so often, only a few rows more are sent to find out whether that has changed; and
// few rows on their way leave the buffer's policy the others.
constexpr std::uint32_t in_vain_max = 2;
constexpr std::size_t trial_rows_max = 64;
constexpr std::array all_priorities{buffer::Priority::high, buffer::Priority::normal,
                                    buffer::Priority::low};

}  // namespace

void Brain::on(const ReceiverVerified& event) {
  if (event.generation != generation_ || event.receiver >= settings_.receivers) return;
  const bool has_hole = verification_.say(event.receiver, event.streams);
  take_verified();
  if (event.is_new_run) {
    times_in_vain_ = 0;
    goes_back_ = verification_.rows() > 0;
  } else if (has_hole && verification_.rows() > 0 && has_sent_again()) {
    goes_back_ = true;
  }
}

/// The broker has acknowledged rows that are to be verified from now on.
void Brain::begin_to_wait() {
  if (std::exchange(waits_for_receivers_, true)) return;
  unverified_since_us_ = now_us_;
  unverified_before_us_ = 0;
}

void Brain::take_verified() {
  std::uint64_t rows = 0;
  std::uint64_t events = 0;
  for (const buffer::Priority priority : all_priorities) {
    const auto progress = verification_.take(priority);
    if (!progress) continue;
    of(priority).acknowledged = progress->row_id;
    rows += progress->rows;
    events += progress->events;
    actions_->push_back(Acknowledge{generation_, {priority, progress->row_id, 0}});
  }
  for (const Window::RowInfo& row : verification_.take_parked()) {
    ++rows;
    events += row.events;
    const auto parked = parked_.find(row.stream_id);
    if (parked != parked_.end()) parked->second.acknowledged = row.ref.id;
    actions_->push_back(AcknowledgeParked{generation_, row.stream_id, row.ref.id});
  }
  if (rows == 0) return;
  times_in_vain_ = 0;
  unverified_since_us_ = now_us_;
  unverified_before_us_ = 0;
  waits_for_receivers_ = verification_.rows() > 0;
  if (std::exchange(are_receivers_silent_, false)) report(Report::Kind::receiver_back);
  Report what = new_report(Report::Kind::verified);
  what.events = events;
  what.value = static_cast<std::int64_t>(verification_.rows());
  actions_->push_back(what);
}

/// It went back in vain again and again: only a few rows are tried.
bool Brain::is_trial() const { return times_in_vain_ >= in_vain_max; }

/// Of what the receivers have verified: what is remembered of each row takes memory.
bool Brain::is_far_ahead() const {
  const std::size_t rows_max = is_trial() ? std::min(trial_rows_max, settings_.unverified_rows_max)
                                          : settings_.unverified_rows_max;
  return verification_.rows() >= rows_max;
}

/// Whether what was sent when it last went back has been sent again, and had time to arrive.
bool Brain::has_sent_again() {
  if (now_us_ < believe_holes_from_us_) return false;
  const bool is_behind = std::any_of(classes_.begin(), classes_.end(), [](const Class& of_class) {
    return of_class.confirmed < of_class.again_until;
  });
  if (!is_behind || is_far_ahead()) return true;
  believe_holes_from_us_ = now_us_ + believes_holes_after_us;
  return false;
}

void Brain::watch_receivers() {
  if (verification_.rows() == 0 || now_us_ < silent_at_us()) return;
  if (!std::exchange(are_receivers_silent_, true)) {
    Report what = new_report(Report::Kind::receiver_silent);
    what.receiver = verification_.slowest_receiver();
    what.value = static_cast<std::int64_t>(verification_.rows());
    actions_->push_back(what);
  }
  if (now_us_ >= again_from_us_) goes_back_ = true;
}

/// When nothing was verified for ack_timeout of connected time.
std::int64_t Brain::silent_at_us() const {
  return unverified_since_us_ + settings_.ack_timeout_us - unverified_before_us_;
}

/// When watch_receivers() or advance_going_back() has something to do.
std::int64_t Brain::receivers_due_us() const {
  if (goes_back_) return go_back_from_us_;
  if (verification_.rows() == 0) return never;
  const std::int64_t silent_us = silent_at_us();
  return are_receivers_silent_ ? std::max(silent_us, again_from_us_) : silent_us;
}

/// All that is not verified is sent again. Nothing may be on its way.
void Brain::go_back() {
  goes_back_ = false;
  go_back_from_us_ = now_us_ + between_us;
  const std::uint32_t doublings = std::min(times_in_vain_++, doublings_max);
  believe_holes_from_us_ = now_us_ + (believes_holes_after_us << doublings);
  again_from_us_ = now_us_ + (settings_.ack_timeout_us << doublings);
  for (Class& of_class : classes_) {
    of_class.again_until = std::max(of_class.again_until, of_class.confirmed);
    of_class.confirmed = of_class.acknowledged;
    of_class.next_after = of_class.acknowledged;
    of_class.started = of_class.acknowledged;
    of_class.fetched.clear();
    of_class.fetched_bytes = 0;
    of_class.may_have_more = true;
  }
  verification_.forget_rows();
  parked_row_.reset();
  for (auto& [stream, parked] : parked_) {
    parked.sent = parked.acknowledged;
    parked.is_busy = false;
  }
  actions_->push_back(DropFetched{});
  report(Report::Kind::went_back);
}

/// true: nothing else is to be sent before it has gone back.
bool Brain::advance_going_back() {
  if (!goes_back_ || now_us_ < go_back_from_us_) return false;
  while (sending_ && send_next_part()) {
  }
  const bool is_quiet = !sending_ && window_.messages() == 0 && !window_.has_rows() &&
                        !is_fetching_ && !is_fetching_parked_ && !is_unparking_;
  if (!is_quiet) return true;
  go_back();
  if (times_in_vain_ <= in_vain_max || stop_deadline_us_ != 0) return false;
  // It may be the broker that does not pass on what receivers say, though we subscribed.
  report(Report::Kind::unheard);
  actions_->push_back(Disconnect{connection_, false});
  drop(Stage::up, false);
  return true;
}

}  // namespace penstock::forward
