// SharedLibrary: a library that few agents need, loaded when a connector first asks for it.
#pragma once

#include <mutex>

#include "agent/base/result.hpp"

namespace penstock::connectors::support {

/// Stays loaded until the process ends: threads and handlers of its own may outlive any owner.
class SharedLibrary {
 public:
  /// By its soname, so that it is the one whose headers we were built with. unavailable: it is not
  /// there, or it or one it needs cannot be loaded now. `package` tells what to install.
  static Result<SharedLibrary> load(const char* soname, const char* package);

  /// unavailable: it has no such function.
  template <typename Function>
  Result<void> find(const char* symbol, Function*& function) const {
    PENSTOCK_TRY_ASSIGN(void* const found, address_of(symbol));
    function = reinterpret_cast<Function*>(found);
    return {};
  }

 private:
  explicit SharedLibrary(void* handle) : handle_(handle) {}
  Result<void*> address_of(const char* symbol) const;

  void* handle_;
};

/// Runs a function until it was ok once. Thread: any.
class Once {
 public:
  template <typename Function>
  Result<void> run(Function function) {
    const std::lock_guard lock(mutex_);
    if (is_done_) return {};
    PENSTOCK_TRY(function());
    is_done_ = true;
    return {};
  }

 private:
  std::mutex mutex_;
  bool is_done_ = false;
};

}  // namespace penstock::connectors::support
