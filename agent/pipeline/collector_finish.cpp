// The part of Collector that ends: the last commits, and what is told of what they could not hold.

#include <fmt/format.h>

#include <algorithm>

#include "agent/pipeline/collector.hpp"

namespace penstock::pipeline {

Result<void> Collector::finish(int attempts_max, std::chrono::milliseconds pause) {
  PENSTOCK_TRY(store_rest(attempts_max, pause));
  return give_up();
}

/// ok: everything is stored, or put off for want of room.
Result<void> Collector::store_rest(int attempts_max, std::chrono::milliseconds pause) {
  // A slow disk makes attempts long.
  const std::int64_t end_us =
      clock_.steady_us() + std::chrono::microseconds(pause).count() * std::max(attempts_max, 0);
  for (int attempt = 1;; ++attempt) {
    if (!is_committing_) {
      look_at_store();
      // Behind what is put off nothing more of its streams may be numbered.
      const Taking taking = is_put_off_ ? Taking::running : Taking::ending;
      if (auto collected = collect(taking); !collected.ok()) {
        store_failed(collected.error());
      } else {
        if (chunks_ + waiting_chunks_ == 0) return {};
        offer_us_ = 0;
        begin_commit();
      }
    }
    const bool is_done = is_committing_ && try_commit();
    if (is_done && !is_put_off_) {
      attempt = 0;
      continue;
    }
    if (attempt >= attempts_max || (attempt > 1 && clock_.steady_us() > end_us)) break;
    if (!is_done) inbox_.wait(pause);
  }
  if (is_put_off_ && !is_committing_) return {};
  return not_stored();
}

/// What is put off becomes loss records, and what is queued behind it of the same sources is stored
/// or does so too. What sources can give again is left to them.
Result<void> Collector::give_up() {
  while (is_put_off_) {
    const std::uint64_t lost = give_up_put_off();
    while (!is_put_off_) {
      if (waiting_chunks_ == 0) PENSTOCK_TRY(collect(Taking::giving_up));
      if (chunks_ + waiting_chunks_ == 0) return {};
      const bool is_loss_only = batcher_.event_count() == 0;
      begin_commit();
      if (try_commit()) continue;
      if (is_committing_) return not_stored();
      if (is_loss_only) {
        return Error{Errc::unavailable,
                     fmt::format("{} events are lost, and the buffer has no room to say so", lost)};
      }
    }
  }
  return {};
}

std::uint64_t Collector::give_up_put_off() {
  const Batcher::GivenUp given_up = batcher_.give_up_put_off(clock_.wall_us());
  batcher_.take_back();
  inbox_.give_up();
  is_put_off_ = false;
  waiting_chunks_ = batcher_.is_empty() ? 0 : 1;
  // With its position a chunk would count as stored.
  for (const auto& [source, lane] : lanes_) {
    if (source->waits()) lane->positions.clear();
  }
  if (given_up.rereadable_events != 0) {
    log_.warn("event=not_stored events={} effect=\"their sources give them again\"",
              given_up.rereadable_events);
  }
  if (given_up.lost_events != 0) {
    log_.warn(
        "event=events_lost dropped={} effect=\"the buffer is full at the end: loss records in "
        "their place\"",
        given_up.lost_events);
  }
  return given_up.lost_events;
}

Error Collector::not_stored() const {
  return Error{Errc::unavailable, fmt::format("{} events could not be stored: {}",
                                              batcher_.event_count(), stats().last_error)};
}

}  // namespace penstock::pipeline
