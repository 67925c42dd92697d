// Any text from outside becomes one level of a topic, and different texts stay different.
#include "agent/pipeline/stream_name.hpp"

#include <catch2/catch.hpp>
#include <set>

using namespace penstock::pipeline;

TEST_CASE("a part becomes a bounded topic level", "[stream_name]") {
  struct Row {
    const char* name;
    std::string part;
    std::string want;
  };
  const auto row = GENERATE(values<Row>({
      {"none", "", "app"},
      {"plain", "cpu-0_a", "app/cpu-0_a"},
      {"a path", "/var/log/a.log", "app/%2Fvar%2Flog%2Fa%2Elog"},
      {"wildcards", "+/#", "app/%2B%2F%23"},
      {"percent", "a%2F", "app/a%252F"},
      {"not ASCII", "\xC3\xBC", "app/%C3%BC"},
      {"longest that stays", std::string(128, 'a'), "app/" + std::string(128, 'a')},
      {"too long", std::string(129, 'a'), "app/" + std::string(111, 'a') + "-ba20d66a82fdb40c"},
  }));
  INFO(row.name);
  CHECK(stream_name("app", row.part) == row.want);
}

TEST_CASE("long parts differ where they differ, and never end in half an escape", "[stream_name]") {
  std::set<std::string> names;
  for (std::size_t plain = 100; plain < 130; ++plain) {
    const std::string part = std::string(plain, 'a') + std::string(60, '/');
    const std::string name = part_name(part);
    INFO(name);
    CHECK(name.size() <= part_name_bytes_max);
    CHECK(names.insert(name).second);
    for (std::size_t i = name.find('%'); i != std::string::npos; i = name.find('%', i + 1)) {
      CHECK(name.substr(i, 3) == "%2F");
    }
  }
}
