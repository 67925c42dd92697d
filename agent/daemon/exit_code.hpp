// Exit codes of the program: those of sysexits.h, by their meaning here.
#pragma once

namespace penstock::daemon {

inline constexpr int exit_ok = 0;
inline constexpr int exit_finding = 1;       ///< degraded, warnings under --strict, a gap
inline constexpr int exit_critical = 2;      ///< `status` alone
inline constexpr int exit_usage = 64;        ///< the command line
inline constexpr int exit_data = 65;         ///< stored bytes are damaged or of a newer format
inline constexpr int exit_unavailable = 69;  ///< no agent answers, nothing is there
inline constexpr int exit_internal = 70;     ///< a broken invariant of ours
inline constexpr int exit_cannot_create = 73;
inline constexpr int exit_io = 74;
inline constexpr int exit_try_again = 75;   ///< held by another agent; not in time
inline constexpr int exit_protocol = 76;    ///< the broker refuses us, or what we send
inline constexpr int exit_permission = 77;  ///< the system's rights forbid it
inline constexpr int exit_config = 78;      ///< the configuration

}  // namespace penstock::daemon
