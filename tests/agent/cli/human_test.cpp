// Numbers that people read must be right at the edges of their units.
#include "agent/cli/human.hpp"

#include <catch2/catch.hpp>

#include "agent/cli/terminal.hpp"

namespace penstock::cli {
namespace {

using namespace std::chrono_literals;

TEST_CASE("sizes change their unit at 1024") {
  struct Row {
    std::uint64_t bytes;
    const char* want;
  };
  const auto row = GENERATE(Row{0, "0 B"}, Row{1023, "1023 B"}, Row{1024, "1.0 KiB"},
                            Row{102'400, "100 KiB"}, Row{1'572'864, "1.5 MiB"},
                            Row{1ULL << 40, "1.0 TiB"}, Row{1ULL << 60, "1048576 TiB"});
  CHECK(human_size(row.bytes) == row.want);
}

TEST_CASE("counts are grouped by thousands") {
  struct Row {
    std::uint64_t count;
    const char* want;
  };
  const auto row = GENERATE(Row{0, "0"}, Row{999, "999"}, Row{1000, "1 000"},
                            Row{18'423'311, "18 423 311"}, Row{100'000, "100 000"});
  CHECK(human_count(row.count) == row.want);
}

TEST_CASE("durations are read and written") {
  CHECK(human_duration(59s) == "59 s");
  CHECK(human_duration(60s) == "1 min");
  CHECK(human_duration(3661s) == "1 h 1 min");
  CHECK(human_duration(1'051'200s) == "12 d 4 h");
  CHECK(parse_duration("500ms") == 500ms);
  CHECK(parse_duration("30s") == 30s);
  CHECK(parse_duration("5m") == 5min);
  CHECK(parse_duration("2h") == 2h);
  CHECK(parse_duration("1d") == 24h);
  CHECK(parse_duration("0s") == 0s);
  const auto bad = GENERATE(as<std::string>{}, "", "5", "s", "-1s", "1.5s", "5 s", "5y", "4000d",
                            "99999999999999999999s");
  CAPTURE(bad);
  CHECK_FALSE(parse_duration(bad).has_value());
}

TEST_CASE("text is padded by characters, not bytes") {
  CHECK(padded("ab", 4) == "ab  ");
  CHECK(padded("ü", 3) == "ü  ");
  CHECK(padded("abcd", 2) == "abcd");
}

TEST_CASE("colour follows the flag, then NO_COLOR, then the terminal") {
  Globals globals;
  globals.color = "always";
  CHECK(use_color(globals, 1));
  globals.color = "never";
  CHECK_FALSE(use_color(globals, 1));
  globals.color = "auto";
  ::setenv("NO_COLOR", "1", 1);
  CHECK_FALSE(use_color(globals, 1));
  ::unsetenv("NO_COLOR");
  CHECK(colored("x", Color::red, true) == "\033[31mx\033[0m");
  CHECK(colored("x", Color::red, false) == "x");
}

TEST_CASE("the progress bar stays within its bounds") {
  CHECK(bar_text("verify", 0, 4) == "verify  [                              ]   0 %");
  CHECK(bar_text("verify", 2, 4) == "verify  [###############               ]  50 %");
  CHECK(bar_text("verify", 9, 4) == "verify  [##############################] 100 %");
  CHECK(bar_text("verify", 0, 0) == "verify  [##############################] 100 %");
}

}  // namespace
}  // namespace penstock::cli
