// Brain: decides what the forwarder does next. A state machine without threads, clock, sockets or
// store, so that a simulation can run years of faults through it.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "agent/forward/brain_events.hpp"
#include "agent/forward/brokers.hpp"
#include "agent/forward/verification.hpp"
#include "agent/forward/width.hpp"
#include "agent/forward/window.hpp"
#include "buffer/store.hpp"

namespace penstock::forward {

struct BrainSettings {
  BrokerSettings brokers{};
  std::uint32_t in_flight_max = 64;              ///< messages, 1 … 64
  std::uint64_t in_flight_bytes_max = 2U << 20;  ///< at least one message always goes
  std::uint64_t fetch_bytes = 1U << 20;          ///< stored bytes a fetch asks for
  std::uint64_t rate_limit_bytes_per_s = 0;      ///< 0: none
  std::int64_t ack_timeout_us = 30'000'000;
  std::int64_t connect_timeout_us = 30'000'000;  ///< the link itself should be faster
  std::int64_t status_every_us = 600'000'000;
  std::int64_t goodbye_us = 1'000'000;  ///< for the last status, out of the stop time
  std::int64_t parked_retry_min_us = 1'000'000;
  std::int64_t parked_retry_max_us = 300'000'000;
  bool tells_status = true;
  std::size_t receivers = 0;                 ///< that have to verify what the broker acknowledged
  std::size_t unverified_rows_max = 16'384;  ///< no more are sent before some are verified
  bool skips_poison = false;  ///< poison becomes a loss record; else its stream is parked
};

/// Promises, whatever the events and their order: rows of a class are handed out in the order of
/// their ids, on each connection from the oldest one that is not acknowledged on; at most the
/// window is unacknowledged; a row is acknowledged to the store only after the broker acknowledged
/// it and all before it in its class, and every receiver has them, or its stream is parked: then it
/// is sent from there, in the order of its stream. Events of other connections and generations
/// change nothing. Thread: owner only.
class Brain {
 public:
  explicit Brain(const BrainSettings& settings);

  /// Appends to `actions`. now_us: a steady clock, never going back.
  void step(std::int64_t now_us, const Event& event, std::vector<Action>& actions);

  /// When Tick is due; INT64_MAX: not before another event.
  std::int64_t wake_at_us() const { return wake_at_us_; }
  bool is_finished() const { return state_ == State::finished; }
  bool is_up() const { return state_ == State::up; }

 private:
  enum class State : std::uint8_t { waiting, connecting, up, finished };
  struct Class {
    std::deque<FetchedRow> fetched;
    std::uint64_t fetched_bytes = 0;
    std::uint64_t next_after = 0;    // fetch behind this
    std::uint64_t acknowledged = 0;  // to the store
    std::uint64_t confirmed = 0;     // by the broker: a connection begins behind this
    std::uint64_t again_until = 0;   // was confirmed before it went back
    std::uint64_t started = 0;       // the last row that was sent or passed over
    bool may_have_more = true;
    std::optional<std::uint64_t> oldest_at_drop;
    std::uint32_t drops_with_same_oldest = 0;  // connections, since one of it was acknowledged
  };
  struct Sending {
    Window::RowInfo row;
    std::vector<EncodedPart> parts;  // empty: being encoded
    std::uint32_t next_part = 0;
  };
  struct Parked {
    std::uint32_t attempts = 0;  // in a row that were refused, or ended with the connection
    std::uint32_t drops = 0;     // of these, ended with the connection
    std::int64_t due_us = 0;
    std::uint64_t acknowledged = 0;   // of the table
    std::uint64_t sent = 0;           // confirmed by the broker
    std::uint64_t moved_to = 0;       // rows of the class up to here are in the table, or will be
    std::set<std::uint64_t> refused;  // sent once they have become loss records
    bool is_busy = false;             // fetched, or on its way
    bool is_reported = false;
    bool is_in_store = false;  // since before this generation: its return is news too
  };

  void on(const Stored& event);
  void on(const StoreChanged& event);
  void on(const Fetched& event);
  void on(const FetchFailed& event);
  void on(const FetchedParked& event);
  void on(const Unparked& event);
  void on(const Encoded& event);
  void on(const LinkUp& event);
  void on(const LinkDown& event);
  void on(const Acknowledged& event);
  void on(const ReceiverVerified& event);
  void on(const StopAsked& event);
  void on(const Tick& event);

  void on_refused(const Acknowledged& event, const Window::Answer& answer);
  void note_refusal(const Window::Answer& answer, std::uint8_t reason_code);
  bool learn_size(const Window::Answer& answer);
  void take_progress(std::int64_t round_trip_us);

  // brain_parked.cpp
  Parked& park(const Window::RowInfo& row);
  void park_for_now(const Window::RowInfo& row, std::uint8_t reason_code);
  void lose(const Window::RowInfo& row, std::uint8_t reason_code);
  void give_up(const RowRef& row);
  void wait_for_another_broker();
  void stop_sending(std::uint32_t stream_id);
  void judge_end(std::uint8_t reason_code);
  void suspect(const Window::Answer& lone, bool is_blamed);
  std::uint64_t elsewhere_bytes_max() const;
  bool make_smaller(const Window::Answer& message, std::uint64_t divisor);
  void put_off(Parked& parked);
  void take_parked_progress(std::int64_t round_trip_us);
  void forget_parked_rows();
  void retry_parked_now();
  bool start_parked_row();
  void fetch_parked();
  std::int64_t parked_due_us() const;
  void report_row(Report::Kind kind, const Window::RowInfo& row, std::uint8_t reason_code);

