#include "agent/cli/receiver_rule.hpp"

#include <algorithm>

namespace penstock::cli {
namespace {

constexpr std::size_t recent_min = 64;
constexpr std::size_t recent_max = 4096;

std::uint32_t low_bits(std::uint64_t value) { return static_cast<std::uint32_t>(value); }
std::uint32_t folded(std::uint64_t hash) { return low_bits(hash ^ (hash >> 32)); }

}  // namespace

Verdict ReceiverRule::take(const EventIdentity& event, std::int64_t now_us) {
  Stream* const stream = find_or_add(event);
  if (stream == nullptr) {
    ++counts_.untracked;
    return Verdict::untracked;
  }
  const std::uint64_t end = event.seq + std::max<std::uint64_t>(1, event.lost);
  stream->touched = event.seq;
  if (event.seq >= stream->next) {
    if (event.seq > stream->next) {
      const bool is_required = !stream->is_new || settings_.from_start;
      stream->holes.emplace_hint(stream->holes.end(), stream->next,
                                 Hole{event.seq, now_us, is_required, false});
      limit_holes(*stream);
    }
    stream->next = end;
    stream->is_new = false;
    count_new(event, end - event.seq);
    remember(*stream, event);
    return Verdict::fresh;
  }
  std::uint64_t numbers = cover(*stream, event.seq, std::min(end, stream->next));
  const bool reaches_above = end > stream->next;
  if (reaches_above) {
    numbers += end - stream->next;
    stream->next = end;
  }
  if (numbers == 0) {
    const Verdict verdict = compare(*stream, event);
    ++(verdict == Verdict::conflict ? counts_.conflicts : counts_.repeats);
    return verdict;
  }
  count_new(event, numbers);
  remember(*stream, event);
  if (reaches_above) return Verdict::fresh;
  ++counts_.late;
  return Verdict::late;
}

std::vector<Gap> ReceiverRule::find_gaps(std::int64_t now_us) {
  std::vector<Gap> gaps = std::exchange(given_up_, {});
  for (auto& [key, stream] : streams_) {
    for (auto& [first, hole] : stream->holes) {
      if (now_us - hole.opened_us >= settings_.gap_after_us) report(*stream, first, hole, gaps);
    }
  }
  return gaps;
}

std::vector<Gap> ReceiverRule::finish() {
  std::vector<Gap> gaps = std::exchange(given_up_, {});
  for (auto& [key, stream] : streams_) {
    for (auto& [first, hole] : stream->holes) report(*stream, first, hole, gaps);
  }
  return gaps;
}

void ReceiverRule::covered(std::size_t ranges_max, std::vector<Covered>& out) const {
  for (const auto& [key, stream] : streams_) {
    const auto& holes = stream->holes;
    // A range lies before each hole and behind the last.
    auto hole = holes.upper_bound(stream->touched);
    for (std::size_t n = 0; n < ranges_max / 2 && hole != holes.begin(); ++n) --hole;
    Covered covered{stream->device, stream->stream, stream->epoch, {}};
    std::uint64_t begin = hole == holes.begin() ? 0 : std::prev(hole)->second.end;
    while (covered.bounds.size() < 2 * ranges_max) {
      begin = std::max(begin, stream->given_up_below);
      const std::uint64_t end = hole == holes.end() ? stream->next : hole->first;
      if (end > begin) covered.bounds.insert(covered.bounds.end(), {begin, end});
      if (hole == holes.end()) break;
      begin = hole++->second.end;
    }
    if (!covered.bounds.empty()) out.push_back(std::move(covered));
  }
}

ReceiverRule::Stream* ReceiverRule::find_or_add(const EventIdentity& event) {
  if (last_ != nullptr && last_->stream == event.stream && last_->device == event.device &&
      last_->epoch == event.epoch) {
    return last_;
  }
  std::string key = key_of(event.device, event.stream, event.epoch);
  auto found = streams_.find(key);
  if (found == streams_.end()) {
    if (streams_.size() >= settings_.streams_max) return nullptr;
    auto stream = std::make_unique<Stream>();
    stream->device = event.device;
    stream->stream = event.stream;
    stream->epoch = event.epoch;
    found = streams_.emplace(std::move(key), std::move(stream)).first;
    counts_.streams = streams_.size();
  }
  last_ = found->second.get();
  return last_;
}

std::string ReceiverRule::key_of(std::string_view device, std::string_view stream,
                                 std::string_view epoch) {
  std::string key;
  key.reserve(device.size() + stream.size() + epoch.size() + 2);
  // No control character can be inside a JSON string, so '\n' keeps the names apart.
  key.append(device).append(1, '\n').append(stream).append(1, '\n').append(epoch);
  return key;
}

/// Takes [first, end) out of the holes. Returns how many numbers were missing before.
std::uint64_t ReceiverRule::cover(Stream& stream, std::uint64_t first, std::uint64_t end) {
  std::uint64_t covered = 0;
  auto next = stream.holes.upper_bound(first);
  if (next != stream.holes.begin()) --next;
  while (next != stream.holes.end() && next->first < end) {
    const auto current = next++;
    const std::uint64_t hole_first = current->first;
    const Hole hole = current->second;
    if (hole.end <= first) continue;
    covered += std::min(end, hole.end) - std::max(first, hole_first);
    stream.holes.erase(current);
    if (hole_first < first) {
      Hole left = hole;
      left.end = first;
      stream.holes.emplace(hole_first, left);
    }
    if (end < hole.end) stream.holes.emplace(end, hole);
  }
  limit_holes(stream);
  return covered;
}

void ReceiverRule::count_new(const EventIdentity& event, std::uint64_t numbers) {
  if (event.is_loss_record) {
    ++counts_.loss_records;
    counts_.lost += numbers;
  } else {
    ++counts_.events;
  }
}

Verdict ReceiverRule::compare(const Stream& stream, const EventIdentity& event) const {
  if (event.is_loss_record || stream.recent.empty()) return Verdict::repeat;
  const Remembered& slot = stream.recent[event.seq & (stream.recent.size() - 1)];
  const bool differs = slot.seq_low == low_bits(event.seq) && slot.hash != folded(event.hash);
  return differs ? Verdict::conflict : Verdict::repeat;
}

void ReceiverRule::remember(Stream& stream, const EventIdentity& event) {
  if (event.is_loss_record) return;
  if (stream.recent.empty() && !grow(stream)) return;
  const std::uint32_t seq_low = low_bits(event.seq);
  for (;;) {
    const std::size_t index = event.seq & (stream.recent.size() - 1);
    Remembered& slot = stream.recent[index];
    const bool is_empty = slot.seq_low == ~low_bits(index);
    const bool is_older = static_cast<std::int32_t>(seq_low - slot.seq_low) > 0;
    if (is_empty || !grow(stream)) {
      if (is_empty || is_older) slot = {seq_low, folded(event.hash)};
      return;
    }
  }
}

/// Doubles the remembered numbers. False at the bounds.
bool ReceiverRule::grow(Stream& stream) {
  const std::size_t size = std::max(recent_min, stream.recent.size() * 2);
  const std::size_t more = size - stream.recent.size();
  if (size > recent_max || hashes_ + more > settings_.hashes_max) return false;
  std::vector<Remembered> larger = empty_recent(size);
  for (std::size_t i = 0; i < stream.recent.size(); ++i) {
    const Remembered& slot = stream.recent[i];
    if (slot.seq_low != ~low_bits(i)) larger[slot.seq_low & (size - 1)] = slot;
  }
  stream.recent = std::move(larger);
  hashes_ += more;
  return true;
}

/// An empty slot holds a number that cannot belong there: its lowest bit differs.
std::vector<ReceiverRule::Remembered> ReceiverRule::empty_recent(std::size_t size) {
  std::vector<Remembered> slots(size);
  for (std::size_t i = 0; i < size; ++i) slots[i].seq_low = ~low_bits(i);
  return slots;
}

void ReceiverRule::limit_holes(Stream& stream) {
  while (stream.holes.size() > settings_.holes_max) {
    const auto lowest = stream.holes.begin();
    report(stream, lowest->first, lowest->second, given_up_);
    stream.given_up_below = lowest->second.end;
    stream.holes.erase(lowest);
  }
}

void ReceiverRule::report(const Stream& stream, std::uint64_t first, Hole& hole,
                          std::vector<Gap>& out) {
  if (!hole.is_required || hole.was_reported) return;
  hole.was_reported = true;
  const std::uint64_t count = hole.end - first;
  ++counts_.gaps;
  counts_.missing += count;
  out.push_back({stream.device, stream.stream, stream.epoch, first, count});
}

}  // namespace penstock::cli
