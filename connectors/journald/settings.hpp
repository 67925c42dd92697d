// Which entries of the journal are wanted, and what of them.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "agent/base/result.hpp"
#include "config/option.hpp"
#include "config/section.hpp"

namespace penstock::connectors::journald {

struct Settings {
  /// A field of the event and the journal's field that it is taken from.
  struct Mapping {
    std::string name;
    std::string field;
  };

  std::string directory;  ///< "" = the system's journal
  std::vector<std::string> units;
  std::vector<std::string> matches;  ///< FIELD=value
  int priority_max = 7;              ///< and all that is more urgent; 7 = everything
  bool this_boot_only = false;
  bool starts_at_beginning = false;
  bool takes_all_fields = false;
  std::vector<Mapping> fields;
  std::size_t value_bytes_max = 0;
};

std::span<const config::Option> options();
Result<Settings> read_settings(const config::Section& section);

/// Whether the journal could have a field of this name: A-Z, 0-9 and _, at most 64.
bool is_field_name(std::string_view name);

}  // namespace penstock::connectors::journald