  // brain_receivers.cpp
  void begin_to_wait();
  void take_verified();
  bool is_trial() const;
  bool is_far_ahead() const;
  bool has_sent_again();
  void watch_receivers();
  std::int64_t silent_at_us() const;
  std::int64_t receivers_due_us() const;
  void go_back();
  bool advance_going_back();

  void connect();
  void drop(Stage stage, bool version_refused);
  void drop_unanswered();
  void note_oldest();
  void count_short_life(std::uint8_t reason_code);
  std::uint32_t unwelcome_by_short_lives() const;
  void forget_rows();
  void plan_retry();
  void finish(bool says_goodbye);
  void advance();
  void advance_up();
  void advance_stop();
  void advance_hand_over();
  bool publish_status(bool is_online);
  void pump();
  bool send_next_part();
  bool start_next_row();
  bool start_row_of_class();
  void start(const Window::RowInfo& row);
  void fetch_ahead();
  bool fetch(buffer::Priority priority);
  void refill_tokens();
  bool has_rows_to_send() const;
  std::size_t window_max() const;
  Report new_report(Report::Kind kind) const;
  void report(Report::Kind kind, std::int64_t value = 0);
  void set_wake();

  /// So many connections that ended with the same oldest row make the window one message wide.
  static constexpr std::uint32_t same_oldest_max = 3;
  static constexpr std::uint64_t never_split = std::numeric_limits<std::uint64_t>::max();

  std::uint32_t drops_with_same_oldest() const;
  void forget_same_oldest();
  Class& of(buffer::Priority priority) { return classes_[static_cast<std::size_t>(priority)]; }

  BrainSettings settings_;
  Brokers brokers_;
  Window window_;
  Width width_;
  std::array<Class, buffer::priority_count> classes_;
  Verification verification_;
  std::vector<Window::RowInfo> done_rows_;  // of take_progress, kept for its memory
  bool goes_back_ = false;                  // as soon as nothing is on its way
  std::int64_t go_back_from_us_ = 0;
  std::int64_t believe_holes_from_us_ = 0;
  std::int64_t again_from_us_ = 0;  // when it may go back because of silence
  bool waits_for_receivers_ = false;
  bool are_receivers_silent_ = false;      // reported
  std::int64_t unverified_since_us_ = 0;   // on this connection
  std::int64_t unverified_before_us_ = 0;  // on earlier ones
  std::uint32_t times_in_vain_ = 0;        // it went back since something was verified
  std::size_t confirmed_by_ = 0;           // broker
  std::optional<Sending> sending_;
  bool is_fetching_ = false;
  std::int64_t fetch_again_us_ = 0;  // after a failure
  std::map<std::uint32_t, Parked> parked_;
  std::optional<Window::RowInfo> parked_row_;  // fetched
  bool is_fetching_parked_ = false;
  bool is_unparking_ = false;    // until it is told, no row is passed over or sent
  bool is_parked_turn_ = false;  // after a row of a class
  std::optional<RowRef> alone_;  // a parked row that may be poison: no other beside it
  std::uint64_t generation_ = 0;

  State state_ = State::waiting;
  std::uint64_t connection_ = 0;
  std::size_t broker_up_ = 0;  // of the last connection that was up
  Limits limits_;
  std::int64_t retry_at_us_ = 0;
  std::int64_t connect_deadline_us_ = 0;
  std::int64_t status_due_us_ = 0;
  std::uint64_t status_message_ = 0;     // the last one sent
  bool is_status_refused_ = false;       // reported
  std::int64_t hand_over_until_us_ = 0;  // 0: not going back to the first broker

  std::optional<RowRef> refused_;  // the last row that was refused
  std::uint8_t refused_code_ = 0;
  std::uint32_t refusals_ = 0;
  std::uint32_t sent_away_ = 0;    // times in a row that the broker ended a young connection
  std::uint32_t short_lives_ = 0;  // connections in a row that ended soon, without a reason
  std::int64_t up_since_us_ = 0;
  bool has_acknowledged_data_ = false;  // on this connection
  std::int64_t patience_us_ = 0;        // for an acknowledgement
  std::int64_t patient_until_us_ = 0;   // then the next connection begins with less of it
  std::optional<RowRef> unanswered_;    // of the last message that had none within it
  std::uint64_t unanswered_bytes_ = 0;
  std::optional<RowRef> suspect_;
  std::uint32_t suspicions_ = 0;
  std::uint64_t tried_bytes_before_ = never_split;  // of this broker, before the suspect was split

  struct Sizes {
    std::uint64_t split_bytes = never_split;
    std::uint64_t packet_bytes_max = never_split;
    std::uint64_t told_bytes_max = never_split;  // in its last CONNACK
    // After breaks without a reason, which a passing fault of the network may have been.
    std::uint64_t tried_bytes = never_split;
    std::int64_t tried_until_us = 0;
    std::int64_t tried_for_us = 0;
  };
  std::vector<Sizes> learnt_sizes_;  // of each broker, from its refusals

  std::int64_t stop_deadline_us_ = 0;  // 0: no stop asked
  bool offline_was_sent_ = false;
  bool offline_was_answered_ = false;

  double tokens_ = 0;
  std::int64_t tokens_at_us_ = 0;

  std::int64_t now_us_ = 0;
  std::int64_t wake_at_us_ = 0;
  std::vector<Action>* actions_ = nullptr;  // of the step in progress
};

}  // namespace penstock::forward
