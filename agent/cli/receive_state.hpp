// The receiver's state file: the client id of its session, and what the rule has covered.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "agent/base/result.hpp"
#include "agent/base/unique_fd.hpp"
#include "agent/cli/receiver_rule.hpp"

namespace penstock::cli {

/// Keeps others from using the state file, for as long as the descriptor is open: by a lock on
/// FILE.lock beside it, since the file itself is replaced. nullopt: another process has it.
/// unavailable: it cannot be made.
Result<std::optional<UniqueFd>> lock_state(const std::filesystem::path& file);

/// Reads the file into `rule` and `client_id`; a file that is not there changes nothing. corrupt:
/// not a state; unavailable: cannot be read. now_us: as for the rule.
Result<void> load_state(const std::filesystem::path& file, ReceiverRule& rule,
                        std::string& client_id, std::int64_t now_us);

/// Replaces the file in one step; durable on return.
Result<void> save_state(const std::filesystem::path& file, const ReceiverRule& rule,
                        const std::string& client_id);

}  // namespace penstock::cli
