// Child: a process with its whole group, and the pipes to it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>

#include "agent/base/result.hpp"
#include "agent/base/unique_fd.hpp"
#include "connectors/exec/settings.hpp"

namespace penstock::connectors::exec {

/// Leads a process group of its own; ended with it, at the latest by the destructor. Its
/// descriptors do not block. It is told to end when the thread that started it dies, so a killed
/// agent leaves no child behind. Thread: the one that started it.
class Child {
 public:
  /// unavailable: what could not be done, and why.
  static Result<Child> start(const Settings& settings);
  Child(Child&& other) noexcept;
  Child& operator=(Child&&) = delete;
  ~Child() { end(std::chrono::microseconds(0)); }

  int output() const { return output_.get(); }
  int errors() const { return errors_.get(); }
  int input() const { return input_.get(); }
  void close_output() { output_.reset(); }
  void close_errors() { errors_.reset(); }
  void close_input() { input_.reset(); }
  /// Readable once the process has ended; -1 on kernels before 5.3.
  int process() const { return process_.get(); }
  bool has_ended() const;

  /// SIGTERM to the group, then, after `grace` or when the leader has ended, SIGKILL to what is
  /// left of it. How the leader ended: "exit status 3", "signal 9"; "" for status 0.
  std::string end(std::chrono::microseconds grace);

 private:
  Child() = default;

  pid_t pid_ = -1;
  UniqueFd input_;
  UniqueFd output_;
  UniqueFd errors_;
  UniqueFd process_;
};

}  // namespace penstock::connectors::exec
