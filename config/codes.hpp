// The codes of findings. They are stable: people search for them, programs compare them.
#pragma once

namespace penstock::config::code {

inline constexpr const char* unknown_key = "C001";
inline constexpr const char* duplicate_key = "C002";
inline constexpr const char* missing_key = "C003";
inline constexpr const char* wrong_type = "C004";
inline constexpr const char* bad_choice = "C005";
inline constexpr const char* out_of_bounds = "C006";
inline constexpr const char* no_value = "C007";

inline constexpr const char* not_yaml = "C010";
inline constexpr const char* refused_yaml = "C011";  // anchor, alias, tag, second document
inline constexpr const char* too_large = "C012";     // bytes, depth, nodes, key
inline constexpr const char* bad_character = "C013";
inline constexpr const char* needs_unit = "C014";
inline constexpr const char* bad_quantity = "C015";
inline constexpr const char* unreadable_file = "C016";

inline constexpr const char* bad_connector_name = "C020";
inline constexpr const char* unknown_type = "C021";
inline constexpr const char* connector_twice = "C022";
inline constexpr const char* set_twice = "C023";

inline constexpr const char* variable_not_set = "C031";
inline constexpr const char* bad_variable = "C032";
inline constexpr const char* expansion_too_large = "C033";

inline constexpr const char* plain_secret = "C040";
inline constexpr const char* bad_secret = "C041";
inline constexpr const char* unreadable_secret = "C042";

inline constexpr const char* bad_agent_id = "C050";
inline constexpr const char* bad_tag = "C051";
inline constexpr const char* bad_broker = "C052";
inline constexpr const char* bad_topic = "C053";
inline constexpr const char* inconsistent = "C054";
inline constexpr const char* beyond_preset = "C055";

inline constexpr const char* refused_option = "C060";  // by the connector that the option is for

inline constexpr const char* insecure = "W001";
inline constexpr const char* without_effect = "W002";
inline constexpr const char* unusable_file = "W003";
inline constexpr const char* weaker = "W004";
inline constexpr const char* warned_option = "W060";

}  // namespace penstock::config::code
