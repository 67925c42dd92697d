#include "agent/cli/point.hpp"

#include <algorithm>
#include <charconv>
#include <string>

#include "agent/base/text.hpp"
#include "agent/cli/human.hpp"

namespace penstock::cli {
namespace {

constexpr std::string_view zero_of_day = "0000-00-00T00:00:00.000000Z";

/// The text with what it leaves out: the time of the day, the decimals.
std::optional<std::int64_t> parse_moment(std::string_view text) {
  if (text.size() == 10) return parse_time(std::string(text) + std::string(zero_of_day.substr(10)));
  if (text.empty() || text.back() != 'Z') return std::nullopt;
  std::string whole(text.substr(0, text.size() - 1));
  if (whole.size() == 19) whole += '.';
  if (whole.size() < 20 || whole.size() > 26) return std::nullopt;
  whole.append(26 - whole.size(), '0');
  return parse_time(whole + "Z");
}

}  // namespace

std::optional<Point> parse_point(std::string_view text, std::int64_t now_us) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc{} && end == text.data() + text.size()) return Point{number};
  if (const auto ago = parse_duration(text)) return Point{std::nullopt, now_us - ago->count()};
  if (const auto moment = parse_moment(text)) return Point{std::nullopt, *moment};
  return std::nullopt;
}

}  // namespace penstock::cli
