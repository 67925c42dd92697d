// Secrets: from a validated {file: …}, {env: …} or {credential: …} to their content.
#pragma once

#include "agent/base/result.hpp"
#include "config/section.hpp"
#include "config/yaml.hpp"

namespace penstock::config {

inline constexpr std::size_t secret_bytes_max = 65'536;

/// `node` is a map that the validator took as a secret. One line end at the content's end is
/// dropped. unavailable: it is not there or may not be read. invalid: others may read the file, it
/// is a link, no regular file, empty or longer than the limit. Error texts never hold the content.
Result<Secret> read_secret(const Node& node);

}  // namespace penstock::config
