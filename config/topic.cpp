#include "config/topic.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "agent/base/log.hpp"
#include "agent/base/text.hpp"

namespace penstock::config {
namespace {

constexpr std::string_view placeholders[] = {"{prefix}", "{device}", "{kind}", "{stream}"};

/// What holds for the template and for the prefix.
std::optional<Fault> shape_fault(std::string_view topic, std::string_view what) {
  if (topic.empty()) return Fault{fmt::format("{} is empty", what), "", ""};
  if (topic.size() > topic_bytes_max) {
    return Fault{fmt::format("{} has more than {} characters", what, topic_bytes_max), "", ""};
  }
  for (std::size_t i = 0; i < topic.size(); ++i) {
    const char c = topic[i];
    if (c == '+' || c == '#') {
      return Fault{fmt::format("{} must not hold \"{}\"", what, c),
                   "it is a wildcard of subscriptions", std::string(1, c)};
    }
    if (c <= ' ' || c > '~') {
      return Fault{fmt::format("{} must be printable ASCII without spaces", what), "",
                   std::string(cut_at_character(topic.substr(i), 4).substr(0, 1))};
    }
  }
  if (topic.front() == '$') {
    return Fault{fmt::format("{} must not begin with \"$\"", what),
                 "brokers keep such topics for themselves", ""};
  }
  if (topic.front() == '/' || topic.back() == '/' || topic.find("//") != std::string_view::npos) {
    return Fault{fmt::format("{} has an empty level", what),
                 "no \"/\" at its ends, no \"//\" inside", ""};
  }
  return std::nullopt;
}

std::optional<Fault> placeholder_fault(std::string_view topic) {
  for (std::size_t i = 0; i < topic.size();) {
    const std::size_t brace = topic.find_first_of("{}", i);
    if (brace == std::string_view::npos) return std::nullopt;
    const std::size_t end = topic.find('}', brace);
    const std::string_view found =
        topic.substr(brace, end == std::string_view::npos ? end : end - brace + 1);
    const bool is_known = std::find(std::begin(placeholders), std::end(placeholders), found) !=
                          std::end(placeholders);
    if (!is_known) {
      const std::string_view near = nearest(found, placeholders);
      std::string help = near.empty() ? "" : fmt::format("did you mean {}?\n", near);
      help += fmt::format("there are: {}", fmt::join(placeholders, " "));
      return Fault{fmt::format("a topic cannot hold {}", penstock::quoted(found)), std::move(help),
                   std::string(found)};
    }
    i = brace + found.size();
  }
  return std::nullopt;
}

std::size_t count_of(std::string_view text, std::string_view part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string_view::npos;
       at = text.find(part, at + part.size())) {
    ++count;
  }
  return count;
}

}  // namespace

std::optional<Fault> prefix_fault(std::string_view prefix) {
  if (auto fault = shape_fault(prefix, "the prefix")) return fault;
  if (const auto brace = prefix.find_first_of("{}"); brace != std::string_view::npos) {
    return Fault{"the prefix is no template", "braces belong into topic",
                 std::string(1, prefix[brace])};
  }
  return std::nullopt;
}

std::optional<Fault> topic_fault(std::string_view topic, std::string_view prefix) {
  if (auto fault = shape_fault(topic, "the topic")) return fault;
  if (auto fault = placeholder_fault(topic)) return fault;
  const std::size_t streams = count_of(topic, "{stream}");
  if (streams == 0) {
    return Fault{"the topic must hold {stream}",
                 "without it the streams of a device could not be told apart", ""};
  }
  const std::size_t levels =
      count_of(topic, "/") + 1 + streams + count_of(topic, "{prefix}") * count_of(prefix, "/");
  if (levels > topic_levels_max) {
    return Fault{fmt::format("the topic may get {} levels, at most {} are passed on everywhere",
                             levels, topic_levels_max),
                 "{stream} counts for two: a connector and its part", ""};
  }
  return std::nullopt;
}

std::string_view filter_fault(std::string_view filter) {
  constexpr std::size_t bytes_max = 65'535;
  if (filter.empty()) return "a topic filter is not empty";
  if (filter.size() > bytes_max) return "a topic filter has 65,535 bytes at most";
  if (!is_valid_utf8(filter) || filter.find('\0') != std::string_view::npos) {
    return "a topic filter is UTF-8 without NUL";
  }
  for (std::size_t at = 0; at <= filter.size();) {
    const std::size_t end = std::min(filter.find('/', at), filter.size());
    const std::string_view level = filter.substr(at, end - at);
    if (level == "#" && end < filter.size()) return "# is the last level of a topic filter";
    if (level.size() > 1 && level.find_first_of("+#") != std::string_view::npos) {
      return "+ and # stand alone in their level";
    }
    at = end + 1;
  }
  return {};
}

}  // namespace penstock::config
