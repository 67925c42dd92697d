// The brain's sending side: what goes out next, and when to read more of the store.
#include <algorithm>
#include <array>

#include "agent/forward/brain.hpp"

namespace penstock::forward {
namespace {

constexpr std::uint64_t status_bytes = 512;
constexpr std::array all_priorities{buffer::Priority::high, buffer::Priority::normal,
                                    buffer::Priority::low};

}  // namespace

bool Brain::publish_status(bool is_online) {
  // The status needs only a place of the broker's, not one of our window for data.
  if (window_.messages() >= std::min<std::size_t>(limits_.receive_max, settings_.in_flight_max)) {
    return false;
  }
  status_message_ = window_.add_status(status_bytes, now_us_);
  actions_->push_back(PublishStatus{connection_, status_message_, is_online});
  return true;
}

void Brain::take_progress(std::int64_t round_trip_us) {
  take_parked_progress(round_trip_us);
  for (const buffer::Priority priority : all_priorities) {
    done_rows_.clear();
    const auto progress =
        window_.take_progress(priority, verification_.is_used() ? &done_rows_ : nullptr);
    if (!progress) continue;
    of(priority).confirmed = progress->row_id;
    const RowRef row{priority, progress->row_id};
    if (refused_ && refused_->parked_stream == 0 && refused_->priority == priority &&
        refused_->id <= progress->row_id) {
      refused_.reset();
      refusals_ = 0;
    }
    if (verification_.is_used()) {
      // Rows of a parked stream move into its table, and are sent again from there.
      for (Window::RowInfo& done : done_rows_) {
        if (parked_.count(done.stream_id) != 0) done.stream_id = 0;
      }
      begin_to_wait();
      verification_.add(done_rows_);
    } else {
      of(priority).acknowledged = progress->row_id;
      actions_->push_back(Acknowledge{generation_, row});
    }
    if (progress->sent_rows == 0) continue;
    of(priority).drops_with_same_oldest = 0;
    of(priority).oldest_at_drop.reset();
    if (refusals_ == 0) brokers_.on_working();
    Report what = new_report(Report::Kind::acknowledged);
    what.value = round_trip_us;
    what.events = progress->events;
    what.row = row;
    actions_->push_back(what);
  }
  if (verification_.is_used()) take_verified();
}

std::size_t Brain::window_max() const {
  // One batch that ends each connection hides behind its successors: alone it is told apart.
  // And what a refused batch holds up must not overtake it when the refusal ends.
  if (drops_with_same_oldest() >= same_oldest_max || refusals_ > 0 || alone_) return 1;
  const std::size_t allowed = std::max<std::uint32_t>(1, limits_.receive_max);
  // What is on its way comes on top of the rows that a trial takes.
  const std::size_t width = width_.messages();
  return std::min(allowed, is_trial() ? std::min(width, Width::first_messages) : width);
}

bool Brain::has_rows_to_send() const {
  if (is_far_ahead()) return sending_.has_value();
  return sending_ || std::any_of(classes_.begin(), classes_.end(), [](const Class& of_class) {
           return !of_class.fetched.empty() || of_class.may_have_more;
         });
}

void Brain::pump() {
  refill_tokens();
  watch_receivers();
  if (advance_going_back()) return;
  fetch_parked();
  for (;;) {
    if (sending_) {
      if (!send_next_part()) break;
    } else if (!start_next_row()) {
      break;
    }
  }
  fetch_ahead();
  if (window_.messages() == 0 && !has_rows_to_send()) {
    brokers_.on_working();
    forget_same_oldest();
  }
}

/// false: the window is full, the rate limit holds, or the row is still being encoded.
bool Brain::send_next_part() {
  Sending& sending = *sending_;
  if (sending.parts.empty()) return false;
  const EncodedPart& part = sending.parts[sending.next_part];
  const std::uint64_t bytes = part.bytes;
  const bool has_room = window_.messages() < window_max();
  if (!has_room || (window_.messages() > 0 && window_.bytes() + bytes > width_.bytes())) {
    width_.on_full();
    return false;
  }
  if (settings_.rate_limit_bytes_per_s != 0) {
    if (tokens_ <= 0) return false;
    tokens_ -= static_cast<double>(bytes);
  }
  const std::uint64_t message = window_.add_part(sending.row, part, now_us_);
  actions_->push_back(Publish{connection_, message, sending.row.ref, sending.next_part});
  if (++sending.next_part == sending.parts.size()) sending_.reset();
  return true;
}

/// false: nothing can be started now.
bool Brain::start_next_row() {
  if (is_unparking_) return false;
  if (is_parked_turn_ && start_parked_row()) return true;
  if (start_row_of_class()) return true;
  return start_parked_row();
}

bool Brain::start_row_of_class() {
  if (is_far_ahead()) return false;
  for (const buffer::Priority priority : all_priorities) {
    Class& of_class = of(priority);
    if (of_class.fetched.empty()) {
      // A higher class goes first: what it holds must be known before a lower one is served.
      if (fetch(priority) || is_fetching_) return false;
      continue;
    }
    const FetchedRow row = of_class.fetched.front();
    of_class.fetched.pop_front();
    of_class.fetched_bytes -= row.bytes;
    of_class.started = row.id;
    start({{priority, row.id, 0}, row.stream_id, row.events, row.seq, row.end_seq});
    is_parked_turn_ = true;
    return true;
  }
  return false;
}

void Brain::start(const Window::RowInfo& row) {
  const auto parked = row.ref.parked_stream == 0 ? parked_.find(row.stream_id) : parked_.end();
  if (parked != parked_.end()) {
    parked->second.moved_to = std::max(parked->second.moved_to, row.ref.id);
    window_.pass_over(row.ref);
    take_progress(0);
    return;
  }
  sending_ = Sending{row, {}, 0};
  Sizes& sizes = learnt_sizes_[brokers_.current()];
  if (now_us_ >= sizes.tried_until_us) sizes.tried_bytes = never_split;
  const std::uint64_t most = std::min(sizes.packet_bytes_max, limits_.packet_bytes_max);
  const std::uint64_t split = std::min({sizes.split_bytes, sizes.tried_bytes, most});
  actions_->push_back(Encode{connection_, row.ref, split, most, elsewhere_bytes_max()});
}

/// Reads on while the window is busy, so that sending need not wait for the store.
void Brain::fetch_ahead() {
  for (const buffer::Priority priority : all_priorities) {
    const Class& of_class = of(priority);
    if (of_class.fetched_bytes >= settings_.fetch_bytes / 2) return;
    if (fetch(priority) || is_fetching_) return;
    if (!of_class.fetched.empty()) return;
  }
}

bool Brain::fetch(buffer::Priority priority) {
  Class& of_class = of(priority);
  if (is_fetching_ || !of_class.may_have_more || now_us_ < fetch_again_us_) return false;
  is_fetching_ = true;
  actions_->push_back(Fetch{generation_, priority, of_class.next_after, settings_.fetch_bytes});
  return true;
}

void Brain::refill_tokens() {
  if (settings_.rate_limit_bytes_per_s == 0) return;
  const double rate = static_cast<double>(settings_.rate_limit_bytes_per_s);
  tokens_ += rate * static_cast<double>(now_us_ - tokens_at_us_) / 1e6;
  tokens_ = std::min(tokens_, rate);
  tokens_at_us_ = now_us_;
}

}  // namespace penstock::forward
