// A log line written by an attacker must stay one line.
#include "agent/base/log.hpp"

#include <catch2/catch.hpp>

namespace penstock {

TEST_CASE("quoted text is bounded and escaped", "[base]") {
  CHECK(quoted("plain") == "\"plain\"");
  CHECK(quoted("a\n<3>b") == "\"a\\n<3>b\"");
  CHECK(quoted(std::string(300, 'x')) == "\"" + std::string(256, 'x') + "…\"");
}

TEST_CASE("levels are read by name", "[base]") {
  CHECK(parse_log_level("debug", LogLevel::info) == LogLevel::debug);
  CHECK(parse_log_level("loud", LogLevel::warn) == LogLevel::warn);
}

}  // namespace penstock
