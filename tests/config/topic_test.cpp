#include <catch2/catch.hpp>

#include "config/topic.hpp"

namespace penstock::config::tests {
namespace {

struct Row {
  std::string topic;
  std::string prefix;
  std::string part;  // "" = taken
};

}  // namespace

TEST_CASE("topic templates", "[config]") {
  const auto row = GENERATE(values<Row>({
      {"{prefix}/{device}/{kind}/{stream}", "penstock", ""},
      {"{stream}", "penstock", ""},
      {"plant/{device}-{stream}", "penstock", ""},
      {"{prefix}/{stream}", "a/b", ""},
      {"{prefix}/{device}/{kind}/{stream}", "a/b", "6 levels"},
      {"{stream}/{stream}/x", "p", ""},
      {"{stream}/{stream}/x/y", "p", "6 levels"},
      {"", "p", "empty"},
      {"/a/{stream}", "p", "empty level"},
      {"a/{stream}/", "p", "empty level"},
      {"a//{stream}", "p", "empty level"},
      {"$a/{stream}", "p", "\"$\""},
      {"a b/{stream}", "p", "printable ASCII"},
      {"\xc3\xa4/{stream}", "p", "printable ASCII"},
      {"a/#/{stream}", "p", "\"#\""},
      {"a/{stream", "p", "cannot hold"},
      {"a}/{stream}", "p", "cannot hold"},
      {"{device}", "p", "must hold {stream}"},
      {"{connector}/{stream}", "p", "there are:"},
      {std::string(300, 'a') + "{stream}", "p", "256"},
  }));
  INFO(row.topic << " with " << row.prefix);
  const auto fault = topic_fault(row.topic, row.prefix);
  REQUIRE(fault.has_value() == !row.part.empty());
  if (fault) {
    CHECK_THAT(fault->message + fault->help, Catch::Contains(row.part));
  }
}

TEST_CASE("prefixes", "[config]") {
  CHECK_FALSE(prefix_fault("penstock").has_value());
  CHECK_FALSE(prefix_fault("a/b").has_value());
  for (const auto* bad : {"", "/a", "a/", "$a", "a+", "{device}", "a b"}) {
    INFO(bad);
    CHECK(prefix_fault(bad).has_value());
  }
}

}  // namespace penstock::config::tests
