// The exec connector: output, errors, ends, and the cursor protocol.
#include <fmt/format.h>
#include <algorithm>

#include <catch2/catch.hpp>

#include "connectors/api/connector.hpp"
#include "connectors/exec/protocol.hpp"
#include "tests/support/fake_session.hpp"
#include "tests/support/made_connector.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::connectors::exec {

extern const ConnectorType type;

namespace {

using tests::FakeSession;
using tests::SeenEvent;
using tests::TempDir;
using Texts = std::vector<std::string>;

std::unique_ptr<Connector> make(const std::string& yaml) {
  return tests::make_connector(type, yaml);
}

/// A shell script that runs on, as YAML.
std::string script(const std::string& text) {
  return fmt::format("shell: true\ncommand: '{}'\n", text);
}

/// Runs until there are so many events; what run() said.
Result<void> run(FakeSession& session, const std::string& yaml, std::size_t events) {
  session.hook = [events](FakeSession& self) {
    if (self.events().size() >= events) self.request_stop();
  };
  return make(yaml)->run(session);
}

Texts messages(const FakeSession& session) {
  Texts out;
  for (const SeenEvent& event : session.events()) {
    out.push_back(event.lost > 0 ? fmt::format("<lost {}>", event.lost) : event.text("message"));
  }
  return out;
}

TEST_CASE("a command at an interval: each line is an event, also of a run that fails") {
  FakeSession session;
  REQUIRE(run(session, "every: 1s\n" + script("echo one; printf two; exit 3"), 4).ok());
  CHECK(messages(session) == Texts{"one", "two", "one", "two"});
}

TEST_CASE("the whole output is one message") {
  FakeSession session;
  REQUIRE(run(session, "every: 1s\nmessage: whole\n" + script("echo one; echo two"), 1).ok());
  CHECK(messages(session) == Texts{"one\ntwo"});
  FakeSession json;
  REQUIRE(run(json,
              "every: 1s\nmessage: whole\nformat: json\n" +
                  script("printf \"{\\n \\\"a\\\":\\n7}\\n\""),
              1)
              .ok());
  CHECK(json.events().at(0).number("a") == 7);
}

TEST_CASE("a run over its time is ended, with all that it started") {
  FakeSession session;
  REQUIRE(
      run(session, "every: 1s\ntimeout: 200ms\n" + script("echo here; sleep 1000 & sleep 1000"), 2)
          .ok());
  CHECK(messages(session) == Texts{"here", "here"});
}

TEST_CASE("a command that ends is unavailable, and what it had printed is taken") {
  FakeSession session;
  const auto result = run(session, script("echo last; echo trouble >&2; exit 7"), 9);
  REQUIRE_FALSE(result.ok());
  CHECK(result.error().code == Errc::unavailable);
  CHECK(result.error().text == "\"/bin/sh\" ended: exit status 7");
  CHECK(messages(session) == Texts{"last"});
}

TEST_CASE("a command that closes its output before it ends is left to end") {
  FakeSession session;
  const TempDir folder;
  const std::string file = (folder / "end").string();
  const auto result = run(
      session, script("echo last; exec >&- 2>&-; sleep 0.1; echo done > " + file + "; exit 3"), 9);
  REQUIRE_FALSE(result.ok());
  CHECK_THAT(result.error().text, Catch::Contains("exit status 3"));
  CHECK(messages(session) == Texts{"last"});
  CHECK(tests::read_file(file) == "done\n");
}

TEST_CASE("a command that cannot be started says why") {
  const auto [command, why] = GENERATE(table<std::string, std::string>(
      {{"/nonexistent/x", "No such file"}, {"no-such-command-anywhere", "not found in"}}));
  FakeSession session;
  const auto result = run(session, fmt::format("command: [{}]\n", command), 1);
  REQUIRE_FALSE(result.ok());
  CHECK(result.error().code == Errc::unavailable);
  CHECK(result.error().text.find(why) != std::string::npos);
}

TEST_CASE("a stop ends a child that ignores SIGTERM") {
  FakeSession session;
  REQUIRE(run(session,
              "stop_grace: 100ms\n" + script("trap \"\" TERM; echo up; while :; do sleep 1; done"),
              1)
              .ok());
  CHECK(messages(session) == Texts{"up"});
}

TEST_CASE("arguments are not read by a shell, and the environment is clean") {
  ::setenv("PENSTOCK_TEST_SECRET", "x", 1);
  FakeSession session;
  REQUIRE(run(session, "every: 1s\ncommand: [echo, \"$HOME; *\"]\n", 1).ok());
  CHECK(messages(session) == Texts{"$HOME; *"});
  FakeSession clean;
  REQUIRE(run(clean, "every: 1s\nmessage: whole\ncommand: [env]\nenvironment: {A: b}\n", 1).ok());
  const std::string text = messages(clean).at(0);
  CHECK(text.find("PENSTOCK_TEST_SECRET") == std::string::npos);
  CHECK(text.find("A=b\n") != std::string::npos);
  FakeSession inherited;
  REQUIRE(
      run(inherited, "every: 1s\nmessage: whole\ncommand: [env]\ninherit_environment: true\n", 1)
          .ok());
  CHECK(messages(inherited).at(0).find("PENSTOCK_TEST_SECRET=x") != std::string::npos);
}

TEST_CASE("a line over the limit is cut as text and left out as JSON") {
  const std::string text =
      "for i in 1 2; do head -c 100 /dev/zero | tr \"\\0\" x; echo; done; echo 7";
  FakeSession session;
  REQUIRE(run(session, "every: 1s\nline_bytes_max: 64B\n" + script(text), 3).ok());
  CHECK(messages(session) == Texts{std::string(64, 'x'), std::string(64, 'x'), "7"});
  CHECK(session.events().at(0).cut);
  FakeSession numbers;
  REQUIRE(run(numbers, "every: 1s\nformat: number\nline_bytes_max: 64B\n" + script(text), 1).ok());
  CHECK(numbers.events().at(0).number("value") == 7);
}

TEST_CASE("the cursor protocol: position at start, acknowledgement after the commit") {
  const TempDir folder;
  const auto yaml = [&](const std::string& tail) {
    return "cursor: true\nack_every: 0\n" +
           script(
               fmt::format("read -r p; echo \"$p\" >>{0}/got; {1}; while read -r a; do echo "
                           "\"$a\" >>{0}/got; echo \"{{\\\"events\\\":[{{\\\"message\\\":\\\"acked"
                           "\\\"}}]}}\"; done",
                           folder.path().string(), tail));
  };
  FakeSession session;
  REQUIRE(run(session,
              yaml("echo \"{\\\"events\\\":[{\\\"message\\\":\\\"a\\\"},{\\\"message\\\":"
                   "\\\"b\\\"}],\\\"position\\\":\\\"p2\\\"}\""),
              3)
              .ok());
  CHECK(messages(session) == Texts{"a", "b", "acked"});
  CHECK(session.positions().at("") == "p2");
  CHECK(tests::read_file(folder / "got") == "{\"position\":null}\n{\"ack\":\"p2\"}\n");

  FakeSession next;
  next.set_positions(session.positions());
  REQUIRE(run(next, yaml("echo nonsense; echo \"{\\\"lost\\\":5,\\\"position\\\":\\\"p3\\\"}\""), 2)
              .ok());
  CHECK(messages(next) == Texts{"<lost 5>", "acked"});
  CHECK(tests::read_file(folder / "got") ==
        "{\"position\":null}\n{\"ack\":\"p2\"}\n{\"position\":\"p2\"}\n{\"ack\":\"p3\"}\n");
}

TEST_CASE("a trial acknowledges nothing: the command would forget what nobody has stored") {
  FakeSession session;
  session.trial = true;
  const auto print = [](const std::string& message, const std::string& more = "") {
    return fmt::format("echo \"{{\\\"events\\\":[{{\\\"message\\\":\\\"{}\\\"}}]{}}}\"", message,
                       more);
  };
  const std::string position = ",\\\"position\\\":\\\"p1\\\"";
  REQUIRE(
      run(session,
          "cursor: true\nack_every: 0\n" +
              script(fmt::format("read -r p; {}; (while {}; do sleep 0.01; done) & read -r a; {}",
                                 print("first", position), print("tick"), print("acked"))),
          20)
          .ok());
  const Texts seen = messages(session);
  CHECK(seen.size() >= 20);
  CHECK(seen[0] == "first");
  CHECK(std::count(seen.begin(), seen.end(), "acked") == 0);
}

TEST_CASE("only the cursor protocol makes it a source that can be read again") {
  CHECK(make("command: x\ncursor: true\n")->is_rereadable() == true);
  CHECK(make("command: x\n")->is_rereadable() == false);
}

TEST_CASE("lines of the cursor protocol") {
  std::string_view why;
  const auto line = parse_cursor_line(
      R"({"x":[{"events":1}],"events":[ {"a":[1,2]}, {"b":"]"} ],"y":{"position":1},"position":"a\"b\u0000"})",
      why);
  REQUIRE(line.has_value());
  CHECK(line->events == R"([ {"a":[1,2]}, {"b":"]"} ])");
  CHECK(line->position == std::string("a\"b\0", 4));
  CHECK_FALSE(line->lost.has_value());
  for (const std::string bad :
       {"", "7", "[]", "{", "{\"position\":7}", "{\"events\":{}}", "{\"lost\":-1}",
        "{\"events\":[}", "{} {}", "{\"position\":\"\xff\"}"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_cursor_line(bad, why).has_value());
    CHECK_FALSE(why.empty());
  }
  const std::string deep =
      "{\"events\":" + std::string(100'000, '[') + std::string(100'000, ']') + "}";
  CHECK(parse_cursor_line(deep, why)->events.size() == 200'000);
  CHECK_FALSE(
      parse_cursor_line("{\"position\":\"" + std::string(4097, 'x') + "\"}", why).has_value());
}

TEST_CASE("bad options name their place") {
  const std::string yaml = GENERATE(
      as<std::string>{}, "command: []", "command: [\"\"]", "{command: [a, b], shell: true}",
      "{command: a, every: 1s, cursor: true}", "{command: a, cursor: true, format: text}",
      "{command: a, message: whole}", "{command: a, timeout: 1s}", "{command: a, ack_every: 1s}",
      "{command: a, directory: x}", "{command: a, environment: {\"A=\": b}}");
  CAPTURE(yaml);
  config::Diagnostics diagnostics;
  const auto section = config::Section::parse(yaml, type.options, diagnostics);
  CHECK_FALSE((section.ok() && type.make(*section).ok()));
  CHECK(diagnostics.has_errors());
}

}  // namespace
}  // namespace penstock::connectors::exec
