// What the machine and the process say about themselves: identity, boot, memory, threads.
#pragma once

#include <cstdint>
#include <string>

namespace penstock::daemon {

/// First 8 hex digits of the kernel's id of this boot; "00000000" where /proc does not have it.
std::string boot_id();
/// Content of /etc/machine-id; "" if there is none.
std::string machine_id();

/// Figures of this process from /proc/self/status; 0 where it does not say.
struct ProcessFigures {
  std::uint64_t rss_anon_kib = 0;  ///< memory of its own
  std::uint64_t rss_kib = 0;       ///< with libraries and mapped files
  std::uint64_t threads = 0;
};
ProcessFigures process_figures();

}  // namespace penstock::daemon
