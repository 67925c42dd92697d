// FairLock: the store's turn. Taken in the order of asking, so that a reader beside long commits is
// never starved.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "buffer/crash_marker.hpp"

namespace penstock::buffer {

/// BasicLockable: use it with std::lock_guard. Not recursive. Thread: any.
class FairLock {
 public:
  FairLock() = default;
  FairLock(const FairLock&) = delete;
  FairLock& operator=(const FairLock&) = delete;

  void lock() {
    std::unique_lock guard(mutex_);
    const std::uint64_t ticket = next_ticket_++;
    turn_.wait(guard, [&] { return serving_ == ticket; });
    is_inside_store = true;
  }
  void unlock() {
    is_inside_store = false;
    {
      const std::lock_guard guard(mutex_);
      ++serving_;
    }
    turn_.notify_all();
  }
  /// Whether another thread stands behind the one that holds it.
  bool has_waiting() const {
    const std::lock_guard guard(mutex_);
    return next_ticket_ - serving_ > 1;
  }

 private:
  mutable std::mutex mutex_;  // guards: next_ticket_, serving_
  std::condition_variable turn_;
  std::uint64_t next_ticket_ = 0;
  std::uint64_t serving_ = 0;
};

}  // namespace penstock::buffer
