// The cursor protocol: JSON lines between the agent and a child that knows where it stands.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace penstock::connectors::exec {

/// `{"events":[…],"position":"…","lost":N}`; each member may be missing, others are ignored.
struct CursorLine {
  std::string_view events;  ///< the JSON text of the array, within the line; "" = none
  std::optional<std::string> position;
  std::optional<std::uint64_t> lost;  ///< 0: unknown how many
};

/// nullopt: `why` says what is wrong, a literal. Safe on any bytes.
std::optional<CursorLine> parse_cursor_line(std::string_view line, std::string_view& why);

/// `{"position":"…"}` or `{"position":null}`, with a newline.
std::string position_line(const std::optional<std::string>& position);
/// `{"ack":"…"}`, with a newline.
std::string ack_line(std::string_view position);

}  // namespace penstock::connectors::exec
