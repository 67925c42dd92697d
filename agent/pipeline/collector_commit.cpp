// The part of Collector that commits.

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "agent/pipeline/collector.hpp"

namespace penstock::pipeline {
namespace {

using std::chrono::microseconds;

/// Trims and clock steps are noticed this late.
constexpr microseconds idle_poll{3'000'000};
/// The disk's free space is looked at this often while sources wait for it.
constexpr microseconds holding_back_poll{500'000};

/// A commit that takes so long is told: the disk is worn out or overloaded.
constexpr std::int64_t slow_commit_us = 2'000'000;

/// In the `_agent` event: what the store is.
std::string_view state_of(Errc code) { return code == Errc::full ? "full" : "failing"; }

microseconds retry_delay(Errc code, std::uint32_t failures) {
  constexpr microseconds first{100'000};
  // Acknowledgements make room soon; a disk that refuses takes longer.
  const microseconds longest{code == Errc::full ? 1'000'000 : 5'000'000};
  return std::min(longest, first * (1U << std::min(failures - 1, 10U)));
}

}  // namespace

microseconds Collector::step() {
  const std::int64_t now_us = clock_.steady_us();
  if (now_us < retry_us_) return microseconds(retry_us_ - now_us);
  if (!is_committing_) {
    look_at_store();
    if (auto collected = collect(Taking::running); !collected.ok()) {
      store_failed(collected.error());
      return microseconds(retry_us_ - now_us);
    }
    if (!is_commit_due()) return time_to_next_step();
    begin_commit();
  }
  if (try_commit()) return microseconds(0);
  return microseconds(std::max(retry_us_ - clock_.steady_us(), std::int64_t{0}));
}

void Collector::look_at_store() {
  const std::int64_t now_us = clock_.steady_us();
  is_holding_back_ = is_put_off_ || store_.is_nearly_full();
  switch (nearly_full_.note(is_holding_back_, now_us)) {
    case Episode::Change::none: break;
    case Episode::Change::began:
      log_.warn("event=buffer_nearly_full effect=\"sources that wait rather than lose do\"");
      agent_events_.emit("buffer", {{"state", std::string_view("nearly_full")}});
      break;
    case Episode::Change::ended:
      log_.info("event=buffer_has_room");
      agent_events_.emit("buffer", {{"state", std::string_view("has_room")}});
      break;
  }
  tell_whether_over();
  {
    const std::lock_guard lock(stats_mutex_);
    stats_.is_holding_back = is_holding_back_;
  }
  if (!store_.has_pending_trims()) return;
  // Sources wait for the room that the trims will make.
  if (is_put_off_ || inbox_.has_held(is_holding_back_)) {
    pace_.note_rows(now_us);
  } else {
    pace_.note_idle_work(now_us);
  }
}

bool Collector::is_commit_due() {
  if (is_full() || is_flush_ready()) return true;
  const std::int64_t now_us = clock_.steady_us();
  if (is_put_off_ && now_us >= offer_us_) return true;
  return now_us >= pace_.due_us(now_us, batcher_.bytes());
}

microseconds Collector::time_to_next_step() {
  const bool is_waited_for = is_holding_back_ || inbox_.has_held(false);
  const microseconds poll = is_waited_for ? holding_back_poll : idle_poll;
  const std::int64_t now_us = clock_.steady_us();
  std::int64_t due_us = pace_.due_us(now_us, batcher_.bytes());
  if (is_put_off_) due_us = std::min(due_us, offer_us_);
  return std::min(poll, microseconds(std::max(due_us - now_us, std::int64_t{0})));
}

void Collector::begin_commit() {
  const std::int64_t now_us = clock_.steady_us();
  if (is_put_off_ && now_us >= offer_us_) {
    batcher_.take_back();
    is_put_off_ = false;
  }
  gather();
  // What is only offered again has drawn on the budget before.
  is_stretched_ = pace_.has_work() && pace_.note_commit(now_us, batcher_.bytes());
  is_committing_ = true;
}

/// The rows and positions of the commit: of all, or of all but those that are put off.
void Collector::gather() {
  rows_ = batcher_.seal_all();
  new_positions_.clear();
  for (const auto& [source, lane] : lanes_) {
    if (is_put_off_ && source->waits()) continue;
    for (const auto& [part, bytes] : lane->positions) {
      new_positions_.push_back({source->owner, part, bytes});
    }
  }
}

void Collector::put_off(const Error& error) {
  batcher_.put_off();
  position_bytes_ = 0;
  is_put_off_ = is_holding_back_ = true;
  offer_us_ = clock_.steady_us() + retry_delay(Errc::full, ++put_offs_).count();
  {
    const std::lock_guard lock(stats_mutex_);
    ++stats_.commits_failed;
    stats_.is_holding_back = true;
  }
  tell_failure(error);
  gather();
}

bool Collector::try_commit() {
  const std::int64_t began_us = clock_.steady_us();
  Result<buffer::CommitReport> report = store_.commit({rows_, new_positions_});
  if (!report.ok() && report.error().code == Errc::full && waiting_chunks_ > 0 && !is_put_off_) {
    put_off(report.error());
    if (chunks_ == 0) {
      is_committing_ = false;
      return false;
    }
    report = store_.commit({rows_, new_positions_});
  }
  if (!report.ok()) {
    store_failed(report.error());
    return false;
  }
  is_committing_ = false;
  commit_succeeded(*report, began_us);
  return true;
}

void Collector::store_failed(const Error& error) {
  ++failures_;
  retry_us_ = clock_.steady_us() + retry_delay(error.code, failures_).count();
  {
    const std::lock_guard lock(stats_mutex_);
    if (failures_ == 1) stats_.retrying_since_unix_us = clock_.wall_us();
    ++stats_.commits_failed;
    stats_.last_error = error.text;
  }
  tell_failure(error);
}

/// Each kind of failure once in an episode.
void Collector::tell_failure(const Error& error) {
  if (failing_.note(true, clock_.steady_us()) == Episode::Change::began) {
    told_failures_ = 0;
    episode_failures_ = 0;
  }
  ++episode_failures_;
  const unsigned kind = 1U << static_cast<unsigned>(error.code);
  if ((told_failures_ & kind) != 0) return;
  told_failures_ |= kind;
  if (error.code == Errc::full) {
    log_.warn("event=buffer_full effect=\"sources that wait rather than lose do\" error={}",
              penstock::quoted(error.text));
  } else {
    log_.error("event=commit_failed kind={} effect=\"{}\" error={}", to_string(error.code),
               error.code == Errc::corrupt ? "the agent opens its buffer anew"
                                           : "tried again, sources wait",
               penstock::quoted(error.text));
  }
  agent_events_.emit("buffer",
                     {{"state", state_of(error.code)}, {"error", std::string_view(error.text)}});
}

void Collector::tell_whether_over() {
  if (failing_.note(false, clock_.steady_us()) != Episode::Change::ended) return;
  const std::int64_t took_ms = (failing_.last_us() - failing_.began_us()) / 1000;
  log_.info("event=commit_recovered after_ms={} failures={}", took_ms, episode_failures_);
  agent_events_.emit("buffer", {{"state", std::string_view("recovered")},
                                {"failures", episode_failures_},
                                {"failing_ms", took_ms}});
}

void Collector::tell_whether_slow(std::int64_t took_us, std::int64_t now_us) {
  const std::int64_t took_ms = took_us / 1000;
  switch (slow_.note(took_us >= slow_commit_us, now_us)) {
    case Episode::Change::none: break;
    case Episode::Change::began:
      log_.warn("event=commits_slow took_ms={} effect=\"events wait for the disk\"", took_ms);
      agent_events_.emit("buffer", {{"state", std::string_view("slow")}, {"commit_ms", took_ms}});
      break;
    case Episode::Change::ended:
      log_.info("event=commits_fast_again took_ms={}", took_ms);
      agent_events_.emit("buffer", {{"state", std::string_view("fast")}, {"commit_ms", took_ms}});
      break;
  }
}

void Collector::commit_succeeded(const buffer::CommitReport& report, std::int64_t began_us) {
  const std::int64_t now_us = clock_.steady_us();
  publish_positions();
  for (Source* source : inbox_.limited_sources()) {
    if (is_put_off_ && source->waits()) continue;
    source->stored_bytes = store_.group_bytes(source->options.name);
    source->taken_bytes = 0;
  }
  tell_losses(report);
  pace_.note_written(report.written_bytes);
  const auto took_us = static_cast<std::uint64_t>(now_us - began_us);
  tell_whether_slow(now_us - began_us, now_us);
  {
    const std::lock_guard lock(stats_mutex_);
    stats_.chunks += chunks_ + (is_put_off_ ? 0 : waiting_chunks_);
    stats_.events += batcher_.event_count();
    stats_.bytes += batcher_.bytes();
    stats_.batches += rows_.size();
    stats_.commits += 1;
    stats_.commits_stretched += is_stretched_;
    stats_.dropped_events += report.dropped_events;
    stats_.expired_events += report.expired_events;
    stats_.written_bytes += report.written_bytes;
    written_.add(clock_.boot_us(), report.written_bytes);
    stats_.commit_us_total += took_us;
    stats_.commit_us_last = took_us;
    stats_.is_slow = slow_.is_on();
    stats_.commit_us_max = std::max(stats_.commit_us_max, took_us);
    stats_.last_commit_unix_us = clock_.wall_us();
    stats_.retrying_since_unix_us = 0;
    stats_.last_error.clear();
    stats_.streams = static_cast<std::uint32_t>(batcher_.stream_count());
  }
  log_.debug("event=committed chunks={} rows={} bytes={} took_us={}", chunks_, rows_.size(),
             batcher_.bytes(), took_us);
  failures_ = 0;
  retry_us_ = 0;
  chunks_ = 0;
  if (!is_put_off_) waiting_chunks_ = put_offs_ = 0;
  position_bytes_ = 0;
  rows_ = {};
  batcher_.clear();
}

/// Once per minute at most, and then what went since.
void Collector::tell_losses(const buffer::CommitReport& report) {
  constexpr std::int64_t pause_us = 60'000'000;
  untold_dropped_ += report.dropped_events;
  untold_expired_ += report.expired_events;
  if (untold_dropped_ + untold_expired_ == 0) return;
  const std::int64_t now_us = clock_.steady_us();
  if (losses_told_us_ != 0 && now_us - losses_told_us_ < pause_us) return;
  losses_told_us_ = now_us;
  log_.warn("event=events_lost dropped={} expired={} effect=\"loss records in their place\"",
            std::exchange(untold_dropped_, 0), std::exchange(untold_expired_, 0));
}

/// The sessions see the positions, the flushes return, and lanes of closed sources are forgotten.
void Collector::publish_positions() {
  std::vector<DurablePosition> durable;
  for (const auto& [source, lane] : lanes_) {
    if (is_put_off_ && source->waits()) continue;
    for (const auto& [part, bytes] : lane->positions) {
      durable.push_back({lane->source, part, bytes});
    }
  }
  std::vector<const Source*> gone;
  inbox_.made_durable(durable, is_put_off_, gone);
  for (const auto& [source, lane] : lanes_) {
    if (!is_put_off_ || !source->waits()) lane->positions.clear();
  }
  for (const Source* source : gone) lanes_.erase(source);
}

IntakeStats Collector::stats() const {
  const std::lock_guard lock(stats_mutex_);
  IntakeStats stats = stats_;
  stats.written_bytes_day = written_.at(clock_.boot_us());
  stats.write_budget_bytes_day =
      static_cast<std::uint64_t>(options_.write_budget_bytes_per_s * 86'400 + 0.5);
  return stats;
}

}  // namespace penstock::pipeline
