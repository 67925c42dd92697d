#include "agent/forward/verification.hpp"

#include <algorithm>
#include <set>

namespace penstock::forward {

void Verification::add(const std::vector<Window::RowInfo>& rows) {
  for (const Window::RowInfo& row : rows) {
    auto& waiting = rows_[static_cast<std::size_t>(row.ref.priority)];
    const bool joins = row.stream_id == 0 && !waiting.empty() && waiting.back().stream_id == 0;
    if (joins) waiting.pop_back();
    waiting.push_back({row.ref.id, row.seq, row.end_seq, row.stream_id, row.events});
  }
}

bool Verification::say(std::size_t receiver, const std::vector<StreamRanges>& streams) {
  Said& said = said_.at(receiver);
  said.clear();
  for (const StreamRanges& stream : streams) said[stream.stream_id] = stream.bounds;
  for (const auto& waiting : rows_) {
    for (const Row& row : waiting) {
      const auto of_stream = said.find(row.stream_id);
      if (of_stream == said.end() || of_stream->second.empty()) continue;
      const bool has_later = of_stream->second.back() > row.end_seq;
      if (has_later && !has(said, row.stream_id, row.seq, row.end_seq)) return true;
    }
  }
  return false;
}

void Verification::settle(std::uint32_t stream_id) {
  for (auto& waiting : rows_) {
    for (Row& row : waiting) {
      if (row.stream_id == stream_id) row.stream_id = 0;
    }
  }
}

void Verification::forget_rows() {
  for (auto& waiting : rows_) waiting.clear();
  parked_.clear();
}

void Verification::forget_all() {
  forget_rows();
  for (Said& said : said_) said.clear();
}

bool Verification::has(const Said& said, std::uint32_t stream_id, std::uint64_t seq,
                       std::uint64_t end_seq) {
  const auto of_stream = said.find(stream_id);
  if (of_stream == said.end()) return false;
  // Ranges begin at even places: the first bound above seq ends the range that holds it, or none.
  const std::vector<std::uint64_t>& bounds = of_stream->second;
  const auto above = std::upper_bound(bounds.begin(), bounds.end(), seq);
  return (above - bounds.begin()) % 2 == 1 && above != bounds.end() && *above >= end_seq;
}

bool Verification::is_verified(std::uint32_t stream_id, std::uint64_t seq,
                               std::uint64_t end_seq) const {
  return stream_id == 0 || std::all_of(said_.begin(), said_.end(), [&](const Said& said) {
           return has(said, stream_id, seq, end_seq);
         });
}

std::optional<Verification::Progress> Verification::take(buffer::Priority priority) {
  std::optional<Progress> progress;
  auto& waiting = rows_[static_cast<std::size_t>(priority)];
  while (!waiting.empty()) {
    const Row& row = waiting.front();
    if (!is_verified(row.stream_id, row.seq, row.end_seq)) break;
    if (!progress) progress.emplace();
    progress->row_id = row.id;
    if (row.stream_id != 0) {
      ++progress->rows;
      progress->events += row.events;
    }
    waiting.pop_front();
  }
  return progress;
}

std::vector<Window::RowInfo> Verification::take_parked() {
  std::vector<Window::RowInfo> verified;
  std::set<std::uint32_t> held;
  for (auto at = parked_.begin(); at != parked_.end();) {
    if (held.count(at->stream_id) == 0 && is_verified(at->stream_id, at->seq, at->end_seq)) {
      verified.push_back(*at);
      at = parked_.erase(at);
    } else {
      held.insert(at->stream_id);
      ++at;
    }
  }
  return verified;
}

std::size_t Verification::rows() const {
  std::size_t rows = parked_.size();
  for (const auto& waiting : rows_) rows += waiting.size();
  return rows;
}

std::size_t Verification::slowest_receiver() const {
  const auto misses = [this](std::size_t receiver) {
    const Said& said = said_[receiver];
    return std::any_of(rows_.begin(), rows_.end(),
                       [&](const auto& waiting) {
                         return !waiting.empty() && waiting.front().stream_id != 0 &&
                                !has(said, waiting.front().stream_id, waiting.front().seq,
                                     waiting.front().end_seq);
                       }) ||
           std::any_of(parked_.begin(), parked_.end(), [&](const Window::RowInfo& row) {
             return !has(said, row.stream_id, row.seq, row.end_seq);
           });
  };
  for (std::size_t i = 0; i < said_.size(); ++i) {
    if (misses(i)) return i;
  }
  return 0;
}

}  // namespace penstock::forward
