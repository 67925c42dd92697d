// Signals: SIGINT, SIGTERM and SIGHUP as a descriptor to wait on.
#pragma once

#include <optional>

#include "agent/base/result.hpp"
#include "agent/base/unique_fd.hpp"

namespace penstock::daemon {

/// Made before any other thread, so that all threads inherit the blocked signals; SIGPIPE is
/// ignored from then on. Thread: owner only.
class Signals {
 public:
  static Result<Signals> take_over();

  int fd() const { return fd_.get(); }
  /// The next signal that has come; nullopt if none has.
  std::optional<int> next();
  /// From now on SIGINT and SIGTERM end the process at once, with exit code 128 + signal.
  void end_at_once_from_now_on();

 private:
  explicit Signals(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace penstock::daemon
