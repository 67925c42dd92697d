// A place that is misread exports, or deletes, the wrong events.
#include "agent/cli/point.hpp"

#include <catch2/catch.hpp>

namespace penstock::cli {
namespace {

constexpr std::int64_t now_us = 1'764'000'000'000'000;  // 2025-11-24T16:00:00Z

TEST_CASE("numbers, moments and ages are told apart") {
  CHECK(parse_point("0", now_us)->number == 0U);
  CHECK(parse_point("18446744073709551615", now_us)->number == UINT64_MAX);
  CHECK(parse_point("2h", now_us)->time_unix_us == now_us - 7'200'000'000);
  CHECK(parse_point("2025-11-24T16:00:00Z", now_us)->time_unix_us == now_us);
  CHECK(parse_point("2025-11-24T16:00:00.5Z", now_us)->time_unix_us == now_us + 500'000);
  CHECK(parse_point("2025-11-24T16:00:00.123456Z", now_us)->time_unix_us == now_us + 123'456);
  CHECK(parse_point("2025-11-24", now_us)->time_unix_us == now_us - 57'600'000'000);
}

TEST_CASE("what is none of these is refused") {
  const char* text = GENERATE("", "-1", "1.5", "soon", "2h ", "18446744073709551616",
                              "2025-11-24T16:00:00", "2025-13-24", "2025-11-24T16:00Z",
                              "2025-11-24T16:00:00.1234567Z", "2025-11-24 16:00:00Z");
  CAPTURE(text);
  CHECK_FALSE(parse_point(text, now_us));
}

}  // namespace
}  // namespace penstock::cli
