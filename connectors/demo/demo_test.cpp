// The demo connector: the same values every time, resumed or not, and in the amounts asked for.
#include "connectors/demo/demo.hpp"

#include <catch2/catch.hpp>
#include <set>

#include "connectors/api/connector.hpp"
#include "tests/support/fake_session.hpp"

namespace penstock::connectors::demo {

extern const ConnectorType type;

namespace {

using tests::FakeSession;
using tests::SeenEvent;

std::unique_ptr<Connector> make(std::string_view yaml) {
  config::Diagnostics diagnostics;
  auto section = config::Section::parse(yaml, type.options, diagnostics);
  REQUIRE(section.ok());
  auto connector = type.make(*section);
  REQUIRE(connector.ok());
  return *std::move(connector);
}

/// Runs until `pushes` chunks were taken, and goes on from what the session knows.
void run_for(Connector& connector, FakeSession& session, std::size_t pushes) {
  session.hook = [pushes](FakeSession& self) {
    if (self.pushes() >= pushes) self.request_stop();
  };
  REQUIRE(connector.run(session).ok());
}

std::vector<SeenEvent> run_for(std::string_view yaml, std::size_t pushes) {
  const auto connector = make(yaml);
  FakeSession session;
  run_for(*connector, session, pushes);
  return session.events();
}

bool same_values(const std::vector<SeenEvent>& a, const std::vector<SeenEvent>& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i].fields != b[i].fields) return false;
  }
  return true;
}

TEST_CASE("the same seed gives the same events, another seed others") {
  const auto first = run_for("{seed: 7}", 500);
  REQUIRE(first.size() == 500);
  CHECK(same_values(first, run_for("{seed: 7}", 500)));
  CHECK_FALSE(same_values(first, run_for("{seed: 8}", 500)));
}

TEST_CASE("the values are fixed for good: a resumed series must not break at an update") {
  const Signals signals(1, 5);
  CHECK(signals.sine(0) == 20.0);
  CHECK(signals.sine(15) == 30.0);
  CHECK(signals.sine(60'000'000'000'015) == 30.0);
  CHECK(signals.walk(0) == 42.713);
  CHECK(signals.walk(1) == 43.788);
  CHECK(signals.walk(123'456'789'012) == 62.421);
  CHECK(signals.step(0) == 70);
  CHECK(signals.step(29) == 70);
  CHECK(signals.step(30) == 20);
  CHECK(signals.burst(0) == 0.832);
}

TEST_CASE("signals stay in their ranges and look like what they are called") {
  const Signals signals(42, 5);
  std::set<double> steps;
  std::size_t in_burst = 0;
  double walk_low = 100;
  double walk_high = 0;
  double greatest_move = 0;
  for (std::uint64_t i = 0; i < 20'000; ++i) {
    CHECK((signals.sine(i) >= 10 && signals.sine(i) <= 30));
    walk_low = std::min(walk_low, signals.walk(i));
    walk_high = std::max(walk_high, signals.walk(i));
    greatest_move = std::max(greatest_move, std::abs(signals.walk(i + 1) - signals.walk(i)));
    steps.insert(signals.step(i));
    if (signals.burst(i) >= 100) ++in_burst;
  }
  CHECK((walk_low >= 0 && walk_high <= 100));
  CHECK(walk_high - walk_low > 30);
  CHECK(greatest_move < 10);
  CHECK(steps.size() == 10);
  CHECK(in_burst == 20'000 / 20);
}

TEST_CASE("a burst is as long as asked for") {
  const Signals signals(3, 12);
  std::set<std::uint64_t> lengths;
  std::uint64_t length = 0;
  for (std::uint64_t i = 0; i < 12 * 20 * 50; ++i) {
    if (signals.burst(i) >= 100) {
      ++length;
    } else if (length > 0) {
      lengths.insert(length);
      length = 0;
    }
  }
  CHECK(*lengths.begin() == 12);
  CHECK(*lengths.rbegin() % 12 == 0);  // two bursts may follow each other
}

TEST_CASE("resumed after any chunk, the series is the uninterrupted one") {
  const auto chunks = GENERATE(std::size_t{1}, std::size_t{2}, std::size_t{7}, std::size_t{19});
  const auto batch = GENERATE(std::string("1"), std::string("13"));
  const std::string yaml = "{seed: 5, batch: " + batch + "}";
  const auto whole = run_for(yaml, 20);
  FakeSession before;
  run_for(*make(yaml), before, chunks);
  FakeSession after;
  after.set_positions(before.positions());
  run_for(*make(yaml), after, 20 - chunks);
  auto joined = before.events();
  const auto rest = after.events();
  joined.insert(joined.end(), rest.begin(), rest.end());
  CHECK(same_values(joined, whole));
}

TEST_CASE("a chunk that was refused is made again") {
  const auto connector = make("{}");
  FakeSession first;
  first.refuse_from_push = 4;
  REQUIRE(connector->run(first).ok());
  CHECK(first.events().size() == 3);
  FakeSession second;
  second.set_positions(first.positions());
  run_for(*connector, second, 1);
  CHECK(second.events().at(0).number("counter") == 3);
}

TEST_CASE("a position that is not ours starts again at 0") {
  const auto bytes = GENERATE(as<std::string>{}, "x", "1", "1 ", "1 -5", "1 5x", "2 5", "5",
                              "1 18446744073709551616", "1 9223372036854775808",
                              std::string(4096, '1'), std::string("1 5\0", 4));
  FakeSession session;
  session.set_positions({{"", bytes}});
  run_for(*make("{}"), session, 2);
  CHECK(session.events().at(0).number("counter") == 0);
  CHECK(session.positions().at("") == "1 2");
}

TEST_CASE(
    "count ends the series, also when it is reached in the middle of a batch or after a restart") {
  FakeSession session;
  const auto connector = make("{count: 25, batch: 10}");
  run_for(*connector, session, 10);
  CHECK(session.events().size() == 25);
  CHECK(session.positions().at("") == "1 25");
  FakeSession again;
  again.set_positions(session.positions());
  run_for(*connector, again, 5);
  CHECK(again.events().empty());
}

TEST_CASE("a batch is spread over the interval that ends with the poll") {
  FakeSession session;
  const std::int64_t start_us = session.clock().wall_us();
  run_for(*make("{every: 1s, batch: 4}"), session, 2);
  const auto events = session.events();
  REQUIRE(events.size() == 8);
  for (std::size_t i = 0; i < events.size(); ++i) {
    CHECK(events[i].time_unix_us == start_us + (static_cast<std::int64_t>(i) - 3) * 250'000);
  }
}

TEST_CASE("only the chosen signals are in the events") {
  const auto events = run_for("{signals: [counter, sine]}", 1);
  REQUIRE(events.size() == 1);
  CHECK(events[0].fields.size() == 2);
  CHECK(events[0].has("counter"));
  CHECK(events[0].number("sine") == 20);
}

TEST_CASE("an unknown signal names its line") {
  config::Diagnostics diagnostics;
  CHECK_FALSE(
      config::Section::parse("seed: 1\nsignals: [cosine]\n", type.options, diagnostics).ok());
  CHECK(diagnostics.all().at(0).place.line == 2);
}

}  // namespace
}  // namespace penstock::connectors::demo
