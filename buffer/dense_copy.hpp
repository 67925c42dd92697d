// Dense copy: all tables of a buffer's file in a new file, without free pages.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>

#include "agent/base/result.hpp"
#include "buffer/lmdb.hpp"

namespace penstock::buffer {

/// Keys and values are copied as they are, checksums not looked at. Nothing of the new file is
/// durable before it has been synced; an error leaves it behind, incomplete. progress(done, total)
/// counts rows. The caller holds the turn of `from`.
Result<std::unique_ptr<Env>> copy_dense(
    Env& from, const std::filesystem::path& file, std::uint64_t map_bytes,
    const std::function<void(std::uint64_t, std::uint64_t)>& progress);

}  // namespace penstock::buffer
