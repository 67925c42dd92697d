#include "buffer/parking.hpp"

#include <algorithm>

namespace penstock::buffer {

void ParkedStreams::found(std::uint32_t stream_id) {
  const std::lock_guard guard(mutex_);
  streams_[stream_id].stream_id = stream_id;
}

void ParkedStreams::park(std::uint32_t stream_id, std::uint64_t from_id) {
  const std::lock_guard guard(mutex_);
  const auto [at, is_new] = streams_.try_emplace(stream_id);
  ParkedStream& stream = at->second;
  if (!is_new && !stream.is_leaving) return;
  stream.stream_id = stream_id;
  stream.from_id = from_id;
  stream.is_leaving = false;
}

void ParkedStreams::refuse(std::uint32_t stream_id, std::uint64_t id, std::uint8_t code) {
  const std::lock_guard guard(mutex_);
  const auto at = streams_.find(stream_id);
  if (at != streams_.end()) at->second.refusals.push_back({id, code, false});
}

void ParkedStreams::acknowledge(std::uint32_t stream_id, std::uint64_t id) {
  const std::lock_guard guard(mutex_);
  const auto at = streams_.find(stream_id);
  if (at == streams_.end()) return;
  ParkedStream& stream = at->second;
  stream.acked = std::max(stream.acked, id);
  const auto is_gone = [&stream](const auto& refusal) { return refusal.id <= stream.acked; };
  stream.refusals.erase(std::remove_if(stream.refusals.begin(), stream.refusals.end(), is_gone),
                        stream.refusals.end());
}

void ParkedStreams::pin(std::uint32_t stream_id, std::uint64_t id) {
  const std::lock_guard guard(mutex_);
  const auto at = streams_.find(stream_id);
  if (at != streams_.end()) at->second.pinned = std::max(at->second.pinned, id);
}

void ParkedStreams::unpin() {
  const std::lock_guard guard(mutex_);
  for (auto& [id, stream] : streams_) stream.pinned = stream.expires_us = 0;
}

void ParkedStreams::leave(std::uint32_t stream_id) {
  const std::lock_guard guard(mutex_);
  const auto at = streams_.find(stream_id);
  if (at == streams_.end()) return;
  if (at->second.acked > at->second.trimmed) {
    at->second.is_leaving = true;
  } else {
    streams_.erase(at);
  }
}

std::optional<ParkedStream> ParkedStreams::find(std::uint32_t stream_id) const {
  const std::lock_guard guard(mutex_);
  const auto at = streams_.find(stream_id);
  if (at == streams_.end()) return std::nullopt;
  return at->second;
}

std::vector<ParkedStream> ParkedStreams::all() const {
  const std::lock_guard guard(mutex_);
  std::vector<ParkedStream> out;
  out.reserve(streams_.size());
  for (const auto& [id, stream] : streams_) out.push_back(stream);
  return out;
}

bool ParkedStreams::has_pending() const {
  const std::lock_guard guard(mutex_);
  return std::any_of(streams_.begin(), streams_.end(), [](const auto& entry) {
    const ParkedStream& stream = entry.second;
    return stream.acked > stream.trimmed ||
           std::any_of(stream.refusals.begin(), stream.refusals.end(),
                       [](const auto& refusal) { return !refusal.is_stored; });
  });
}

void ParkedStreams::publish(const std::vector<ParkedStream>& parked, bool has_more) {
  const std::lock_guard guard(mutex_);
  for (const ParkedStream& done : parked) {
    const auto at = streams_.find(done.stream_id);
    if (at == streams_.end()) continue;
    ParkedStream& stream = at->second;
    if (!has_more) stream.trimmed = done.acked;
    // Where it was unpinned meanwhile, what was pinned may come of age before.
    if (stream.pinned >= done.pinned) stream.expires_us = done.expires_us;
    for (auto& refusal : stream.refusals) {
      for (const auto& stored : done.refusals) {
        if (stored.id == refusal.id) refusal.is_stored = stored.is_stored;
      }
    }
    if (stream.is_leaving && stream.trimmed >= stream.acked) streams_.erase(at);
  }
}

}  // namespace penstock::buffer
