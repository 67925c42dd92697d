// DamageWatch: tells a damaged file from a failing disk by what fails again and again.
#pragma once

#include <atomic>

namespace penstock::buffer {

/// Of one kind of work. Thread: any.
class DamageWatch {
 public:
  static constexpr unsigned failures_max = 8;

  void note_success() { failures_ = 0; }
  /// It failed, and not by the disk's doing. True: so often in a row that it is damage.
  bool note_failure() { return ++failures_ >= failures_max; }

 private:
  std::atomic<unsigned> failures_{0};
};

}  // namespace penstock::buffer
