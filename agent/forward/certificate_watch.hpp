// CertificateWatch: says in time that our own certificate ends.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "agent/base/clock.hpp"
#include "agent/forward/tls.hpp"

namespace penstock::forward {

/// Looks once a day, and at once when it is new; reads the file each time, since it may have been
/// replaced. A file that cannot be read is the connection's matter. Thread: owner only.
class CertificateWatch {
 public:
  static constexpr std::int64_t day_us = 86'400'000'000;
  static constexpr std::int64_t days_before_end = 30;

  /// "": there is no certificate, and nothing is ever said. The clock must outlive the watch.
  CertificateWatch(const Clock& clock, std::string file)
      : clock_(clock), file_(std::move(file)), next_us_(clock.steady_us()) {}

  /// On the steady clock; INT64_MAX: never.
  std::int64_t wake_at_us() const {
    return file_.empty() ? std::numeric_limits<std::int64_t>::max() : next_us_;
  }

  /// When it is time to look and the end is near: whole days that are left, 0 on the last one,
  /// negative when it has ended.
  std::optional<std::int64_t> take_days_left() {
    if (file_.empty() || clock_.steady_us() < next_us_) return std::nullopt;
    next_us_ = clock_.steady_us() + day_us;
    const Result<std::int64_t> end_us = certificate_end(file_);
    if (!end_us) return std::nullopt;
    const std::int64_t left_us = *end_us - clock_.wall_us();
    if (left_us > days_before_end * day_us) return std::nullopt;
    return left_us < 0 ? left_us / day_us - 1 : left_us / day_us;
  }

 private:
  const Clock& clock_;
  const std::string file_;
  std::int64_t next_us_;
};

}  // namespace penstock::forward
