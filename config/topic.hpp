// Topic templates: what a template and a prefix must be, so that no batch ever meets a bad topic.
#pragma once

#include <optional>
#include <string_view>

#include "config/fault.hpp"

namespace penstock::config {

/// Some clouds take no more levels than this.
inline constexpr std::size_t topic_levels_max = 5;
inline constexpr std::size_t topic_bytes_max = 256;

std::optional<Fault> prefix_fault(std::string_view prefix);
/// A stream may be "connector/part", so each {stream} counts for two levels. The prefix is taken to
/// be good.
std::optional<Fault> topic_fault(std::string_view topic, std::string_view prefix);

/// What is wrong with the filter of a subscription; "": nothing.
std::string_view filter_fault(std::string_view filter);

}  // namespace penstock::config
