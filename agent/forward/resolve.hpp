// Resolution: looks a name up on a thread of its own, so that a slow name service holds up nobody.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "agent/base/result.hpp"

namespace penstock::forward {

/// A look-up in progress. Dropping it abandons it: getaddrinfo cannot be interrupted, so its thread
/// lives on until the name service answers, touching nothing but what it shares with this handle.
class Resolution {
 public:
  enum class Depth : std::uint8_t {
    name,    ///< only whether the name has an address
    attempt  ///< also whether one of them takes a TCP connection; says why not
  };

  /// `done` is called once on the thread of the look-up. An address in digits is answered at once.
  static std::shared_ptr<Resolution> begin(const std::string& host, std::uint16_t port, Depth depth,
                                           std::function<void()> done);

  bool is_done() const { return shared_->is_done.load(std::memory_order_acquire); }
  /// Only when it is done.
  const Result<void>& result() const { return shared_->result; }

 private:
  struct Shared {
    std::atomic<bool> is_done{false};
    Result<void> result;
  };
  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

}  // namespace penstock::forward
