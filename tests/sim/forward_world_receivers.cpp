// The simulated world's receivers: they miss what a broker loses or what comes while they are away,
// keep what they have verified over restarts, and publish it.
#include <algorithm>
#include <iterator>

#include "tests/sim/forward_world.hpp"

namespace penstock::tests {
namespace {

constexpr std::int64_t second_us = 1'000'000;
constexpr int published_ranges_max = 4;

bool has(const std::map<std::uint64_t, std::uint64_t>& covered, std::uint64_t first,
         std::uint64_t end) {
  const auto above = covered.upper_bound(first);
  return above != covered.begin() && std::prev(above)->second >= end;
}

void cover(std::map<std::uint64_t, std::uint64_t>& covered, std::uint64_t first,
           std::uint64_t end) {
  auto at = covered.upper_bound(first);
  if (at != covered.begin() && std::prev(at)->second >= first) --at;
  while (at != covered.end() && at->first <= end) {
    first = std::min(first, at->first);
    end = std::max(end, at->second);
    at = covered.erase(at);
  }
  covered.emplace(first, end);
}

}  // namespace

void ForwardWorld::receive(std::size_t stream, std::uint64_t first, std::uint64_t end) {
  for (Receiver& receiver : receivers_) {
    if (receiver.is_away || chance(brokers_[broker_].loses_data)) continue;
    cover(receiver.covered[stream], first, end);
    receiver.touched[stream] = first;
    receiver.is_dirty = true;
  }
}

void ForwardWorld::publish_verified() {
  for (std::size_t i = 0; i < receivers_.size(); ++i) {
    Receiver& receiver = receivers_[i];
    if (receiver.is_away || !receiver.is_dirty) continue;
    receiver.is_dirty = false;
    receiver.saved = receiver.covered;
    receiver.published = forward::ReceiverVerified{};
    receiver.published.receiver = i;
    for (std::size_t stream = 0; stream < streams_.size(); ++stream) {
      forward::StreamRanges ranges{static_cast<std::uint32_t>(stream + 1), {}};
      const auto& saved = receiver.saved[stream];
      // Of many ranges those around the last that was touched.
      auto at = saved.upper_bound(receiver.touched[stream]);
      for (int n = 0; n < published_ranges_max / 2 && at != saved.begin(); ++n) --at;
      for (int n = 0; n < published_ranges_max && at != saved.end(); ++n, ++at) {
        ranges.bounds.insert(ranges.bounds.end(), {at->first, at->second});
      }
      if (!ranges.bounds.empty()) receiver.published.streams.push_back(ranges);
    }
    receiver.published_run = receiver.run;
    tell_verified(i, between(1'000, 200'000));
  }
  later(second_us, [this] { publish_verified(); });
}

void ForwardWorld::tell_verified(std::size_t number, std::int64_t in_us) {
  if (receivers_[number].published_run == 0) return;
  later(in_us, [this, connection = connection_, number, published = receivers_[number].published,
                run = receivers_[number].published_run] {
    if (connection != connection_ || !is_carrying_) return;
    forward::ReceiverVerified event = published;
    event.generation = generation_;
    event.is_new_run = std::exchange(receivers_[number].known_run, run) != run;
    step(event);
  });
}

void ForwardWorld::disturb_receivers() {
  if (receivers_.empty()) return;
  Receiver& receiver = receivers_[below(receivers_.size())];
  if (receiver.is_away || chance(0.1)) {
    // Starts again with what it had saved.
    receiver.is_away = false;
    receiver.covered = receiver.saved;
    ++receiver.run;
  } else if (chance(0.15)) {
    receiver.is_away = true;
  }
  if (chance(0.2)) brokers_[below(brokers_.size())].loses_data = chance(0.5) ? 0.2 : 0;
}

bool ForwardWorld::is_verified(const Row& row) const {
  return std::all_of(receivers_.begin(), receivers_.end(), [&](const Receiver& receiver) {
    return has(receiver.saved[row.stream], row.seq, row.seq + row.count);
  });
}

}  // namespace penstock::tests
