// TokenBucket: a rate with a burst of one second.
#pragma once

#include <algorithm>
#include <cstdint>

namespace penstock::connectors::support {

/// May be overdrawn by what came in one read; then the wait is longer. Thread: owner only.
class TokenBucket {
 public:
  /// per_second 0: no limit.
  explicit TokenBucket(double per_second) : per_second_(per_second), tokens_(per_second) {}

  void take(std::size_t count, std::int64_t now_us) {
    if (per_second_ <= 0) return;
    refill(now_us);
    tokens_ -= static_cast<double>(count);
  }
  /// Until there is a token again; 0 = there is one.
  std::int64_t wait_us(std::int64_t now_us) {
    if (per_second_ <= 0) return 0;
    refill(now_us);
    if (tokens_ > 0) return 0;
    return static_cast<std::int64_t>((1 - tokens_) / per_second_ * 1e6) + 1;
  }

 private:
  void refill(std::int64_t now_us) {
    if (last_us_ != 0) {
      tokens_ += static_cast<double>(now_us - last_us_) * 1e-6 * per_second_;
      tokens_ = std::min(tokens_, per_second_);
    }
    last_us_ = now_us;
  }

  double per_second_;
  double tokens_;
  std::int64_t last_us_ = 0;
};

}  // namespace penstock::connectors::support
