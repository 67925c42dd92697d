// Stream names: how a part of a source, which may be any text from outside, becomes part of a
// topic.
#pragma once

#include <string>
#include <string_view>

namespace penstock::pipeline {

inline constexpr std::size_t part_name_bytes_max = 128;

/// The part percent-encoded; where that is longer than part_name_bytes_max, its front and a hash of
/// the whole part: `<at most 111 bytes>-<16 hex digits>`.
std::string part_name(std::string_view part);

/// `<connector>`, or `<connector>/<part name>` if `part` is not empty.
std::string stream_name(std::string_view connector, std::string_view part);

}  // namespace penstock::pipeline
