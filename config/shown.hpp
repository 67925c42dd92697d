// The merged configuration as text: what it holds could be read in again, and no secret is in it.
#pragma once

#include <string>

#include "config/yaml.hpp"

namespace penstock::config {

enum class Origin { hidden, shown };

/// YAML. A dollar sign is written $$, since variables are expanded already. Passwords inside URLs
/// become stars. Origin::shown: "# file:line" behind each key.
std::string shown_text(const Node& root, Origin origin);
/// The same as JSON; plain numbers and booleans keep their kind.
std::string shown_json(const Node& root);

}  // namespace penstock::config
