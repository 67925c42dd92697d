// What LMDB's two meta pages say of a file, read before LMDB maps it.
#pragma once

#include <cstdint>
#include <filesystem>

#include "agent/base/result.hpp"

namespace penstock::buffer {

/// Whether LMDB may be let at the file. corrupt: too short, or its meta pages do not fit together,
/// so that LMDB would go on from an older commit and numbers would be used twice. invalid: made on
/// a machine of another word size. unavailable: it cannot be read.
Result<void> check_meta_pages(const std::filesystem::path& file);

}  // namespace penstock::buffer
