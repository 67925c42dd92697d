// Broken configurations: each mistake is told once, with its code, at its place. Without this,
// people would search a long file for a typing error.
#include <catch2/catch.hpp>

#include "tests/config/fixture.hpp"

namespace penstock::config::tests {
namespace {

struct Row {
  std::string name;
  std::string yaml;
  std::string code;
  int line;
  int column;
  std::string part;  // of the message or the help
};

void check(const Row& row) {
  const Run run(row.yaml);
  INFO(row.name << "\n" << row.yaml << "\n" << run.text());
  CHECK_FALSE(run.is_ok());
  CHECK(run.error.code == Errc::invalid);
  REQUIRE(run.diagnostics.error_count() == 1);
  const Diagnostic& found = run.diagnostics.all().front();
  CHECK(found.code == row.code);
  CHECK(found.place.line == row.line);
  CHECK(found.place.column == row.column);
  CHECK_THAT(found.message + "\n" + found.help, Catch::Contains(row.part));
}

std::string upstream(const std::string& rest) {
  return "upstream:\n  brokers: [mqtt://b]\n  " + rest + "\n";
}
std::string connector(const std::string& rest) { return "connectors:\n  x: {" + rest + "}\n"; }

}  // namespace

TEST_CASE("an escape that yaml-cpp turns into bytes of no character", "[config]") {
  check(GENERATE(values<Row>({
      {"next line", "agent: {id: \"a\\N\"}\n", "C013", 1, 13, "\\u0085"},
      {"no-break space, in a key", "agent: {\"\\_\": a}\n", "C013", 1, 9, "\\u00a0"},
  })));
}

TEST_CASE("a complaint of yaml-cpp about one byte of a character is text all the same",
          "[config]") {
  check({"an escaped umlaut", "agent: {id: \"a\\\xC3\xA4\"}\n", "C010", 1, 17, "\\xc3"});
}

TEST_CASE("a key that could not be shown and read again", "[config]") {
  const std::string longest(160, 'k');
  CHECK_THAT(Run("agent: {tags: {" + longest + ": a}}\n").text(), !Catch::Contains("C012"));
  check({"too long", "agent: {tags: {" + longest + "k: a}}\n", "C012", 1, 16, "160 bytes"});
}

TEST_CASE("keys", "[config]") {
  check(GENERATE(values<Row>({
      {"unknown key", "buffer:\n  max_sizee: 2GiB\n", "C001", 2, 3, "did you mean \"max_size\"?"},
      {"unknown key at the root", "bufer: {}\n", "C001", 1, 1, "did you mean \"buffer\"?"},
      {"unknown key like nothing", "agent: {zzzzzzzz: 1}\n", "C001", 1, 9,
       "keys here: id tags log"},
      {"misspelt key", "buffer: {max_agee: 14d}\n", "C001", 1, 10, "\"max_age\""},
      {"unknown key of a type", connector("type: host, evry: 1s"), "C001", 2, 19,
       "did you mean \"every\"?"},
      {"key of another type", connector("type: host, paths: [/a]"), "C001", 2, 19, "\"paths\""},
      {"unknown key in a list", connector("type: plc, address: a, read: [{name: n, hold: 1}]"),
       "C001", 2, 47, "keys here: name holding scale"},
      {"merge key", connector("type: host, <<: 1"), "C001", 2, 19, "\"<<\""},
      {"duplicate key", "buffer:\n  max_size: 1GiB\n  max_size: 2GiB\n", "C002", 3, 3, "twice"},
      {"duplicate section", "agent: {id: a}\nbuffer: {}\nagent: {id: b}\n", "C002", 3, 1, "twice"},
      {"duplicate connector", "connectors:\n  a: {type: host}\n  a: {type: host}\n", "C002", 3, 3,
       "\"a\""},
      {"missing key", connector("type: file"), "C003", 2, 3,
       "write paths: [\"/var/log/app/*.log\"]"},
      {"missing type", connector("tags: {a: b}"), "C003", 2, 3, "\"type\" is missing"},
      {"missing brokers", "upstream: {user: x}\n", "C003", 1, 1, "\"brokers\" is missing"},
      {"empty upstream", "upstream:\n", "C003", 1, 1, "\"brokers\" is missing"},
      {"missing key in a list", connector("type: plc, address: a, read: [{holding: 1}]"), "C003", 2,
       37, "\"name\" is missing"},
  })));
}

TEST_CASE("types, choices and bounds", "[config]") {
  check(GENERATE(values<Row>({
      {"map for text", "agent: {id: {a: b}}\n", "C004", 1, 13, "must be text, not a map"},
      {"number for text", "agent: {id: 12}\n", "C004", 1, 13, "put it in quotes: \"12\""},
      {"boolean for text", "agent: {id: true}\n", "C004", 1, 13, "put it in quotes: \"true\""},
      {"text for a section", "buffer: big\n", "C004", 1, 9, "must be a map"},
      {"list for a section", "buffer: [1]\n", "C004", 1, 9, "not a list"},
      {"list as a file", "- a\n", "C004", 1, 1, "the file must be a map"},
      {"list of connectors", "connectors:\n  - type: host\n", "C004", 2, 3, "must be a map"},
      {"connector without a map", "connectors:\n  x: host\n", "C004", 2, 6, "must be a map"},
      {"yes is no boolean", "buffer: {preallocate: yes}\n", "C004", 1, 23, "write true or false"},
      {"quoted boolean", "buffer: {preallocate: \"true\"}\n", "C004", 1, 23, "without quotes"},
      {"text for a number", upstream("in_flight: many"), "C004", 3, 14, "a whole number"},
      {"fraction for an integer", upstream("in_flight: 1.5"), "C004", 3, 14, "without a fraction"},
      {"quoted number", upstream("in_flight: \"8\""), "C004", 3, 14, "without quotes"},
      {"number beyond 64 bits", upstream("in_flight: 99999999999999999999"), "C004", 3, 14,
       "too large"},
      {"infinity", connector("type: plc, address: a, read: [{name: n, scale: .inf}]"), "C004", 2,
       54, "must be a number"},
      {"map for a list", connector("type: file, paths: {a: b}"), "C004", 2, 26, "a list of text"},
      {"number in a list", connector("type: file, paths: [/a, 5]"), "C004", 2, 31,
       "put it in quotes"},
      {"list in a list", connector("type: file, paths: [[/a]]"), "C004", 2, 27, "here is a list"},
      {"number in tags", "agent: {tags: {line: 2}}\n", "C004", 1, 22, "put it in quotes: \"2\""},
      {"text for tags", "agent: {tags: x}\n", "C004", 1, 15, "write tags: {name: value}"},
      {"text for a list of maps", connector("type: plc, address: a, read: x"), "C004", 2, 36,
       "a list of maps"},
      {"no receivers", upstream("ack: receiver"), "C054", 3, 8, "needs the names of receivers"},
      {"bad receiver", upstream("ack: receiver\n  receivers: [archive, a/b]"), "C053", 4, 24,
       "a level of its topic"},
      {"receiver twice", upstream("ack: receiver\n  receivers: [archive, archive]"), "C053", 4, 24,
       "named twice"},
      {"bad choice", upstream("compression: zst"), "C005", 3, 16, "did you mean \"zstd\"?"},
      {"unknown policy", "buffer: {when_full: drop_old}\n", "C005", 1, 21, "choices: auto"},
      {"bad choice of a type", connector("type: file, paths: [/a], start: begin"), "C005", 2, 39,
       "choices: beginning end"},
      {"bad choice in a list", connector("type: host, collect: [cpu, memry]"), "C005", 2, 34,
       "did you mean \"memory\"?"},
      {"below the least", "buffer: {max_size: 1MiB}\n", "C006", 1, 20, "at least 8MiB"},
      {"above the most", upstream("in_flight: 65"), "C006", 3, 14, "at most 64"},
      {"bound in a list", connector("type: plc, address: a, read: [{name: n, scale: 0.0001}]"),
       "C006", 2, 54, "at least 0.001"},
      {"unknown version", "version: 2\n", "C006", 1, 10, "at most 1"},
      {"no value", "agent:\n  id:\n", "C007", 2, 3, "\"id\" has no value"},
      {"null", "agent: {id: null}\n", "C007", 1, 9, "has no value"},
      {"NUL by an escape", "agent: {tags: {a: \"x\\0y\"}}\n", "C013", 1, 19, "NUL"},
  })));
}

TEST_CASE("quantities", "[config]") {
  check(GENERATE(values<Row>({
      {"missing unit", connector("type: host, every: 5"), "C014", 2, 26, "write 5s, 5m or 5ms"},
      {"missing unit of a size", "buffer: {max_size: 1000}\n", "C014", 1, 20, "write 1000MiB"},
      {"missing time of a rate", "buffer: {write_budget: 500MB}\n", "C014", 1, 24, "500MB/day"},
      {"unit of a size for a time", connector("type: host, every: 5MiB"), "C015", 2, 26,
       "units are us ms s m h d"},
      {"long unit", connector("type: host, every: 5sec"), "C015", 2, 26, "did you mean 5s?"},
      {"wrong case", "buffer: {max_size: 64mb}\n", "C015", 1, 20, "did you mean 64MB?"},
      {"space", "buffer: {max_size: 64 MiB}\n", "C015", 1, 20, "did you mean 64MiB?"},
      {"unit of a rate", "buffer: {write_budget: 5MB/hour}\n", "C015", 1, 24,
       "did you mean 5MB/h?"},
      {"words", connector("type: host, every: often"), "C015", 2, 26, "is not a duration"},
      {"negative", connector("type: host, every: -5s"), "C015", 2, 26, "must not be negative"},
      {"off where it is not taken", connector("type: host, every: off"), "C015", 2, 26,
       "is not a duration"},
      {"too large", connector("type: host, every: 99999999999999d"), "C015", 2, 26, "too large"},
  })));
}

TEST_CASE("YAML that is refused", "[config]") {
  check(GENERATE(values<Row>({
      {"not YAML", "agent: {id: a\nbuffer: {}\n", "C010", 2, 7, "not YAML"},
      {"unclosed quote", "agent:\n  id: \"a\n", "C010", 2, 7, "never closed"},
      {"tab", "agent:\n\tid: a\n", "C010", 2, 4, "not with tabs"},
      {"colon in a value", "agent: {}\nbuffer: a: b\n", "C010", 2, 10, "needs quotes"},
      {"anchor", "agent: &a {id: x}\n", "C011", 1, 8, "anchors"},
      {"anchor on text", "agent: {id: &a x}\n", "C011", 1, 13, "anchors"},
      {"anchor on a key", "&a agent: {id: x}\n", "C011", 1, 1, "anchors"},
      {"alias of itself", "agent: &a\n  id: *a\n", "C011", 1, 8, "anchors"},
      {"tag", "agent: {id: !!str 5}\n", "C011", 1, 13, "tags"},
      {"tag without a name", "agent: {id: ! 5}\n", "C011", 1, 13, "tags"},
      {"local tag on a map", "agent: !x {id: a}\n", "C011", 1, 8, "tags"},
      {"second document", "agent: {id: a}\n---\nagent: {id: b}\n", "C011", 2, 1, "second document"},
      {"map as a key", "? {a: b}\n: 1\n", "C004", 1, 3, "a key must be text"},
      {"template left over", "agent: {id: {{ name }}}\n", "C004", 1, 14, "a key must be text"},
      {"control character", "agent: {id: \"a\x01\"}\n", "C013", 1, 15, "0x01"},
      {"end mark of the parser", "agent: {id: a}\n\x04\nbuffer: 1\n", "C013", 2, 1, "0x04"},
      {"NUL", std::string("agent: {id: a\0}\n", 16), "C013", 1, 14, "0x00"},
      {"not UTF-8", "agent: {id: \"\xff\"}\n", "C013", 1, 14, "UTF-8"},
      {"column in characters", "agent: {tags: {a: \"\xc3\xa4\xc3\xb6\", b: 2}}\n", "C004", 1, 28,
       "put it in quotes"},
  })));
}

TEST_CASE("connectors and variables", "[config]") {
  check(GENERATE(values<Row>({
      {"capital in a name", "connectors: {Boiler: {type: host}}\n", "C020", 1, 14,
       "did you mean \"boiler\"?"},
      {"dot in a name", "connectors: {a.b: {type: host}}\n", "C020", 1, 14, "\"a_b\""},
      {"name too long", "connectors: {" + std::string(65, 'a') + ": {type: host}}\n", "C020", 1, 14,
       "64 in all"},
      {"unknown type", connector("type: hosst, every: 1s"), "C021", 2, 13,
       "did you mean \"host\"?"},
      {"unknown type like nothing", connector("type: quantum"), "C021", 2, 13,
       "types: file host plc"},
      {"variable not set", "agent:\n  id: gw-${PENSTOCK_NOT_SET}\n", "C031", 2, 10,
       "PENSTOCK_NOT_SET"},
      {"bad variable", "agent: {id: \"${1X}\"}\n", "C032", 1, 14, "not the name of a variable"},
      {"unclosed variable", "agent: {id: \"a${X\"}\n", "C032", 1, 15, "no closing"},
  })));
}

TEST_CASE("secrets", "[config]") {
  check(GENERATE(values<Row>({
      {"in clear", upstream("user: u\n  password: hunter2"), "C040", 4, 13,
       "write password: {file: /etc/penstock/secrets/password}"},
      {"in clear, a number", upstream("user: u\n  password: 12345"), "C040", 4, 13, "in clear"},
      {"unknown form", upstream("user: u\n  password: {vault: x}"), "C041", 4, 14, "\"vault\""},
      {"two forms", upstream("user: u\n  password: {file: /a, env: B}"), "C041", 4, 13,
       "one place"},
      {"list", upstream("user: u\n  password: [a]"), "C041", 4, 13, "one place"},
      {"empty name", upstream("user: u\n  password: {env: \"\"}"), "C041", 4, 19, "must be a name"},
      {"credential with a path", upstream("user: u\n  password: {credential: ../x}"), "C041", 4, 26,
       "must be a name"},
      {"missing file", connector("type: plc, address: a, pin: {file: /nonexistent/x}"), "C042", 2,
       42, "No such file"},
      {"missing variable", upstream("user: u\n  password: {env: PENSTOCK_NOT_SET}"), "C042", 4, 19,
       "is not set"},
      {"of a connector", connector("type: plc, address: a, pin: 1234"), "C040", 2, 35, "\"pin\""},
  })));
}

TEST_CASE("meanings", "[config]") {
  check(GENERATE(values<Row>({
      {"bad id", "agent: {id: \"a b\"}\n", "C050", 1, 13, "cannot be an id"},
      {"empty id", "agent: {id: \"\"}\n", "C050", 1, 13, "cannot be an id"},
      {"reserved tag", "agent: {tags: {seq: \"1\"}}\n", "C051", 1, 16, "\"seq\" already"},
      {"reserved tag of a connector", connector("type: host, tags: {time: a}"), "C051", 2, 26,
       "\"time\" already"},
      {"bad tag", "agent: {tags: {\"a b\": x}}\n", "C051", 1, 16, "name of a tag"},
      {"path of a websocket", "upstream: {brokers: [\"mqtt://a\", \"ws://b?\"]}\n", "C052", 1, 41,
       "WebSocket"},
      {"password of no key", upstream("tls: {key_password: {env: PATH}}"), "C054", 3, 23,
       "of no use without"},
      {"no scheme", "upstream: {brokers: \"b:1883\"}\n", "C052", 1, 21,
       "did you mean mqtt://b:1883?"},
      {"no broker", "upstream: {brokers: []}\n", "C052", 1, 21, "no broker is given"},
      {"password in a URL", "upstream: {brokers: \"mqtt://u:hunter2@b\"}\n", "C052", 1, 21,
       "must not hold"},
      {"topic without a stream", upstream("topic: \"{prefix}/{device}\""), "C053", 3, 10,
       "{stream}"},
      {"topic with a wildcard", upstream("topic: \"a/+/{stream}\""), "C053", 3, 13, "wildcard"},
      {"topic with a wrong name", upstream("topic: \"{prefix}/{strem}\""), "C053", 3, 20,
       "did you mean {stream}?"},
      {"topic with many levels", upstream("topic: \"a/b/c/d/{stream}\""), "C053", 3, 10,
       "6 levels"},
      {"prefix with many levels", upstream("prefix: a/b"), "C053", 3, 11, "6 levels"},
      {"prefix for the broker itself", upstream("prefix: $SYS"), "C053", 3, 11, "\"$\""},
      {"compressed without a kind", upstream("compression: zstd\n  topic: \"a/{stream}\""), "C053",
       4, 10, "{kind}"},
      {"commit larger than its share", "buffer: {max_size: 8MiB, commit: {bytes: 4MiB}}\n", "C054",
       1, 42, "a quarter"},
      {"delay below the interval", "buffer: {commit: {every: 20s}}\n", "C054", 1, 26,
       "at least \"every\""},
      {"certificate without a key", upstream("tls: {cert: /a}"), "C054", 3, 15, "belong together"},
      {"password without a user", upstream("password: {env: HOME}"), "C054", 3, 13, "needs a user"},
  })));
}

TEST_CASE("all mistakes of a run are told together", "[config]") {
  const Run run(
      "agent: {id: 5}\nbuffer: {max_size: 1}\nupstream: {brokers: [x]}\n"
      "connectors:\n  a: {type: hosst}\n  b: {type: file}\n");
  CHECK(run.diagnostics.error_count() == 5);
  CHECK_THAT(run.error.text, Catch::Contains("5 errors"));
}

TEST_CASE("what a connector's type finds comes along with other mistakes", "[config]") {
  Run run;
  run.write("penstock.yaml",
            "buffer: {max_size: 1}\nconnectors:\n  a: {type: host}\n  b: {type: host, every: 1}\n"
            "  c: {type: host, tags: {seq: x}}\n");
  std::vector<std::string> asked;
  run.request.check_anyway = [&](const ConnectorEntry& entry) {
    asked.push_back(entry.name);
    static_cast<void>(entry.section.invalid("every", "too often for this host"));
  };
  run.load();
  CHECK(asked == std::vector<std::string>{"a"});
  CHECK(run.diagnostics.error_count() == 4);
}

}  // namespace penstock::config::tests
