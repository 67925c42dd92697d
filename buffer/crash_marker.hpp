// CrashMarker: a file beside the buffer that says that a process crashed while it used it.
#pragma once

#include <cstdint>
#include <filesystem>

#include "agent/base/result.hpp"

namespace penstock::buffer {

enum class CrashCount : std::uint8_t { none, once, again };

/// What the marker files in a buffer's directory say. Names: `CRASHED`, `CRASHED.again`.
CrashCount crash_count(const std::filesystem::path& directory);
/// Removes them. A marker that stays costs a full check at the next start, nothing else.
void forget_crashes(const std::filesystem::path& directory);

/// Leaves the marker of a crash there, for what a crash would have come of.
void note_crash(const std::filesystem::path& directory);

/// From now on a SIGSEGV, SIGBUS or SIGABRT inside the store's turn leaves a marker there before it
/// ends the process as it would have. For one directory at a time; call it before other threads
/// exist. invalid: the path is too long.
Result<void> mark_crashes_in(const std::filesystem::path& directory);

/// Set while this thread is inside LMDB.
extern constinit thread_local bool is_inside_store;

/// Sets it for a scope that no turn covers: before there is a store.
class InsideStore {
 public:
  InsideStore() { is_inside_store = true; }
  ~InsideStore() { is_inside_store = false; }
  InsideStore(const InsideStore&) = delete;
  InsideStore& operator=(const InsideStore&) = delete;
};

}  // namespace penstock::buffer
