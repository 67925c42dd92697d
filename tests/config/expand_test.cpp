#include "config/expand.hpp"

#include <catch2/catch.hpp>

#include "tests/config/fixture.hpp"

namespace penstock::config::tests {
namespace {

Node expanded(std::string_view yaml, Diagnostics& diagnostics) {
  auto root = parse_yaml("x.yaml", yaml, diagnostics);
  REQUIRE(root.has_value());
  expand(*root, diagnostics);
  return *std::move(root);
}

}  // namespace

TEST_CASE("variables in scalars", "[config]") {
  const Variable host("PENSTOCK_T_HOST", "plc-1");
  const Variable empty("PENSTOCK_T_EMPTY", "");
  struct Row {
    std::string written;
    std::string want;
  };
  const auto row = GENERATE(values<Row>({
      {"${PENSTOCK_T_HOST}", "plc-1"},
      {"tcp://${PENSTOCK_T_HOST}:502", "tcp://plc-1:502"},
      {"${PENSTOCK_T_HOST}${PENSTOCK_T_HOST}", "plc-1plc-1"},
      {"${PENSTOCK_T_HOST:-x}", "plc-1"},
      {"${PENSTOCK_T_EMPTY}", ""},
      {"${PENSTOCK_T_EMPTY:-x}", "x"},
      {"${PENSTOCK_T_NONE:-}", ""},
      {"${PENSTOCK_T_NONE:-a b}", "a b"},
      {"$$", "$"},
      {"$${PENSTOCK_T_HOST}", "${PENSTOCK_T_HOST}"},
      {"$PENSTOCK_T_HOST", "$PENSTOCK_T_HOST"},
      {"a$", "a$"},
      {"^a.*$ $1", "^a.*$ $1"},
  }));
  INFO(row.written);
  Diagnostics diagnostics;
  const Node root = expanded("a: \"" + row.written + "\"\n", diagnostics);
  CHECK(root.find("a")->text == row.want);
  CHECK_FALSE(diagnostics.has_errors());
}

TEST_CASE("a variable never becomes YAML, and keys are left alone", "[config]") {
  const Variable evil("PENSTOCK_T_EVIL", "x\nb: {c: [1]} ${HOME} # &a");
  Diagnostics diagnostics;
  const Node root = expanded("a: ${PENSTOCK_T_EVIL}\n\"${PENSTOCK_T_EVIL}\": 1\n", diagnostics);
  CHECK(root.children.size() == 2);
  CHECK(root.find("a")->text == "x\nb: {c: [1]} ${HOME} # &a");
  CHECK(root.find("${PENSTOCK_T_EVIL}") != nullptr);
}

TEST_CASE("what a variable holds takes the type of its option", "[config]") {
  const Variable number("PENSTOCK_T_NUMBER", "12");
  const Variable boolean("PENSTOCK_T_BOOLEAN", "false");
  const Run run(
      "agent: {id: \"${PENSTOCK_T_NUMBER}\"}\n"
      "buffer:\n  preallocate: ${PENSTOCK_T_BOOLEAN}\n  max_size: ${PENSTOCK_T_NUMBER}MiB\n"
      "upstream: {brokers: mqtt://b, in_flight: \"${PENSTOCK_T_NUMBER}\"}\n");
  INFO(run.text());
  REQUIRE(run.is_ok());
  CHECK(run.values().agent.id == "12");
  CHECK_FALSE(run.values().buffer.preallocate);
  CHECK(run.values().buffer.max_size == 12u << 20);
  CHECK(run.values().upstream->in_flight_max == 12);
}

TEST_CASE("variables cannot fill the memory", "[config]") {
  const Variable large("PENSTOCK_T_LARGE", std::string(100'000, 'x').c_str());
  Diagnostics diagnostics;
  std::string yaml = "a:\n";
  for (int i = 0; i < 1000; ++i) yaml += "  - \"${PENSTOCK_T_LARGE}${PENSTOCK_T_LARGE}\"\n";
  expanded(yaml, diagnostics);
  CHECK(diagnostics.has_errors());
  CHECK(diagnostics.all().front().code == "C033");
}

TEST_CASE("a variable that is not UTF-8 is refused", "[config]") {
  const Variable bad("PENSTOCK_T_BAD", "\xff");
  Diagnostics diagnostics;
  expanded("a: ${PENSTOCK_T_BAD}\n", diagnostics);
  REQUIRE(diagnostics.error_count() == 1);
  CHECK(diagnostics.all().front().code == "C013");
}

TEST_CASE("the path of a finding is the value's", "[config]") {
  Diagnostics diagnostics;
  expanded("a:\n  - b: [x, \"${PENSTOCK_T_NONE}\"]\n", diagnostics);
  REQUIRE(diagnostics.error_count() == 1);
  CHECK(diagnostics.all().front().path == "a[0].b[1]");
}

}  // namespace penstock::config::tests
