// `penstock show`: what it prints must mean the same when it is read again.
#include "config/shown.hpp"

#include <catch2/catch.hpp>

#include "tests/config/fixture.hpp"

namespace penstock::config::tests {

TEST_CASE("the merged file as text, with origins, and as JSON", "[config]") {
  const Variable host("PENSTOCK_T_HOST", "plc-1");
  const Variable pin("PENSTOCK_T_PIN", "canary");
  Run run;
  run.write("penstock.yaml",
            "agent: {id: \"12\", tags: {note: 'a: \"b\" $$5 ä'}}\nbuffer:\ndefaults: {every: 2s}\n"
            "connectors:\n  x:\n    type: plc\n    address: tcp://${PENSTOCK_T_HOST}:502\n"
            "    read:\n      - {name: t, holding: 0x10, scale: 1.50}\n      - name: p\n"
            "    pin: {env: PENSTOCK_T_PIN}\n");
  run.write("conf.d/a.yaml",
            "connectors:\n  y: {type: file, paths: [/a, \"b*\"]}\nbuffer: {preallocate: false}\n");
  run.load();
  INFO(run.text());
  REQUIRE(run.is_ok());
  CHECK(run.loaded->shown_text ==
        "agent:\n"
        "  id: \"12\"\n"
        "  tags:\n"
        "    note: \"a: \\\"b\\\" $$5 ä\"\n"
        "buffer:\n"
        "  preallocate: false\n"
        "defaults:\n"
        "  every: 2s\n"
        "connectors:\n"
        "  x:\n"
        "    type: plc\n"
        "    address: tcp://plc-1:502\n"
        "    read:\n"
        "      - name: t\n"
        "        holding: 0x10\n"
        "        scale: 1.50\n"
        "      - name: p\n"
        "    pin:\n"
        "      env: PENSTOCK_T_PIN\n"
        "    every: 2s\n"
        "  y:\n"
        "    type: file\n"
        "    paths: [/a, \"b*\"]\n");
  const std::string origin = run.loaded->shown_with_origin;
  CHECK_THAT(origin,
             Catch::Contains("  preallocate: false  # " + run.path("conf.d/a.yaml") + ":3\n"));
  CHECK_THAT(origin, Catch::Contains("    every: 2s  # " + run.path("penstock.yaml") + ":3\n"));
  CHECK(run.loaded->shown_json ==
        R"({"agent":{"id":"12","tags":{"note":"a: \"b\" $5 ä"}},"buffer":{"preallocate":false},)"
        R"("defaults":{"every":"2s"},"connectors":{"x":{"type":"plc","address":"tcp://plc-1:502",)"
        R"("read":[{"name":"t","holding":16,"scale":1.5},{"name":"p"}],)"
        R"("pin":{"env":"PENSTOCK_T_PIN"},"every":"2s"},)"
        R"("y":{"type":"file","paths":["/a","b*"]}}})");

  // The default was put in where it applies: without its source it is still the same.
  Run again;
  again.write("penstock.yaml", run.loaded->shown_text);
  again.load();
  INFO(again.text());
  REQUIRE(again.is_ok());
  CHECK(again.loaded->shown_text == run.loaded->shown_text);
  CHECK(again.values().agent.tags == run.values().agent.tags);
}

TEST_CASE("control characters that YAML would read as others, or refuse, are escaped", "[config]") {
  Run run;
  run.write("penstock.yaml", "agent: {id: gw, tags: {a: \"x\\x85y\\x7f\\x9f\\u00a0é\"}}\n");
  run.load();
  INFO(run.text());
  REQUIRE(run.is_ok());
  CHECK_THAT(run.loaded->shown_text, Catch::Contains("a: \"x\\u0085y\\u007f\\u009f\u00a0é\""));
  Run again;
  again.write("penstock.yaml", run.loaded->shown_text);
  again.load();
  CHECK(again.is_ok());
  CHECK(again.loaded->shown_text == run.loaded->shown_text);
}

TEST_CASE("text that could be taken for something else is quoted", "[config]") {
  struct Row {
    std::string text;
    std::string want;
  };
  const auto row = GENERATE(values<Row>({{"abc", "abc"},
                                         {"12", "\"12\""},
                                         {"true", "\"true\""},
                                         {"null", "\"null\""},
                                         {"", "\"\""},
                                         {"a b", "\"a b\""},
                                         {"a:", "\"a:\""},
                                         {"a: b", "\"a: b\""},
                                         {"#a", "\"#a\""},
                                         {"a#b", "\"a#b\""},
                                         {"-a", "\"-a\""},
                                         {"mqtt://h:1", "mqtt://h:1"},
                                         {"http://u:secret@h", "\"http://u:******@h\""},
                                         {"a\nb", "\"a\\nb\""},
                                         {"${X}", "\"$${X}\""}}));
  Node root;
  root.kind = Node::Kind::map;
  Node& value = root.children.emplace_back();
  value.kind = Node::Kind::scalar;
  value.key = "k";
  value.text = row.text;
  CHECK(shown_text(root, Origin::hidden) == "k: " + row.want + "\n");
  value.key = "a$b";  // keys are never expanded
  CHECK(shown_text(root, Origin::hidden) == "\"a$b\": " + row.want + "\n");
}

}  // namespace penstock::config::tests
