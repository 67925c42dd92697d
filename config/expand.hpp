// ${VAR}, ${VAR:-otherwise} and $$ inside scalars, after parsing: a value can never become YAML.
#pragma once

#include "config/yaml.hpp"

namespace penstock::config {

/// All scalars of a file together may grow to this many bytes.
inline constexpr std::size_t expanded_bytes_max = 1'048'576;

/// Expands every scalar below `root` (never keys) from the environment. ${VAR:-x} is x if the
/// variable is unset or empty; $$ is a dollar sign; any other $ stays as it is. Findings go to
/// `diagnostics`, and such a scalar stays as it was written.
void expand(Node& root, Diagnostics& diagnostics);

}  // namespace penstock::config
