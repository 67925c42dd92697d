// What every connector type owes the agent, tried on all built-in types alike.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <future>
#include <mutex>
#include <thread>

#include "agent/base/text.hpp"
#include "connectors/api/connector.hpp"
#include "tests/contract/fixtures.hpp"
#include "tests/support/fake_session.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::tests::contract {
namespace {

using connectors::Connector;
using connectors::ConnectorType;
using namespace std::chrono_literals;

constexpr auto patience = 20s;
constexpr std::size_t wanted_events = 8;

const ConnectorType& any_type() {
  const auto types = connectors::builtin_types();
  return *types[GENERATE(range(std::size_t{0}, connectors::builtin_types().size()))];
}

/// One source and the connectors that read it, one after the other.
class Bench {
 public:
  explicit Bench(const ConnectorType& type) : type_(type), fixture_(find_fixture(type.name)) {
    INFO("a type without a fixture: add one to tests/contract/fixtures.cpp");
    CAPTURE(type.name);
    REQUIRE(fixture_ != nullptr);
    yaml_ = fixture_->yaml(folder_.path());  // first: it may choose where the source is
    feed();
  }

  std::unique_ptr<Connector> make() {
    auto section = config::Section::parse(yaml_, type_.options, diagnostics_);
    INFO(diagnostics_.to_text(false));
    REQUIRE(section.ok());
    auto made = type_.make(*section);
    REQUIRE(made.ok());
    return *std::move(made);
  }

  /// A sender's events go out one after the other, beside the connector.
  void feed() {
    const std::size_t index = fed_++;
    if (!fixture_->is_sender) {
      fixture_->feed(folder_.path(), index);
      return;
    }
    const std::lock_guard lock(mutex_);
    to_send_.push_back(index);
    if (!sender_.joinable()) {
      sender_ = std::jthread([this](const std::stop_token& stop) { send(stop); });
    }
  }
  void stop_feeding() { sender_ = std::jthread(); }
  const Fixture& fixture() const { return *fixture_; }
  const std::filesystem::path& folder() const { return folder_.path(); }

  /// Each push brings the source's next event, until the session has `events` of them.
  void stop_at(FakeSession& session, std::size_t events) {
    session.hook = [this, events, pushes = std::size_t{0}](FakeSession& self) mutable {
      if (self.events().size() >= events) return self.request_stop();
      if (self.pushes() > pushes && fed_ < wanted_events) feed();
      pushes = self.pushes();
    };
  }

  /// The event without its time and without what differs between two runs of a test.
  std::string as_text(const SeenEvent& event) const {
    std::string out = event.part;
    for (const auto& [name, value] : event.fields) {
      std::string text = std::visit(
          [](const auto& v) {
            if constexpr (std::is_same_v<std::decay_t<decltype(v)>, std::monostate>) {
              return std::string("null");
            } else {
              return fmt::format("{}", v);
            }
          },
          value);
      const std::string folder = folder_.path().string();
      if (const auto at = text.find(folder); at != std::string::npos) text.erase(at, folder.size());
      out += fmt::format(" {}={}", name, text);
    }
    return out;
  }
  std::vector<std::string> texts(const FakeSession& session) const {
    std::vector<std::string> out;
    for (const SeenEvent& event : session.events()) out.push_back(as_text(event));
    return out;
  }

 private:
  void send(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      std::optional<std::size_t> index;
      {
        const std::lock_guard lock(mutex_);
        if (!to_send_.empty()) index = to_send_.front();
      }
      if (index && fixture_->feed(folder_.path(), *index)) {
        const std::lock_guard lock(mutex_);
        to_send_.pop_front();
      } else {
        std::this_thread::sleep_for(1ms);  // nobody listens yet
      }
    }
  }

  const ConnectorType& type_;
  const Fixture* fixture_;
  TempDir folder_;
  std::string yaml_;
  config::Diagnostics diagnostics_;
  std::size_t fed_ = 0;
  std::mutex mutex_;  // guards: to_send_
  std::deque<std::size_t> to_send_;
  std::jthread sender_;  // last: ends first
};

/// run() on a thread of its own. `meanwhile` is called beside it. A run that does not end after a
/// stop cannot be ended otherwise: it ends the test program.
Result<void> run_in_time(Connector& connector, FakeSession& session,
                         const std::function<void()>& meanwhile = {}) {
  auto running = std::async(std::launch::async, [&] { return connector.run(session); });
  if (meanwhile) meanwhile();
  if (running.wait_for(patience) != std::future_status::ready) {
    session.request_stop();
    if (running.wait_for(patience) != std::future_status::ready) {
      std::fputs("run() does not end although stop was asked for\n", stderr);
      std::abort();
    }
    FAIL("the source gave fewer events than the test waits for");
  }
  return running.get();
}

