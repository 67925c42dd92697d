#include "agent/pipeline/inbox.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace penstock::pipeline {
namespace {

using connectors::Chunk;
using Lock = std::unique_lock<std::mutex>;

/// With the chunks in the connector's and in intake's hand, enough for a queue that fills and
/// empties.
constexpr std::size_t spares_max = 4;
/// Longer waits are cut into such pieces: far below where the clock's arithmetic overflows.
constexpr std::chrono::microseconds wait_max = std::chrono::hours(1);

Error stopped() { return Error{Errc::stopped, "stop was asked for"}; }

}  // namespace

Source::Source(SourceOptions source_options)
    : options(std::move(source_options)), owner(options.type + '\0' + options.name) {}

bool Source::is_held(bool is_nearly_full) const {
  if (!waits()) return false;
  const bool is_share_used =
      options.share_bytes_max != 0 && stored_bytes + taken_bytes >= options.share_bytes_max;
  return is_nearly_full || is_share_used;
}

bool Source::is_left(bool is_nearly_full, Taking taking) const {
  switch (taking) {
    case Taking::running: return is_held(is_nearly_full);
    case Taking::ending: return options.is_rereadable && is_held(is_nearly_full);
    case Taking::giving_up: break;
  }
  return options.is_rereadable && waits();
}

Result<Source*> Inbox::open(const SourceOptions& options) {
  const Lock lock(mutex_);
  for (auto& source : sources_) {
    if (source->options.name != options.name) continue;
    if (!source->is_closed) {
      return Error{Errc::invalid, fmt::format("connector {} has a session", options.name)};
    }
    if (source->durable < source->pushed) {
      return Error{Errc::unavailable,
                   fmt::format("connector {} has chunks that are not yet durable", options.name)};
    }
  }
  sources_.push_back(std::make_unique<Source>(options));
  return sources_.back().get();
}

void Inbox::close(Source& source) {
  const Lock lock(mutex_);
  source.is_closed = true;
  is_signalled_ = true;
  work_.notify_one();
}

void Inbox::set_positions(Source& source, Positions positions) {
  const Lock lock(mutex_);
  source.positions = std::move(positions);
}

bool Inbox::has_room(const Source& source, std::size_t size) const {
  return source.queue.empty() || source.queued_bytes + size <= queue_bytes_max_;
}

Result<void> Inbox::push(Source& source, Chunk& chunk) {
  if (chunk.is_empty()) return {};
  const std::size_t size = chunk.size();
  Lock lock(mutex_);
  while (!has_room(source, size) && !source.is_stopping && !is_shut_) {
    ++source.waiting_pushes;
    source.changed.wait(lock);
    --source.waiting_pushes;
  }
  // What is in the hands of one that cannot give it again is nowhere else.
  const bool is_refused = source.options.is_rereadable && !has_room(source, size);
  if (is_shut_ || is_refused) return stopped();
  if (source.is_stopping && std::exchange(source.has_pushed_last, true)) return stopped();
  if (source.spares.empty()) {
    source.queue.emplace_back();
  } else {
    source.queue.push_back(std::move(source.spares.back()));
    source.spares.pop_back();
  }
  std::swap(source.queue.back(), chunk);
  source.queued_bytes += size;
  ++source.pushed;
  is_signalled_ = true;
  work_.notify_one();
  return {};
}

Result<void> Inbox::flush(Source& source) {
  Lock lock(mutex_);
  const std::uint64_t target = source.pushed;
  if (source.durable >= target) return {};
  source.flush_target = target;
  is_signalled_ = true;
  work_.notify_one();
  source.changed.wait(lock,
                      [&] { return source.durable >= target || source.is_stopping || is_shut_; });
  if (source.durable >= target) return {};
  return stopped();
}

bool Inbox::sleep_for(Source& source, std::chrono::microseconds time) {
  const auto end = std::chrono::steady_clock::now() + std::min(time, wait_max * 24 * 365);
  Lock lock(mutex_);
  while (!source.is_stopping && std::chrono::steady_clock::now() < end) {
    source.changed.wait_until(lock, end);
  }
  return !source.is_stopping;
}

void Inbox::request_stop(Source& source) {
  const Lock lock(mutex_);
  source.is_stopping = true;
  source.changed.notify_all();
}

void Inbox::shut() {
  const Lock lock(mutex_);
  is_shut_ = true;
  for (auto& source : sources_) source->changed.notify_all();
}

