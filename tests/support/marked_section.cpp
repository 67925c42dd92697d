#include "tests/support/marked_section.hpp"

namespace penstock::tests {
namespace {

constexpr std::string_view end_mark = "<!-- /options -->";

struct Range {
  std::size_t begin = 0;
  std::size_t end = 0;
};

std::optional<Range> range_of(std::string_view document, std::string_view name) {
  const std::string begin_mark = "<!-- " + std::string(name) + " -->\n";
  const std::size_t mark = document.find(begin_mark);
  if (mark == std::string_view::npos) return std::nullopt;
  const std::size_t begin = mark + begin_mark.size();
  const std::size_t end = document.find(end_mark, begin);
  if (end == std::string_view::npos) return std::nullopt;
  return Range{begin, end};
}

}  // namespace

std::optional<std::string> marked_section(std::string_view document, std::string_view name) {
  const auto range = range_of(document, name);
  if (!range) return std::nullopt;
  return std::string(document.substr(range->begin, range->end - range->begin));
}

std::string replace_marked(std::string_view document, std::string_view name,
                           std::string_view content) {
  const auto range = range_of(document, name);
  if (!range) return std::string(document);
  std::string out(document.substr(0, range->begin));
  out += content;
  if (!content.empty() && content.back() != '\n') out += '\n';
  out += document.substr(range->end);
  return out;
}

}  // namespace penstock::tests