TEST_CASE("every type has a fixture, and every fixture a type") {
  for (const ConnectorType* type : connectors::builtin_types()) {
    CAPTURE(type->name);
    CHECK(find_fixture(type->name) != nullptr);
  }
  for (const Fixture& fixture : fixtures()) {
    CAPTURE(fixture.type);
    CHECK(std::any_of(connectors::builtin_types().begin(), connectors::builtin_types().end(),
                      [&](const ConnectorType* type) { return type->name == fixture.type; }));
  }
}

TEST_CASE("a type says what it is, and documents every option") {
  const ConnectorType& type = any_type();
  CAPTURE(type.name);
  CHECK_FALSE(type.summary.empty());
  CHECK(type.make != nullptr);
  const auto check = [](const auto& self, std::span<const config::Option> options) -> void {
    for (const config::Option& option : options) {
      CAPTURE(option.name);
      CHECK_FALSE(option.doc.empty());
      CHECK_FALSE(option.doc.ends_with('.'));
      self(self, option.children);
    }
  };
  check(check, type.options);
}

TEST_CASE("bad YAML names its place") {
  const ConnectorType& type = any_type();
  CAPTURE(type.name);
  const Fixture* fixture = find_fixture(type.name);
  REQUIRE(fixture != nullptr);
  const TempDir folder;
  config::Diagnostics diagnostics;
  const auto refused = [&](const std::string& yaml) {
    const auto section = config::Section::parse(yaml, type.options, diagnostics);
    return !section.ok() && diagnostics.has_errors();
  };
  SECTION("an unknown key") {
    const std::string good = fixture->yaml(folder.path());
    const auto lines = std::count(good.begin(), good.end(), '\n');
    REQUIRE(refused(good + "no_such_option: 1\n"));
    CHECK(diagnostics.all().at(0).place.line == lines + 1);
    CHECK(diagnostics.all().at(0).place.column == 1);
  }
  SECTION("a key twice") {
    const std::string good = fixture->yaml(folder.path());
    CHECK(refused(good + good.substr(0, good.find('\n') + 1)));
  }
  SECTION("a value of the wrong kind") {
    for (const config::Option& option : type.options) {
      CAPTURE(option.name);
      diagnostics = {};
      REQUIRE(refused(fmt::format("\n\n{}: [[1], {{a: b}}]\n", option.name)));
      CHECK(std::any_of(diagnostics.all().begin(), diagnostics.all().end(),
                        [](const config::Diagnostic& d) { return d.place.line == 3; }));
    }
  }
}

TEST_CASE("making a connector opens nothing") {
  Bench bench(any_type());
  bench.stop_feeding();  // a sender opens descriptors of its own
  const auto open_descriptors = [] {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry :
         std::filesystem::directory_iterator("/proc/self/fd")) {
      ++count;
    }
    return count;
  };
  const std::size_t before = open_descriptors();
  const auto connector = bench.make();
  CHECK(open_descriptors() == before);
}

TEST_CASE("stop before the start: run returns at once and hands over nothing") {
  Bench bench(any_type());
  const auto connector = bench.make();
  FakeSession session;
  session.request_stop();
  CHECK(run_in_time(*connector, session).ok());
  CHECK(session.events().empty());
  CHECK(session.positions().empty());
}

TEST_CASE("stop while the source is quiet: run returns") {
  Bench bench(any_type());
  const auto connector = bench.make();
  FakeSession session;
  std::promise<void> first;
  std::atomic<bool> is_told = false;
  session.hook = [&](FakeSession& self) {
    if (!self.events().empty() && !is_told.exchange(true)) first.set_value();
  };
  CHECK(run_in_time(*connector, session, [&] {
          first.get_future().wait_for(patience);
          session.request_stop();
        }).ok());
  CHECK_FALSE(session.events().empty());
}

TEST_CASE("stop while push blocks: run returns, and the chunk counts only if it was taken") {
  const ConnectorType& type = any_type();
  Bench bench(type);
  const auto connector = bench.make();
  FakeSession session;
  std::promise<void> blocked;
  std::promise<void> released;
  std::atomic<bool> has_blocked = false;
  session.hook = [&](FakeSession& self) {
    if (self.events().empty() || has_blocked.exchange(true)) return;
    blocked.set_value();
    released.get_future().wait();
  };
  CHECK(run_in_time(*connector, session, [&] {
          blocked.get_future().wait_for(patience);
          session.request_stop();
          released.set_value();
        }).ok());
  const auto taken = bench.texts(session);
  REQUIRE_FALSE(taken.empty());

  FakeSession next;
  next.set_positions(session.positions());
  bench.feed();
  bench.stop_at(next, 1);
  REQUIRE(run_in_time(*connector, next).ok());
  if (type.is_rereadable) {
    CHECK(std::count(taken.begin(), taken.end(), bench.texts(next).at(0)) == 0);
  }
}

