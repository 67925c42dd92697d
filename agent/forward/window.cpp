#include "agent/forward/window.hpp"

#include <algorithm>

#include "agent/base/assert.hpp"

namespace penstock::forward {

void Window::clear() {
  first_message_ += sent_.size();
  sent_.clear();
  unacknowledged_ = 0;
  bytes_ = 0;
  for (auto& rows : rows_) rows.clear();
}

void Window::begin_row(buffer::Priority priority, std::uint64_t row_id, std::uint32_t parts,
                       std::uint32_t events) {
  PENSTOCK_ASSERT(parts > 0);
  PENSTOCK_ASSERT(rows(priority).empty() || rows(priority).back().id < row_id);
  rows(priority).push_back({row_id, parts, 0, events});
}

std::uint64_t Window::add_part(buffer::Priority priority, std::uint64_t bytes,
                               std::int64_t now_us) {
  PENSTOCK_ASSERT(!rows(priority).empty());
  return add({false, false, priority, rows(priority).back().id, bytes, now_us});
}

std::uint64_t Window::add_status(std::uint64_t bytes, std::int64_t now_us) {
  return add({true, false, buffer::Priority::high, 0, bytes, now_us});
}

std::uint64_t Window::add(const Message& message) {
  if (sent_.empty()) oldest_since_us_ = message.sent_us;
  sent_.push_back(message);
  ++unacknowledged_;
  bytes_ += message.bytes;
  return first_message_ + sent_.size() - 1;
}

std::optional<Window::Answer> Window::find(std::uint64_t message) const {
  if (message < first_message_ || message - first_message_ >= sent_.size()) return std::nullopt;
  const Message& found = sent_[message - first_message_];
  if (found.is_acknowledged) return std::nullopt;
  return Answer{found.is_status, found.priority, found.row_id, 0};
}

std::optional<Window::Answer> Window::acknowledge(std::uint64_t message, std::int64_t at_us) {
  std::optional<Answer> answer = find(message);
  if (!answer) return std::nullopt;
  Message& found = sent_[message - first_message_];
  answer->round_trip_us = std::max<std::int64_t>(0, at_us - found.sent_us);
  found.is_acknowledged = true;
  --unacknowledged_;
  bytes_ -= found.bytes;
  if (!found.is_status) {
    for (Row& row : rows(found.priority)) {
      if (row.id == found.row_id) {
        ++row.acknowledged;
        break;
      }
    }
  }
  if (sent_.front().is_acknowledged) {
    while (!sent_.empty() && sent_.front().is_acknowledged) {
      sent_.pop_front();
      ++first_message_;
    }
    if (!sent_.empty()) oldest_since_us_ = std::max(at_us, sent_.front().sent_us);
  }
  return answer;
}

std::optional<Window::Progress> Window::take_progress(buffer::Priority priority) {
  std::optional<Progress> progress;
  auto& waiting = rows(priority);
  while (!waiting.empty() && waiting.front().acknowledged == waiting.front().parts) {
    if (!progress) progress.emplace();
    progress->row_id = waiting.front().id;
    progress->events += waiting.front().events;
    waiting.pop_front();
  }
  return progress;
}

bool Window::has_rows() const {
  return std::any_of(rows_.begin(), rows_.end(), [](const auto& rows) { return !rows.empty(); });
}

std::optional<std::uint64_t> Window::oldest_row(buffer::Priority priority) const {
  const auto& waiting = rows_[static_cast<std::size_t>(priority)];
  if (waiting.empty()) return std::nullopt;
  return waiting.front().id;
}

std::optional<std::int64_t> Window::waiting_since_us() const {
  if (sent_.empty()) return std::nullopt;
  return oldest_since_us_;
}

}  // namespace penstock::forward
