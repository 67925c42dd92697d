#include "agent/forward/brain.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "agent/base/assert.hpp"
#include "agent/forward/refusal.hpp"

namespace penstock::forward {
namespace {

constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t fetch_again_after_us = 1'000'000;
constexpr std::int64_t hand_over_us_max = 5'000'000;

}  // namespace

Brain::Brain(const BrainSettings& settings)
    : settings_(settings),
      brokers_(settings.brokers),
      width_(settings.in_flight_max, settings.in_flight_bytes_max),
      verification_(settings.receivers),
      patience_us_(settings.ack_timeout_us),
      learnt_sizes_(settings.brokers.count) {
  PENSTOCK_ASSERT(settings.in_flight_max >= 1 && settings.in_flight_max <= 64);
}

void Brain::step(std::int64_t now_us, const Event& event, std::vector<Action>& actions) {
  now_us_ = std::max(now_us_, now_us);
  actions_ = &actions;
  if (state_ != State::finished) {
    std::visit([this](const auto& happened) { on(happened); }, event);
    advance();
  }
  set_wake();
  actions_ = nullptr;
}

void Brain::on(const Stored&) {
  for (Class& of_class : classes_) of_class.may_have_more = true;
}

void Brain::on(const StoreChanged& event) {
  if (event.generation == generation_) return;
  generation_ = event.generation;
  refused_.reset();
  unanswered_.reset();
  short_lives_ = 0;
  if (state_ == State::up && (window_.messages() > 0 || window_.has_rows() || sending_)) {
    // The same rows would otherwise go out behind their successors on one connection; and what is
    // on its way still fills the broker's window.
    actions_->push_back(Disconnect{connection_, false});
    drop(Stage::up, false);
  } else {
    forget_rows();
  }
  verification_.forget_all();
  goes_back_ = false;
  waits_for_receivers_ = false;
  for (Class& of_class : classes_) {
    of_class.next_after = 0;
    of_class.acknowledged = 0;
    of_class.confirmed = 0;
    of_class.again_until = 0;
    of_class.started = 0;
  }
  std::map<std::uint32_t, Parked> known;
  known.swap(parked_);
  for (const std::uint32_t stream : event.parked) {
    Parked& parked = parked_[stream];
    parked.is_reported = known.count(stream) != 0 && known[stream].is_reported;
    parked.is_in_store = true;
  }
}

void Brain::on(const Fetched& event) {
  if (event.generation != generation_ || !is_fetching_) return;
  Class& of_class = of(event.priority);
  if (event.after_id != of_class.next_after) return;
  is_fetching_ = false;
  for (const FetchedRow& row : event.rows) {
    PENSTOCK_ASSERT(row.id > of_class.next_after);
    of_class.next_after = row.id;
    of_class.fetched_bytes += row.bytes;
    of_class.fetched.push_back(row);
  }
  if (event.is_end) of_class.may_have_more = false;
}

void Brain::on(const FetchFailed&) {
  if (!is_fetching_) return;
  is_fetching_ = false;
  fetch_again_us_ = now_us_ + fetch_again_after_us;
}

void Brain::on(const Encoded& event) {
  if (event.connection != connection_ || state_ != State::up) return;
  if (!sending_ || !(sending_->row.ref == event.row) || !sending_->parts.empty()) return;
  if (event.waits) return wait_for_another_broker();
  PENSTOCK_ASSERT(!event.parts.empty());
  sending_->parts = event.parts;
  window_.begin_row(sending_->row, static_cast<std::uint32_t>(event.parts.size()));
}

void Brain::on(const Acknowledged& event) {
  if (event.connection != connection_ || state_ != State::up) return;
  if (event.reason_code >= 0x80) {
    const auto refused = window_.find(event.message);
    if (!refused) return;
    if (!refused->is_status) {
      on_refused(event, *refused);
      return;
    }
    if (!is_status_refused_) {
      is_status_refused_ = true;
      Report what = new_report(Report::Kind::status_refused);
      what.reason_code = event.reason_code;
      actions_->push_back(what);
    }
  }
  const auto answer = window_.acknowledge(event.message, event.at_us);
  if (!answer) return;
  if (answer->is_status) {
    if (offline_was_sent_ && event.message == status_message_) offline_was_answered_ = true;
    // Connecting may work while no batch ever does: then the back-off must go on growing.
    if (refusals_ == 0 && drops_with_same_oldest() == 0) brokers_.on_working();
    return;
  }
  has_acknowledged_data_ = true;
  // Other messages of its row may be shorter.
  if (unanswered_ == answer->row.ref && answer->bytes >= unanswered_bytes_) unanswered_.reset();
  width_.on_acknowledged(answer->round_trip_us, window_.messages());
  take_progress(answer->round_trip_us);
}

void Brain::on_refused(const Acknowledged& event, const Window::Answer& answer) {
  Refusal refusal = judge_refusal(event.reason_code);
  // A loss record is as small and plain as a message can be: what refuses it refuses the stream.
  if (answer.row.events == 0 && refusal != Refusal::connection) refusal = Refusal::for_now;
  if (refusal == Refusal::too_large && !learn_size(answer)) refusal = Refusal::for_now;
  if (refusal == Refusal::connection || refusal == Refusal::too_large) {
    note_refusal(answer, event.reason_code);
    short_lives_ = 0;
    actions_->push_back(Disconnect{connection_, false});
    return drop(Stage::up, false);
  }
  static_cast<void>(window_.acknowledge(event.message, event.at_us));
  if (window_.is_given_up(answer.row.ref)) return;  // another part was refused before
  if (refusal == Refusal::for_good) {
    lose(answer.row, event.reason_code);
  } else {
    park_for_now(answer.row, event.reason_code);
  }
  give_up(answer.row.ref);
  take_progress(0);
}

/// false: nothing is to be learnt, since it refuses what is smaller than it refused before.
bool Brain::learn_size(const Window::Answer& answer) {
  Sizes& sizes = learnt_sizes_[brokers_.current()];
  if (answer.events > 1) {
    sizes.split_bytes = std::min(sizes.split_bytes, answer.bytes / 2);
    return true;
  }
  if (answer.bytes >= sizes.packet_bytes_max) return false;
  sizes.packet_bytes_max = answer.bytes - 1;
  return true;
}

/// The connection ends with this refusal, and what follows waits until it is taken.
void Brain::note_refusal(const Window::Answer& answer, std::uint8_t reason_code) {
  const RowRef row = answer.row.ref;
  const bool is_same = refused_ && *refused_ == row && refused_code_ == reason_code;
  refusals_ = is_same ? refusals_ + 1 : 1;
  refused_ = row;
  refused_code_ = reason_code;
  if (reason_code == packet_too_large) {
    // Each time the next message is smaller: no reason to wait longer and longer.
    refusals_ = 1;
    brokers_.on_working();
  }
  Report what = new_report(Report::Kind::batch_refused);
  what.value = refusals_;
  what.reason_code = reason_code;
  what.row = row;
  what.stream_id = answer.row.stream_id;
  actions_->push_back(what);
}

void Brain::on(const StopAsked& event) {
  if (stop_deadline_us_ == 0) stop_deadline_us_ = std::max<std::int64_t>(event.deadline_us, 1);
}

void Brain::on(const Tick&) {}

void Brain::finish(bool says_goodbye) {
  Report what = new_report(Report::Kind::finished);
  what.value = static_cast<std::int64_t>(window_.messages());
  if (state_ == State::connecting || state_ == State::up) {
    actions_->push_back(Disconnect{connection_, says_goodbye});
  }
  forget_rows();
  state_ = State::finished;
  actions_->push_back(what);
}

void Brain::advance() {
  if (state_ == State::waiting) {
    if (stop_deadline_us_ != 0) return finish(false);
    if (now_us_ >= retry_at_us_) connect();
  } else if (state_ == State::connecting) {
    if (stop_deadline_us_ != 0) return finish(false);
    if (now_us_ >= connect_deadline_us_) {
      actions_->push_back(Disconnect{connection_, false});
      drop(Stage::connect, false);
    }
  } else if (state_ == State::up) {
    advance_up();
  }
}

void Brain::advance_up() {
  const auto waiting_since_us = window_.waiting_since_us();
  if (waiting_since_us && now_us_ - *waiting_since_us >= patience_us_) return drop_unanswered();
  if (stop_deadline_us_ != 0) return advance_stop();
  if (hand_over_until_us_ == 0 && brokers_.is_time_for_first(now_us_)) {
    hand_over_until_us_ = now_us_ + hand_over_us_max;
    report(Report::Kind::back_to_first);
  }
  if (hand_over_until_us_ != 0) return advance_hand_over();
  if (now_us_ >= status_due_us_ && publish_status(true)) {
    status_due_us_ = now_us_ + settings_.status_every_us;
  }
  pump();
}

/// Goes on sending until all is acknowledged or the time for it is over; then says offline.
void Brain::advance_stop() {
  const bool may_drain = now_us_ < stop_deadline_us_ - settings_.goodbye_us;
  if (may_drain && !offline_was_sent_) {
    pump();
    if (has_rows_to_send() || window_.messages() > 0) return;
  }
  if (!settings_.tells_status) return finish(true);
  if (!offline_was_sent_) {
    if (now_us_ < stop_deadline_us_ && !publish_status(false)) return;
    offline_was_sent_ = true;
  }
  if (offline_was_answered_ || now_us_ >= stop_deadline_us_) finish(offline_was_answered_);
}

Report Brain::new_report(Report::Kind kind) const {
  Report what;
  what.kind = kind;
  what.connection = connection_;
  what.broker = brokers_.current();
  return what;
}

void Brain::report(Report::Kind kind, std::int64_t value) {
  Report what = new_report(kind);
  what.value = value;
  actions_->push_back(what);
}

void Brain::set_wake() {
  std::int64_t at_us = never;
  const auto by = [&at_us](std::int64_t time_us) { at_us = std::min(at_us, time_us); };
  if (state_ == State::waiting) by(retry_at_us_);
  if (state_ == State::connecting) by(connect_deadline_us_);
  if (state_ == State::up) {
    if (const auto since_us = window_.waiting_since_us()) by(*since_us + patience_us_);
    if (status_due_us_ > now_us_) by(status_due_us_);
    if (fetch_again_us_ > now_us_) by(fetch_again_us_);
    const bool is_draining = goes_back_ && now_us_ >= go_back_from_us_;
    const bool serves_parked = stop_deadline_us_ == 0 && hand_over_until_us_ == 0 && !is_draining;
    if (serves_parked && !is_far_ahead() && !parked_row_ && !is_fetching_parked_)
      by(parked_due_us());
    if (receivers_due_us() > now_us_) by(receivers_due_us());
    by(hand_over_until_us_ != 0 ? hand_over_until_us_ : brokers_.time_for_first_us());
    if (stop_deadline_us_ != 0) {
      const std::int64_t drain_until_us = stop_deadline_us_ - settings_.goodbye_us;
      by(drain_until_us > now_us_ ? drain_until_us : stop_deadline_us_);
    }
    // A full window is woken by its acknowledgements.
    if (settings_.rate_limit_bytes_per_s != 0 && tokens_ <= 0 && sending_ &&
        window_.messages() < window_max()) {
      const double rate = static_cast<double>(settings_.rate_limit_bytes_per_s);
      by(now_us_ + 1'000 + static_cast<std::int64_t>(-tokens_ / rate * 1e6));
    }
  }
  // A deadline that has passed and waits for another event must not become a spin.
  wake_at_us_ = at_us == never ? never : std::max(at_us, now_us_ + 1'000);
}

}  // namespace penstock::forward
