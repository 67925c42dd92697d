#include "agent/forward/window.hpp"

#include <algorithm>

#include "agent/base/assert.hpp"

namespace penstock::forward {

void Window::clear() {
  first_message_ += sent_.size();
  sent_.clear();
  unacknowledged_ = 0;
  acknowledged_ = 0;
  bytes_ = 0;
  for (auto& rows : rows_) rows.clear();
}

void Window::begin_row(const RowInfo& row, std::uint32_t parts) {
  PENSTOCK_ASSERT(parts > 0);
  auto& lane = rows(row.ref);
  const bool is_parked = row.ref.parked_stream != 0;
  PENSTOCK_ASSERT(is_parked || lane.empty() || lane.back().info.ref.id < row.ref.id);
  lane.push_back({row, parts, 0, false});
}

void Window::pass_over(const RowRef& row) { rows(row).push_back({{row}, 0, 0, false}); }

Window::Row* Window::find_row(const RowRef& row) {
  auto& lane = rows(row);
  const auto found = std::find_if(lane.begin(), lane.end(),
                                  [&row](const Row& other) { return other.info.ref == row; });
  return found == lane.end() ? nullptr : &*found;
}

void Window::give_up(const RowRef& row) {
  if (Row* const found = find_row(row)) found->is_given_up = true;
}

bool Window::is_given_up(const RowRef& row) {
  const Row* const found = find_row(row);
  return found == nullptr || found->is_given_up;
}

std::uint64_t Window::add_part(const RowInfo& row, const EncodedPart& part, std::int64_t now_us) {
  PENSTOCK_ASSERT(!rows(row.ref).empty());
  return add({false, false, row, part, now_us});
}

std::uint64_t Window::add_status(std::uint64_t bytes, std::int64_t now_us) {
  return add({true, false, {}, {bytes, 0}, now_us});
}

std::uint64_t Window::add(const Message& message) {
  if (sent_.empty()) oldest_since_us_ = message.sent_us;
  sent_.push_back(message);
  ++unacknowledged_;
  bytes_ += message.part.bytes;
  return first_message_ + sent_.size() - 1;
}

std::optional<Window::Answer> Window::find(std::uint64_t message) const {
  if (message < first_message_ || message - first_message_ >= sent_.size()) return std::nullopt;
  const Message& found = sent_[message - first_message_];
  if (found.is_acknowledged) return std::nullopt;
  return Answer{found.is_status, found.row, found.part.bytes, found.part.events, 0};
}

std::optional<Window::Answer> Window::acknowledge(std::uint64_t message, std::int64_t at_us) {
  std::optional<Answer> answer = find(message);
  if (!answer) return std::nullopt;
  Message& found = sent_[message - first_message_];
  answer->round_trip_us = std::max<std::int64_t>(0, at_us - found.sent_us);
  found.is_acknowledged = true;
  --unacknowledged_;
  ++acknowledged_;
  bytes_ -= found.part.bytes;
  if (!found.is_status) {
    if (Row* const row = find_row(found.row.ref)) ++row->acknowledged;
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

std::optional<Window::Progress> Window::take_progress(buffer::Priority priority,
                                                      std::vector<RowInfo>* done) {
  std::optional<Progress> progress;
  auto& waiting = rows_[static_cast<std::size_t>(priority)];
  while (!waiting.empty() && waiting.front().is_done()) {
    const Row& row = waiting.front();
    if (!progress) progress.emplace();
    progress->row_id = row.info.ref.id;
    const bool was_sent = !row.is_given_up && row.parts > 0;
    if (done != nullptr) done->push_back(was_sent ? row.info : RowInfo{row.info.ref});
    if (was_sent) {
      progress->events += row.info.events;
      ++progress->sent_rows;
    }
    waiting.pop_front();
  }
  return progress;
}

std::vector<Window::RowInfo> Window::take_parked() {
  std::vector<RowInfo> done;
  auto& lane = rows_[parked_lane];
  for (auto at = lane.begin(); at != lane.end();) {
    if (!at->is_done()) {
      ++at;
      continue;
    }
    if (!at->is_given_up) done.push_back(at->info);
    at = lane.erase(at);
  }
  return done;
}

bool Window::has_rows() const {
  return std::any_of(rows_.begin(), rows_.end(), [](const auto& rows) { return !rows.empty(); });
}

std::optional<Window::Answer> Window::oldest_message() const { return find(first_message_); }

std::optional<Window::Answer> Window::lone_message() const {
  if (unacknowledged_ != 1) return std::nullopt;
  const auto found = std::find_if(sent_.begin(), sent_.end(),
                                  [](const Message& message) { return !message.is_acknowledged; });
  if (found->is_status) return std::nullopt;
  return find(first_message_ + static_cast<std::uint64_t>(found - sent_.begin()));
}

std::optional<std::uint64_t> Window::oldest_row(buffer::Priority priority) const {
  const auto& waiting = rows_[static_cast<std::size_t>(priority)];
  if (waiting.empty()) return std::nullopt;
  return waiting.front().info.ref.id;
}

std::optional<std::int64_t> Window::waiting_since_us() const {
  if (sent_.empty()) return std::nullopt;
  return oldest_since_us_;
}

}  // namespace penstock::forward
