// Fragments: what several people write must grow together, and never override in silence.
#include <catch2/catch.hpp>

#include "tests/config/fixture.hpp"

namespace penstock::config::tests {

TEST_CASE("fragments add keys and connectors, in the order of their names", "[config]") {
  Run run;
  run.write("penstock.yaml", "version: 1\nagent: {id: a}\nconnectors:\n  one: {type: host}\n");
  run.write("conf.d/20-b.yaml", "version: 1\nconnectors:\n  three: {type: host}\n");
  run.write(
      "conf.d/10-a.yaml",
      "agent: {tags: {x: y}}\nbuffer:\n  max_size: 16MiB\nconnectors:\n  two: {type: host}\n");
  run.write("conf.d/30-empty.yaml", "# nothing yet\n");
  run.write("conf.d/.hidden.yaml", "zzz: 1\n");
  run.write("conf.d/README", "zzz: 1\n");
  run.load();
  INFO(run.text());
  REQUIRE(run.is_ok());
  CHECK(run.values().agent.id == "a");
  CHECK(run.values().agent.tags.at("x") == "y");
  CHECK(run.values().buffer.max_size == 16u << 20);
  REQUIRE(run.values().connectors.size() == 3);
  CHECK(run.values().connectors[0].name == "one");
  CHECK(run.values().connectors[1].name == "two");
  CHECK(run.values().connectors[2].name == "three");
  REQUIRE(run.loaded->files.size() == 4);
  CHECK(run.loaded->files[1].filename() == "10-a.yaml");
}

TEST_CASE("fragments may be switched off", "[config]") {
  Run run;
  run.write("penstock.yaml", "agent: {id: a}\n");
  run.write("conf.d/a.yaml", "zzz: 1\n");
  run.request.read_fragments = false;
  run.load();
  CHECK(run.is_ok());
}

TEST_CASE("setting the same thing twice names both places", "[config]") {
  struct Row {
    std::string main;
    std::string fragment;
    std::string code;
    std::string path;
  };
  const auto row = GENERATE(values<Row>({
      {"agent:\n  id: a\n", "agent:\n  id: a\n", "C023", "agent.id"},
      {"buffer:\n  commit: {every: 1s}\n", "buffer:\n  commit: {every: 2s}\n", "C023",
       "buffer.commit.every"},
      {"upstream:\n  brokers: [mqtt://a]\n", "upstream:\n  brokers: [mqtt://b]\n", "C023",
       "upstream.brokers"},
      {"connectors:\n  x: {type: host}\n", "connectors:\n  x: {type: host}\n", "C022",
       "connectors.x"},
      {"connectors:\n  x:\n    type: host\n", "connectors:\n  x:\n    every: 1s\n", "C022",
       "connectors.x"},
  }));
  INFO(row.main << row.fragment);
  Run run;
  run.write("penstock.yaml", row.main);
  run.write("conf.d/a.yaml", row.fragment);
  run.load();
  CHECK_FALSE(run.is_ok());
  REQUIRE(run.diagnostics.error_count() == 1);
  const Diagnostic& found = run.diagnostics.all().front();
  CHECK(found.code == row.code);
  CHECK(found.path == row.path);
  CHECK(found.place.file == run.path("conf.d/a.yaml"));
  CHECK(found.place.line == 2);
  CHECK(found.other.file == run.path("penstock.yaml"));
  CHECK(found.other.line == 2);
}

TEST_CASE("an empty section gives way to a written one", "[config]") {
  Run run;
  run.write("penstock.yaml", "agent: {id: a}\nbuffer:\nconnectors:\n");
  run.write("conf.d/a.yaml", "agent:\nbuffer: {max_size: 16MiB}\nconnectors: {x: {type: host}}\n");
  run.load();
  INFO(run.text());
  REQUIRE(run.is_ok());
  CHECK(run.values().agent.id == "a");
  CHECK(run.values().buffer.max_size == 16u << 20);
  CHECK(run.values().connectors.size() == 1);
}

TEST_CASE("a broken fragment does not hide other mistakes", "[config]") {
  Run run;
  run.write("penstock.yaml", "buffer: {max_size: 1}\n");
  run.write("conf.d/a.yaml", "connectors: {a: [\n");
  run.write("conf.d/b.yaml", "- list\n");
  run.write("conf.d/c.yaml", "zzz: 1\n");
  run.write("conf.d/d.yml", "agent: {id: x}\n");
  run.load();
  CHECK_FALSE(run.is_ok());
  INFO(run.text());
  CHECK(run.diagnostics.error_count() == 4);
  CHECK(run.diagnostics.warning_count() == 1);
  CHECK_THAT(run.text(), Catch::Contains("fragments end in .yaml"));
}

}  // namespace penstock::config::tests
