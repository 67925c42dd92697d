// Opening the store by the configuration, and saying in one line and one exit code why it cannot
// be.
#pragma once

#include <filesystem>
#include <memory>

#include "agent/base/result.hpp"
#include "buffer/store.hpp"
#include "config/agent_config.hpp"

namespace penstock::daemon {

buffer::StoreOptions store_options(const config::AgentConfig& config);

/// Why Store::open failed, as an exit code: exit_try_again if another process holds it,
/// exit_permission, exit_data (a newer format, damage), exit_cannot_create or exit_io.
int exit_code_of_open(const std::filesystem::path& buffer_dir, const Error& error);

/// Whether the disk may be the cause, so that the same may succeed later: it is full, read-only or
/// fails. Not so for rights, damage, another process, or a place where no directory can be.
bool may_pass(const std::filesystem::path& buffer_dir, const Error& error);

/// Whether a process holds the buffer's lock.
bool is_buffer_held(const std::filesystem::path& buffer_dir);

}  // namespace penstock::daemon
