// How findings look: to the letter, since people and programs read them.
#include "config/diagnostics.hpp"

#include <rapidjson/document.h>
#include <catch2/catch.hpp>

#include "agent/base/text.hpp"
#include "tests/config/fixture.hpp"

namespace penstock::config::tests {

TEST_CASE("six messages", "[config]") {
  SECTION("unknown key") {
    CHECK(Run("agent:\n  idd: x\n").text() ==
          "error[C001]: unknown key \"idd\"\n"
          "  --> penstock.yaml:2:3\n"
          " 2 |   idd: x\n"
          "   |   ^^^ did you mean \"id\"?\n"
          "   = keys here: id tags log clock\n");
  }
  SECTION("missing unit") {
    CHECK(Run("connectors:\n  boiler:\n    type: host\n    every: 5\n").text() ==
          "error[C014]: \"every\" needs a unit\n"
          "  --> penstock.yaml:4:12\n"
          " 4 |     every: 5\n"
          "   |            ^ write 5s, 5m or 5ms\n");
  }
  SECTION("connector twice") {
    Run run;
    run.write("penstock.yaml", "connectors:\n  boiler: {type: host}\n");
    run.write("conf.d/20-lab.yaml", "connectors:\n  boiler: {type: host}\n");
    run.load();
    CHECK(run.text() ==
          "error[C022]: connector \"boiler\" is defined twice\n"
          "  --> conf.d/20-lab.yaml:2:3            first: penstock.yaml:2:3\n"
          " 2 |   boiler: {type: host}\n"
          "   |   ^^^^^^ rename one, or remove one\n"
          "   = fragments may add connectors but not change them\n");
  }
  SECTION("variable not set") {
    CHECK(Run("connectors:\n  x:\n    type: plc\n    address: tcp://${PLC_HOST}:502\n").text() ==
          "error[C031]: environment variable PLC_HOST is not set\n"
          "  --> penstock.yaml:4:20\n"
          " 4 |     address: tcp://${PLC_HOST}:502\n"
          "   |                    ^^^^^^^^^^^ set it, or give a default: ${PLC_HOST:-…}\n");
  }
  SECTION("secret in clear") {
    CHECK(Run("upstream:\n  brokers: mqtts://b\n  user: u\n  password: hunter2\n").text() ==
          "error[C040]: \"password\" may not stand here in clear\n"
          "  --> penstock.yaml:4:13\n"
          " 4 |   password: *******\n"
          "   |             ^^^^^^^\n"
          "   = write password: {file: /etc/penstock/secrets/password} (mode 0600)\n"
          "   = or password: {env: NAME}, or password: {credential: NAME} under systemd\n");
  }
  SECTION("warning") {
    CHECK(
        Run("upstream: {brokers: mqtts://b, tls: {insecure: true}}\n").text() ==
        "warning[W001]: the broker's certificate is not checked: anyone on the way can read and "
        "change the data\n"
        "  --> penstock.yaml:1:48\n"
        " 1 | upstream: {brokers: mqtts://b, tls: {insecure: true}}\n"
        "   |                                                ^^^^ name its authority with ca: FILE "
        "instead\n");
  }
}

TEST_CASE("lines that are long, wide or hostile", "[config]") {
  Diagnostics diagnostics;
  const std::string line =
      std::string(150, 'a') + "\tX\x1b[31m\xe2\x80\xae" + std::string(150, 'b');
  diagnostics.add_source("f", line + "\n");
  diagnostics.add({"C001", Severity::error, {"f", 1, 152, 153}, "", "found \x1b", "", {}});
  const std::string text = diagnostics.to_text(false);
  INFO(text);
  CHECK_THAT(text, Catch::Contains("…"));
  CHECK_THAT(text, Catch::Contains("a X?[31m?b"));
  const std::size_t shown = text.find(" 1 | ") + 5;
  const std::size_t caret = text.find("   | ") + 5;
  const std::size_t at_x = text.find('X', shown) - shown - 2;  // … takes three bytes for one column
  CHECK(text.find('^', caret) - caret == at_x);
}

TEST_CASE("errors come before warnings, in the order of the lines, twenty of them", "[config]") {
  Diagnostics diagnostics;
  diagnostics.add_source("f", "a\nb\nc\n");
  diagnostics.add({"W001", Severity::warning, {"f", 1, 1, 2}, "", "w", "", {}});
  diagnostics.add({"C002", Severity::error, {"f", 3, 1, 2}, "", "third", "", {}});
  diagnostics.add({"C001", Severity::error, {"f", 2, 1, 2}, "", "second", "", {}});
  std::string text = diagnostics.to_text(false);
  CHECK(text.find("second") < text.find("third"));
  CHECK(text.find("third") < text.find("[W001]"));
  CHECK(diagnostics.error_count() == 2);
  CHECK(diagnostics.warning_count() == 1);
  for (int i = 0; i < 30; ++i) diagnostics.add({"C003", Severity::error, {}, "", "more", "", {}});
  text = diagnostics.to_text(false);
  CHECK_THAT(text, Catch::EndsWith("\n… and 13 more\n"));
}

TEST_CASE("colors only where they are asked for", "[config]") {
  const Run run("agent: {id: 5}\n");
  CHECK(run.diagnostics.to_text(false).find('\x1b') == std::string::npos);
  CHECK(run.diagnostics.to_text(true).find("\x1b[1;31m") != std::string::npos);
}

TEST_CASE("findings as JSON", "[config]") {
  Run run;
  run.write("penstock.yaml", "agent: {id: a}\nbuffer: {max_size: 1}\n");
  run.write("conf.d/a.yaml", "agent: {id: b}\n");
  run.load();
  rapidjson::Document json;
  json.Parse(run.diagnostics.to_json().c_str());
  REQUIRE_FALSE(json.HasParseError());
  REQUIRE(json.IsArray());
  REQUIRE(json.Size() == 2);
  const auto& first = json[0];
  CHECK(std::string(first["code"].GetString()) == "C014");
  CHECK(std::string(first["severity"].GetString()) == "error");
  CHECK(std::string(first["file"].GetString()) == run.path("penstock.yaml"));
  CHECK(first["line"].GetInt() == 2);
  CHECK(first["col"].GetInt() == 20);
  CHECK(first["end_col"].GetInt() == 21);
  CHECK(std::string(first["path"].GetString()) == "buffer.max_size");
  CHECK(std::string(first["message"].GetString()) == "\"max_size\" needs a unit");
  CHECK(std::string(first["help"].GetString()) == "write 1MiB, 1KiB or 1B");
  CHECK_FALSE(first.HasMember("other"));
  CHECK(json[1]["other"]["line"].GetInt() == 1);
}

}  // namespace penstock::config::tests
