// LinkInbox: what foreign threads hand over to MqttLink.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/forward/mqtt_link.hpp"

namespace penstock::forward {

/// Outlives the link as long as a foreign thread may still post. Thread: any.
class LinkInbox {
 public:
  explicit LinkInbox(std::function<void()> wake) : wake_(std::move(wake)) {}

  void post(LinkEvent event) {
    const std::lock_guard lock(mutex_);
    events_.push_back(std::move(event));
    if (wake_) wake_();
  }
  /// What nobody has read yet is replaced, but not by what cannot be read: a sender must not fill
  /// our memory.
  void post_message(LinkEvent event) {
    const std::lock_guard lock(mutex_);
    const auto unread = std::find_if(events_.begin(), events_.end(), [&](const LinkEvent& other) {
      return other.kind == event.kind && other.connection == event.connection &&
             other.topic == event.topic && other.is_too_long == event.is_too_long;
    });
    if (unread != events_.end()) events_.erase(unread);
    events_.push_back(std::move(event));
    if (wake_) wake_();
  }
  /// What the broker said with the refusal that was posted for this connection.
  void post_words(std::uint64_t connection, const std::string& words) {
    const std::lock_guard lock(mutex_);
    words_ = {connection, words};
    if (wake_) wake_();
  }
  /// nullopt: not posted yet.
  std::optional<std::string> words(std::uint64_t connection) {
    const std::lock_guard lock(mutex_);
    return words_.first == connection ? std::optional(words_.second) : std::nullopt;
  }
  void wake() {
    const std::lock_guard lock(mutex_);
    if (wake_) wake_();
  }
  void take(std::vector<LinkEvent>& out) {
    const std::lock_guard lock(mutex_);
    out.swap(events_);
    events_.clear();
  }
  /// From now on nobody is woken: the owner goes away.
  void disarm() {
    const std::lock_guard lock(mutex_);
    wake_ = nullptr;
  }

 private:
  std::mutex mutex_;  // guards: all below
  std::vector<LinkEvent> events_;
  std::pair<std::uint64_t, std::string> words_;  // of the connection with that number; 0: none
  std::function<void()> wake_;
};

}  // namespace penstock::forward
