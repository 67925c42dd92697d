// The brain's connections: how one begins, what its end tells, and when the next one follows.
#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "agent/forward/brain.hpp"
#include "agent/forward/refusal.hpp"

namespace penstock::forward {
namespace {

constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t patience_us_max = 600'000'000;
constexpr std::int64_t patient_for_us = 3'600'000'000;
// What took all the time there is must take a part of it: others share the line.
constexpr std::uint64_t unanswered_divisor = 4;
// A second client with our id comes back after no longer than we do.
constexpr std::int64_t short_life_us = 5'000'000;
constexpr std::uint32_t unwelcome_max = 4;        // four seconds at most
constexpr std::int64_t settled_us = 300'000'000;  // a connection of so long was welcome
constexpr std::array all_priorities{buffer::Priority::high, buffer::Priority::normal,
                                    buffer::Priority::low};

}  // namespace

void Brain::on(const LinkUp& event) {
  if (event.connection != connection_ || state_ != State::connecting) return;
  state_ = State::up;
  limits_ = event.limits;
  learnt_sizes_[brokers_.current()].told_bytes_max = limits_.packet_bytes_max;
  up_since_us_ = now_us_;
  has_acknowledged_data_ = false;
  width_.begin();
  brokers_.on_up(now_us_);
  if (std::exchange(broker_up_, brokers_.current()) != brokers_.current()) retry_parked_now();
  if (now_us_ >= patient_until_us_) patience_us_ = settings_.ack_timeout_us;
  status_due_us_ = settings_.tells_status ? now_us_ : never;
  hand_over_until_us_ = 0;
  unverified_since_us_ = now_us_;
  tokens_at_us_ = now_us_;
  tokens_ = static_cast<double>(settings_.rate_limit_bytes_per_s);
  report(Report::Kind::up);
}

void Brain::on(const LinkDown& event) {
  if (event.connection != connection_) return;
  if (state_ != State::connecting && state_ != State::up) return;
  const bool is_too_large = state_ == State::up && event.reason_code == packet_too_large;
  if (state_ == State::up) {
    judge_end(event.reason_code);
    count_short_life(event.reason_code);
    // Batches may be taken each time: another client with our id, or a broker that moves, would be
    // met again at once.
    const bool is_sent_away = event.reason_code >= 0x80 && !blames_a_packet(event.reason_code);
    sent_away_ = is_sent_away ? (now_us_ - up_since_us_ < settled_us ? sent_away_ : 0) + 1 : 0;
  }
  drop(event.stage, event.version_refused);
  // Which one it was is seen when each goes alone.
  for (Class& of_class : classes_) {
    if (is_too_large && of_class.drops_with_same_oldest > 0) {
      of_class.drops_with_same_oldest = same_oldest_max;
    }
  }
}

void Brain::connect() {
  brokers_.choose(now_us_);
  const bool is_other = std::exchange(confirmed_by_, brokers_.current()) != brokers_.current();
  if (verification_.rows() > 0 && (is_other || goes_back_)) go_back();
  state_ = State::connecting;
  ++connection_;
  connect_deadline_us_ = now_us_ + settings_.connect_timeout_us;
  is_status_refused_ = false;
  actions_->push_back(Connect{connection_, brokers_.current(), brokers_.protocol()});
}

void Brain::forget_rows() {
  window_.clear();
  sending_.reset();
  is_fetching_ = false;
  bool anything = !parked_.empty();
  forget_parked_rows();
  for (Class& of_class : classes_) {
    anything = anything || of_class.next_after != of_class.confirmed;
    of_class.fetched.clear();
    of_class.fetched_bytes = 0;
    of_class.next_after = of_class.confirmed;
    of_class.started = of_class.confirmed;
    of_class.may_have_more = true;
  }
  if (anything) actions_->push_back(DropFetched{verification_.rows() > 0});
}

/// Of each class by itself: others may go on while one has a batch that ends each connection.
void Brain::note_oldest() {
  for (const buffer::Priority priority : all_priorities) {
    Class& of_class = of(priority);
    const auto oldest = window_.oldest_row(priority);
    if (!oldest) continue;
    const bool is_same = oldest == of_class.oldest_at_drop;
    of_class.drops_with_same_oldest = is_same ? of_class.drops_with_same_oldest + 1 : 1;
    of_class.oldest_at_drop = oldest;
  }
}

std::uint32_t Brain::drops_with_same_oldest() const {
  std::uint32_t most = 0;
  for (const Class& of_class : classes_) most = std::max(most, of_class.drops_with_same_oldest);
  return most;
}

void Brain::forget_same_oldest() {
  for (Class& of_class : classes_) {
    of_class.drops_with_same_oldest = 0;
    of_class.oldest_at_drop.reset();
  }
}

/// The connection is over (or was never up), and what was on its way is in doubt.
void Brain::drop(Stage stage, bool version_refused) {
  const bool was_up = state_ == State::up;
  if (was_up) note_oldest();
  forget_rows();
  if (was_up) unverified_before_us_ += now_us_ - unverified_since_us_;
  state_ = State::waiting;
  report(was_up ? Report::Kind::lost : Report::Kind::failed, was_up ? short_lives_ : 0);
  const std::size_t broker = brokers_.current();
  const Protocol before = brokers_.protocol();
  brokers_.on_down(now_us_, stage, version_refused);
  if (brokers_.current() == broker && before == Protocol::v5 &&
      brokers_.protocol() == Protocol::v3_1_1 && !version_refused) {
    report(Report::Kind::protocol_guessed);
  }
  const std::uint32_t unwelcome = std::max({refusals_, sent_away_, unwelcome_by_short_lives()});
  if (unwelcome > 0) brokers_.on_unwelcome(unwelcome);
  plan_retry();
}

/// Whether the connection that has just ended, without a reason, was one of a kind: soon after it
/// began, and not with the batch of an earlier one. So they end when a second client has our id:
/// each is the other's end.
void Brain::count_short_life(std::uint8_t reason_code) {
  const std::int64_t lived_us = now_us_ - up_since_us_;
  bool is_of_a_kind = reason_code == 0 && lived_us < short_life_us;
  for (const buffer::Priority priority : all_priorities) {
    const auto oldest = window_.oldest_row(priority);
    is_of_a_kind = is_of_a_kind && (!oldest || oldest != of(priority).oldest_at_drop);
  }
  short_lives_ = is_of_a_kind ? short_lives_ + 1 : 0;
}

std::uint32_t Brain::unwelcome_by_short_lives() const {
  // A poor line may be the reason too, and data that should pass while it is there.
  return short_lives_ < short_lives_told ? 0 : std::min(short_lives_ - 1, unwelcome_max);
}

/// The connection may be dead, or the line too slow for the oldest message: smaller ones are tried,
/// and one that cannot be made smaller gets more time.
void Brain::drop_unanswered() {
  short_lives_ = 0;
  const auto oldest = window_.oldest_message();
  Report what = new_report(Report::Kind::no_ack);
  what.value = patience_us_;
  what.bytes = oldest->bytes;
  actions_->push_back(what);
  // After others were acknowledged the line may just have ended, unless it is the same one again.
  const bool is_slow = !has_acknowledged_data_ || unanswered_ == oldest->row.ref;
  if (!oldest->is_status) {
    if (is_slow && !make_smaller(*oldest, unanswered_divisor)) {
      patience_us_ =
          std::max(settings_.ack_timeout_us, std::min(2 * patience_us_, patience_us_max));
      patient_until_us_ = now_us_ + patient_for_us;
    }
    unanswered_ = oldest->row.ref;
    unanswered_bytes_ = oldest->bytes;
  }
  actions_->push_back(Disconnect{connection_, false});
  drop(Stage::up, false);
}

void Brain::plan_retry() {
  retry_at_us_ = brokers_.retry_at(now_us_);
  report(Report::Kind::retry, retry_at_us_ - now_us_);
}

/// Lets what is on its way arrive, then gives the first broker a try.
void Brain::advance_hand_over() {
  refill_tokens();
  while (sending_ && send_next_part()) {
  }
  const bool is_empty = window_.messages() == 0 && (!sending_ || sending_->next_part == 0);
  if (!is_empty && now_us_ < hand_over_until_us_) return;
  hand_over_until_us_ = 0;
  actions_->push_back(Disconnect{connection_, false});
  forget_rows();
  unverified_before_us_ += now_us_ - unverified_since_us_;
  state_ = State::waiting;
  report(Report::Kind::lost);
  brokers_.try_first(now_us_);
  retry_at_us_ = now_us_;
  connect();
}

}  // namespace penstock::forward
