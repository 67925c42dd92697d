// Merging fragments: maps grow together, and nothing is ever overridden in silence.
#pragma once

#include <string>

#include "config/yaml.hpp"

namespace penstock::config {

/// Puts what `from` holds into `into`. The same scalar or list, or the same connector, in both is
/// an error that names both places; the same `version` is not.
void merge(Node& into, Node from, Diagnostics& diagnostics);

}  // namespace penstock::config