bool Inbox::take(bool is_nearly_full, Taking taking, Taken& out) {
  const Lock lock(mutex_);
  for (std::size_t tried = 0; tried < sources_.size(); ++tried) {
    Source& source = *sources_[next_++ % sources_.size()];
    if (source.queue.empty() || source.is_left(is_nearly_full, taking)) continue;
    out.source = &source;
    out.chunk = std::move(source.queue.front());
    source.queue.pop_front();
    source.queued_bytes -= out.chunk.size();
    ++source.taken;
    source.changed.notify_all();
    return true;
  }
  return false;
}

void Inbox::put_back(Taken& taken) {
  const Lock lock(mutex_);
  Source& source = *taken.source;
  source.queued_bytes += taken.chunk.size();
  source.queue.push_front(std::move(taken.chunk));
  --source.taken;
}

void Inbox::recycle(Taken& taken) {
  taken.chunk.clear();
  const Lock lock(mutex_);
  Source& source = *taken.source;
  if (source.spares.size() < spares_max) source.spares.push_back(std::move(taken.chunk));
}

void Inbox::made_durable(const std::vector<DurablePosition>& positions, bool is_some_put_off,
                         std::vector<const Source*>& gone) {
  const Lock lock(mutex_);
  for (const DurablePosition& position : positions) {
    Positions& known = position.source->positions;
    const auto found = known.find(position.part);
    if (position.bytes.empty()) {
      if (found != known.end()) known.erase(found);
    } else if (found != known.end()) {
      found->second = position.bytes;
    } else {
      known.emplace(position.part, position.bytes);
    }
  }
  for (auto& source : sources_) {
    const bool is_put_off = is_some_put_off && source->waits();
    if (source->durable == source->taken || is_put_off || source->is_given_up) continue;
    source->durable = source->taken;
    source->changed.notify_all();
  }
  std::erase_if(sources_, [&](const std::unique_ptr<Source>& source) {
    const bool is_done = source->is_closed && source->durable == source->pushed;
    if (is_done) gone.push_back(source.get());
    return is_done;
  });
}

void Inbox::give_up() {
  const Lock lock(mutex_);
  for (auto& source : sources_) {
    if (source->waits() && source->durable < source->taken) source->is_given_up = true;
  }
}

bool Inbox::is_flush_ready(bool is_nearly_full, bool is_some_put_off) const {
  const Lock lock(mutex_);
  bool is_waiting = false;
  for (const auto& source : sources_) {
    if (source->flush_target <= source->durable) continue;
    if (is_some_put_off && source->waits()) continue;
    if (source->flush_target <= source->taken) {
      is_waiting = true;
    } else if (!source->is_held(is_nearly_full)) {
      return false;
    }
  }
  return is_waiting;
}

bool Inbox::has_held(bool is_nearly_full) const {
  const Lock lock(mutex_);
  return std::any_of(sources_.begin(), sources_.end(), [=](const auto& source) {
    return !source->queue.empty() && source->is_held(is_nearly_full);
  });
}

std::vector<Source*> Inbox::limited_sources() const {
  const Lock lock(mutex_);
  std::vector<Source*> limited;
  for (const auto& source : sources_) {
    if (source->options.share_bytes_max != 0) limited.push_back(source.get());
  }
  return limited;
}

void Inbox::wait(std::chrono::microseconds time) {
  Lock lock(mutex_);
  work_.wait_for(lock, std::min(time, wait_max), [&] { return is_signalled_; });
  is_signalled_ = false;
}

void Inbox::wake() {
  const Lock lock(mutex_);
  is_signalled_ = true;
  work_.notify_one();
}

std::optional<std::string> Inbox::position(const Source& source, std::string_view part) const {
  const Lock lock(mutex_);
  const auto found = source.positions.find(part);
  if (found == source.positions.end()) return std::nullopt;
  return found->second;
}

std::vector<std::string> Inbox::parts(const Source& source) const {
  const Lock lock(mutex_);
  std::vector<std::string> parts;
  for (const auto& [part, bytes] : source.positions) parts.push_back(part);
  return parts;
}

SourceStats Inbox::stats(const Source& source) const {
  SourceStats stats;
  stats.name = source.options.name;
  stats.type = source.options.type;
  stats.events = source.events;
  stats.bytes = source.bytes;
  stats.lost = source.lost;
  stats.cut = source.cut;
  stats.streams = source.streams;
  stats.last_event_unix_us = source.last_event_unix_us;
  const Lock lock(mutex_);
  stats.chunks = source.taken;
  stats.queued_chunks = source.queue.size();
  stats.queued_bytes = source.queued_bytes;
  stats.is_waiting = source.waiting_pushes > 0;
  return stats;
}

}  // namespace penstock::pipeline
