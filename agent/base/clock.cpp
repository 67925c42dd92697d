#include "agent/base/clock.hpp"

#include <sys/timex.h>

#include <ctime>

namespace penstock {
namespace {

std::int64_t read_us(clockid_t id) {
  timespec now{};
  ::clock_gettime(id, &now);
  return static_cast<std::int64_t>(now.tv_sec) * 1'000'000 + now.tv_nsec / 1000;
}

class SystemClock final : public Clock {
 public:
  std::int64_t wall_us() const override { return read_us(CLOCK_REALTIME); }
  std::int64_t steady_us() const override { return read_us(CLOCK_MONOTONIC); }
  std::int64_t boot_us() const override { return read_us(CLOCK_BOOTTIME); }
  bool is_synced() const override {
    timex state{};
    return ::adjtimex(&state) == -1 || (state.status & STA_UNSYNC) == 0;
  }
};

}  // namespace

const Clock& system_clock() {
  static const SystemClock clock;
  return clock;
}

}  // namespace penstock
