#include "tests/support/fake_session.hpp"

#include <sys/eventfd.h>

#include <cmath>
#include <limits>

namespace penstock::tests {

std::string SeenEvent::text(const std::string& name) const {
  const auto found = fields.find(name);
  if (found == fields.end()) return {};
  const auto* text = std::get_if<std::string>(&found->second);
  return text ? *text : std::string();
}

double SeenEvent::number(const std::string& name) const {
  const auto found = fields.find(name);
  if (found == fields.end()) return std::numeric_limits<double>::quiet_NaN();
  if (const auto* v = std::get_if<double>(&found->second)) return *v;
  if (const auto* v = std::get_if<std::int64_t>(&found->second)) return static_cast<double>(*v);
  if (const auto* v = std::get_if<std::uint64_t>(&found->second)) return static_cast<double>(*v);
  return std::numeric_limits<double>::quiet_NaN();
}

FakeSession::FakeSession() : stop_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

std::optional<std::string> FakeSession::resume_from(std::string_view part) const {
  const std::lock_guard lock(mutex_);
  const auto found = positions_.find(part);
  if (found == positions_.end()) return std::nullopt;
  return found->second;
}

std::vector<std::string> FakeSession::known_parts() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> parts;
  for (const auto& [part, bytes] : positions_) parts.push_back(part);
  return parts;
}

Result<void> FakeSession::push(connectors::Chunk& chunk) {
  {
    const std::lock_guard lock(mutex_);
    ++pushes_;
    if (stop_.stop_requested() || (refuse_from_push != 0 && pushes_ >= refuse_from_push)) {
      return Error{Errc::stopped, "stop was asked for"};
    }
    for (const auto& event : chunk.events()) {
      SeenEvent seen{
          event.time_unix_us, std::string(event.part), {}, event.lost, event.exact, event.reason,
          event.cut};
      for (const auto& field : chunk.fields(event)) {
        std::visit(
            [&](const auto& value) {
              using T = std::decay_t<decltype(value)>;
              if constexpr (std::is_same_v<T, std::string_view>) {
                seen.fields.emplace(field.name, std::string(value));
              } else if constexpr (std::is_same_v<T, Bytes>) {
                seen.fields.emplace(field.name, std::string(value.data));
              } else {
                seen.fields.emplace(field.name, value);
              }
            },
            field.value);
      }
      events_.push_back(std::move(seen));
    }
    for (const auto& position : chunk.positions()) {
      if (position.bytes.empty()) {
        positions_.erase(std::string(position.part));
      } else {
        positions_[std::string(position.part)] = std::string(position.bytes);
      }
    }
  }
  chunk.clear();
  if (hook) hook(*this);
  return {};
}

Result<void> FakeSession::flush() {
  if (flush_hook) flush_hook(*this);
  return {};
}

bool FakeSession::sleep_for(std::chrono::microseconds time) {
  if (hook) hook(*this);
  clock_.advance(time);
  return !stop_.stop_requested();
}

void FakeSession::request_stop() {
  stop_.request_stop();
  ::eventfd_write(stop_fd_.get(), 1);
}

std::vector<SeenEvent> FakeSession::events() const {
  const std::lock_guard lock(mutex_);
  return events_;
}

std::map<std::string, std::string, std::less<>> FakeSession::positions() const {
  const std::lock_guard lock(mutex_);
  return positions_;
}

void FakeSession::set_positions(std::map<std::string, std::string, std::less<>> positions) {
  const std::lock_guard lock(mutex_);
  positions_ = std::move(positions);
}

std::size_t FakeSession::pushes() const {
  const std::lock_guard lock(mutex_);
  return pushes_;
}

}  // namespace penstock::tests
