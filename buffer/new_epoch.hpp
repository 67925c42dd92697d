// A mark in a buffer's directory, by which a person asks for a new epoch.
#pragma once

#include <filesystem>
#include <string_view>

#include "agent/base/result.hpp"

namespace penstock::buffer {

/// Leaves the file `NEW_EPOCH`, durably: the next time that an agent opens this epoch's buffer, it
/// sets it aside and begins another one. Of no meaning for other epochs, so that a mark that stays
/// does nothing twice. Thread: any.
Result<void> ask_new_epoch(const std::filesystem::path& directory, std::string_view epoch);
/// unavailable: there is a mark that cannot be read.
Result<bool> is_new_epoch_asked(const std::filesystem::path& directory, std::string_view epoch);

}  // namespace penstock::buffer