TEST_CASE("resumed after k chunks, a source that can be read again gives each event once") {
  const ConnectorType& type = any_type();
  if (!type.is_rereadable) return;
  const auto chunks = GENERATE(std::size_t{0}, std::size_t{1}, std::size_t{2}, std::size_t{5});
  CAPTURE(type.name, chunks);
  Bench whole_bench(type);
  FakeSession whole;
  whole_bench.stop_at(whole, wanted_events);
  REQUIRE(run_in_time(*whole_bench.make(), whole).ok());

  Bench bench(type);
  FakeSession before;
  before.refuse_from_push = chunks + 1;
  bench.stop_at(before, wanted_events);
  REQUIRE(run_in_time(*bench.make(), before).ok());
  auto joined = bench.texts(before);
  CHECK(joined.empty() == before.positions().empty());

  FakeSession after;
  after.set_positions(before.positions());
  bench.stop_at(after, wanted_events - joined.size());
  REQUIRE(run_in_time(*bench.make(), after).ok());
  const auto rest = bench.texts(after);
  joined.insert(joined.end(), rest.begin(), rest.end());
  CHECK(joined == whole_bench.texts(whole));
}

TEST_CASE("a source that cannot be read again hands over no positions") {
  const ConnectorType& type = any_type();
  if (type.is_rereadable) return;
  CAPTURE(type.name);
  Bench bench(type);
  FakeSession session;
  bench.stop_at(session, wanted_events);
  REQUIRE(run_in_time(*bench.make(), session).ok());
  CHECK(session.positions().empty());
}

TEST_CASE("run can be called again after it returned, on the same object") {
  const ConnectorType& type = any_type();
  CAPTURE(type.name);
  Bench bench(type);
  const auto connector = bench.make();
  FakeSession first;
  bench.stop_at(first, 2);
  REQUIRE(run_in_time(*connector, first).ok());
  FakeSession second;
  second.set_positions(first.positions());
  bench.feed();
  bench.stop_at(second, 2);
  REQUIRE(run_in_time(*connector, second).ok());
  CHECK(second.events().size() >= 2);
  const auto earlier = bench.texts(first);
  for (const std::string& text : bench.texts(second)) {
    if (type.is_rereadable) CHECK(std::count(earlier.begin(), earlier.end(), text) == 0);
  }
}

TEST_CASE("a source that cannot be reached is unavailable, and taken up when it is back") {
  const ConnectorType& type = any_type();
  CAPTURE(type.name);
  Bench bench(type);
  if (bench.fixture().take_away == nullptr) return;
  const auto connector = bench.make();
  auto absence = bench.fixture().take_away(bench.folder());
  REQUIRE(absence != nullptr);
  FakeSession before;
  const auto refused = run_in_time(*connector, before);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code == Errc::unavailable);
  CHECK_FALSE(refused.error().text.empty());
  CHECK(before.events().empty());
  absence.reset();
  FakeSession after;
  bench.feed();
  bench.stop_at(after, 2);
  CHECK(run_in_time(*connector, after).ok());
  CHECK(after.events().size() >= 2);
}

TEST_CASE("what a source lost is told, in its place and once") {
  const ConnectorType& type = any_type();
  CAPTURE(type.name);
  Bench bench(type);
  if (bench.fixture().lose == nullptr) return;
  const auto connector = bench.make();
  std::map<std::string, std::string, std::less<>> positions;
  /// The places of losses among what a life of the connector hands over, at least `events`.
  const auto losses = [&](std::size_t events) {
    FakeSession session;
    session.set_positions(positions);
    bench.stop_at(session, events);
    REQUIRE(run_in_time(*connector, session).ok());
    positions = session.positions();
    const auto seen = session.events();
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < seen.size(); ++i) {
      if (seen[i].lost > 0) places.push_back(i);
    }
    return places;
  };
  CHECK(losses(1).empty());
  bench.fixture().lose(bench.folder());
  bench.feed();
  CHECK(losses(2) == std::vector<std::size_t>{0});
  bench.feed();
  CHECK(losses(1).empty());
}

TEST_CASE("events have a time, and names that fit the wire contract") {
  const ConnectorType& type = any_type();
  CAPTURE(type.name);
  Bench bench(type);
  FakeSession session;
  bench.stop_at(session, wanted_events);
  REQUIRE(run_in_time(*bench.make(), session).ok());
  for (const SeenEvent& event : session.events()) {
    CHECK((event.time_unix_us == 0 || event.time_unix_us > 1'000'000'000'000'000));
    CHECK_FALSE(event.fields.empty());
    for (const auto& [name, value] : event.fields) {
      CAPTURE(name);
      CHECK_FALSE(name.empty());
      CHECK_FALSE(is_reserved_member(name));
    }
  }
}

}  // namespace
}  // namespace penstock::tests::contract
