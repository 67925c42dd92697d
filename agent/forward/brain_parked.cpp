// The brain and what brokers refuse: rows that are lost for good, streams that wait apart from
// their class until the broker takes them, batches that end connections.
#include <algorithm>
#include <limits>
#include <utility>

#include "agent/forward/brain.hpp"
#include "agent/forward/refusal.hpp"

namespace penstock::forward {
namespace {

constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();
// Rows move into the table with the next commit, which an idle agent makes within seconds.
constexpr std::int64_t look_again_us = 1'000'000;
constexpr std::uint32_t suspicions_max = 3;
// A network can break as often with a message that is innocent.
constexpr std::uint32_t breaks_max = 6;
// No broker's limit is as low: a message of this size is not halved.
constexpr std::uint64_t small_bytes = 2'048;
constexpr std::int64_t hour_us = 3'600'000'000;
constexpr std::int64_t day_us = 24 * hour_us;

}  // namespace

Brain::Parked& Brain::park(const Window::RowInfo& row) {
  const auto [at, is_new] = parked_.try_emplace(row.stream_id);
  Parked& parked = at->second;
  if (row.ref.parked_stream == 0) {
    // Earlier rows may wait for their answer still: if it never comes they are passed over too.
    if (is_new) {
      actions_->push_back(Park{row.stream_id, of(row.ref.priority).acknowledged + 1});
      verification_.settle(row.stream_id);
    }
    // Later rows of the stream may be on their way already: they move too.
    parked.moved_to = std::max({parked.moved_to, row.ref.id, of(row.ref.priority).started});
    if (is_new) parked.due_us = now_us_ + look_again_us;
    stop_sending(row.stream_id);
  }
  return parked;
}

/// A row of the class that is about to be sent would come before those that wait.
void Brain::stop_sending(std::uint32_t stream_id) {
  if (!sending_ || sending_->row.stream_id != stream_id) return;
  const RowRef ref = sending_->row.ref;
  if (ref.parked_stream != 0) return;
  if (sending_->parts.empty()) {
    window_.pass_over(ref);
  } else {
    window_.give_up(ref);
  }
  sending_.reset();
}

void Brain::report_row(Report::Kind kind, const Window::RowInfo& row, std::uint8_t reason_code) {
  Report what = new_report(kind);
  what.reason_code = reason_code;
  what.row = row.ref;
  what.events = row.events;
  what.stream_id = row.stream_id;
  actions_->push_back(what);
}

void Brain::park_for_now(const Window::RowInfo& row, std::uint8_t reason_code) {
  Parked& parked = park(row);
  if (row.ref.parked_stream != 0 || parked.attempts == 0) put_off(parked);
  if (std::exchange(parked.is_reported, true)) return;
  report_row(Report::Kind::stream_parked, row, reason_code);
}

/// The row is never taken: what is sent in its place is what the store made of it.
void Brain::lose(const Window::RowInfo& row, std::uint8_t reason_code) {
  Parked& parked = park(row);
  parked.refused.insert(row.ref.id);
  parked.due_us = now_us_ + look_again_us;
  actions_->push_back(Refuse{row.stream_id, row.ref.id, reason_code});
  report_row(Report::Kind::batch_lost, row, reason_code);
}

void Brain::give_up(const RowRef& row) {
  window_.give_up(row);
  if (sending_ && sending_->row.ref == row) sending_.reset();
  if (alone_ == row) alone_.reset();
  if (refused_ == row) {
    refused_.reset();
    refusals_ = 0;
  }
  if (row.parked_stream != 0) parked_[row.parked_stream].is_busy = false;
}

/// What is about to be sent has an event that is too large for this broker alone.
void Brain::wait_for_another_broker() {
  const Window::RowInfo row = sending_->row;
  if (row.ref.parked_stream != 0) {
    sending_.reset();
    if (alone_ == row.ref) alone_.reset();
    parked_[row.ref.parked_stream].is_busy = false;
  }
  park_for_now(row, packet_too_large);
  take_progress(0);
}

/// The most that one of the other brokers may take: one that was never met may take all.
std::uint64_t Brain::elsewhere_bytes_max() const {
  std::uint64_t most = 0;
  for (std::size_t i = 0; i < learnt_sizes_.size(); ++i) {
    const Sizes& sizes = learnt_sizes_[i];
    if (i == brokers_.current()) continue;
    most = std::max(most, std::min(sizes.packet_bytes_max, sizes.told_bytes_max));
  }
  return most;
}

void Brain::put_off(Parked& parked) {
  const std::uint32_t doublings = std::min<std::uint32_t>(parked.attempts, 20);
  parked.due_us =
      now_us_ + std::min(settings_.parked_retry_max_us, settings_.parked_retry_min_us << doublings);
  ++parked.attempts;
}

/// The broker ended a connection that was up, or the network did. A message is suspect only if
/// nothing else of ours can have been the reason.
void Brain::judge_end(std::uint8_t reason_code) {
  const auto lone = window_.lone_message();
  if (!lone) return;
  if (reason_code == packet_too_large && lone->row.events != 0 && learn_size(*lone)) {
    return note_refusal(*lone, reason_code);
  }
  const bool is_blamed = blames_a_packet(reason_code);
  if (window_.acknowledged_messages() == 0 || (reason_code != 0 && !is_blamed)) return;
  suspect(*lone, is_blamed);
}

/// is_blamed: the broker said that it was a packet. Else it may have been the network, which
/// nothing may be lost for; smaller messages help against that as well, and against a limit that a
/// broker does not tell.
void Brain::suspect(const Window::Answer& lone, bool is_blamed) {
  Sizes& sizes = learnt_sizes_[brokers_.current()];
  if (suspect_ != lone.row.ref) {
    suspect_ = lone.row.ref;
    suspicions_ = 0;
    tried_bytes_before_ = sizes.tried_bytes;
  }
  if (++suspicions_ < suspicions_max) return;
  if (!is_blamed) {
    if (make_smaller(lone, 2)) {
      brokers_.on_working();  // something else is tried now: no reason to wait longer and longer
      return;
    }
    if (suspicions_ < breaks_max) return;
    sizes.tried_bytes = tried_bytes_before_;  // its size was not the reason
  }
  suspect_.reset();
  // A loss record cannot become another one.
  if (settings_.skips_poison && is_blamed && lone.row.events != 0) {
    lose(lone.row, 0);
  } else {
    park_for_now(lone.row, 0);
  }
}

/// For an hour, and twice as long each time that it has to be found out again.
bool Brain::make_smaller(const Window::Answer& message, std::uint64_t divisor) {
  if (message.events <= 1 || message.bytes <= small_bytes) return false;
  Sizes& sizes = learnt_sizes_[brokers_.current()];
  if (sizes.tried_bytes == never_split) {
    sizes.tried_for_us = std::clamp(2 * sizes.tried_for_us, hour_us, day_us);
  }
  sizes.tried_bytes = std::min(sizes.tried_bytes, std::max(message.bytes / divisor, small_bytes));
  sizes.tried_until_us = now_us_ + sizes.tried_for_us;
  report(Report::Kind::smaller, static_cast<std::int64_t>(sizes.tried_bytes));
  return true;
}

void Brain::take_parked_progress(std::int64_t round_trip_us) {
  for (const Window::RowInfo& row : window_.take_parked()) {
    if (alone_ == row.ref) alone_.reset();
    if (refused_ == row.ref) {
      refused_.reset();
      refusals_ = 0;
    }
    if (refusals_ == 0) brokers_.on_working();
    const auto at = parked_.find(row.stream_id);
    if (at == parked_.end()) continue;
    Parked& parked = at->second;
    parked.is_busy = false;
    parked.attempts = 0;
    parked.drops = 0;
    parked.refused.erase(parked.refused.begin(), parked.refused.upper_bound(row.ref.id));
    parked.due_us = now_us_;
    parked.sent = row.ref.id;
    if (verification_.is_used()) {
      begin_to_wait();
      verification_.add_parked(row);
    } else {
      parked.acknowledged = row.ref.id;
      actions_->push_back(AcknowledgeParked{generation_, row.stream_id, row.ref.id});
    }
    Report what = new_report(Report::Kind::acknowledged);
    what.value = round_trip_us;
    what.events = row.events;
    what.row = row.ref;
    actions_->push_back(what);
  }
}

/// The connection is over.
void Brain::forget_parked_rows() {
  parked_row_.reset();
  is_fetching_parked_ = false;
  alone_.reset();
  for (auto& [stream, parked] : parked_) {
    if (!std::exchange(parked.is_busy, false)) continue;
    ++parked.drops;
    put_off(parked);
  }
}

/// Another broker may take what the last one refused.
void Brain::retry_parked_now() {
  for (auto& [stream, parked] : parked_) parked.due_us = now_us_;
}

std::int64_t Brain::parked_due_us() const {
  std::int64_t due_us = never;
  for (const auto& [stream, parked] : parked_) {
    if (!parked.is_busy) due_us = std::min(due_us, parked.due_us);
  }
  return due_us;
}

void Brain::fetch_parked() {
  if (is_fetching_parked_ || parked_row_ || parked_.empty() || stop_deadline_us_ != 0) return;
  if (is_far_ahead()) return;
  const auto first =
      std::min_element(parked_.begin(), parked_.end(), [](const auto& a, const auto& b) {
        if (a.second.is_busy != b.second.is_busy) return !a.second.is_busy;
        return a.second.due_us < b.second.due_us;
      });
  Parked& parked = first->second;
  if (parked.is_busy || parked.due_us > now_us_) return;
  is_fetching_parked_ = true;
  actions_->push_back(FetchParked{generation_, first->first, parked.sent});
}

void Brain::on(const FetchedParked& event) {
  if (event.generation != generation_ || !is_fetching_parked_) return;
  const auto at = parked_.find(event.stream_id);
  if (at == parked_.end() || event.after_id != at->second.sent) return;
  is_fetching_parked_ = false;
  Parked& parked = at->second;
  if (event.has_failed) {
    parked.due_us = now_us_ + look_again_us;
  } else if (!event.row) {
    parked.due_us = now_us_ + look_again_us;
    is_unparking_ = true;
    actions_->push_back(Unpark{event.stream_id, parked.moved_to});
  } else if (event.row->events != 0 && parked.refused.count(event.row->id) != 0) {
    parked.due_us = now_us_ + look_again_us;
  } else if (state_ == State::up) {
    parked.is_busy = true;
    const RowRef ref{buffer::Priority::normal, event.row->id, event.stream_id};
    parked_row_ = Window::RowInfo{ref, event.stream_id, event.row->events, event.row->seq,
                                  event.row->end_seq};
  }
}

void Brain::on(const Unparked& event) {
  is_unparking_ = false;
  const auto at = parked_.find(event.stream_id);
  if (!event.has_ended || at == parked_.end() || at->second.is_busy) return;
  const bool is_known = at->second.is_reported || at->second.is_in_store;
  parked_.erase(at);
  if (is_known) report_row(Report::Kind::stream_returned, {{}, event.stream_id}, 0);
}

bool Brain::start_parked_row() {
  if (!parked_row_) return false;
  const Window::RowInfo row = *std::exchange(parked_row_, std::nullopt);
  is_parked_turn_ = false;
  if (parked_[row.stream_id].drops > 0) alone_ = row.ref;
  start(row);
  return true;
}

}  // namespace penstock::forward
