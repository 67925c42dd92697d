// A connector that falls over must come back, one that cannot work must be reported, and a stop
// must not wait for ever.
#include "agent/daemon/supervisor.hpp"

#include <atomic>
#include <catch2/catch.hpp>
#include <deque>
#include <future>

#include "tests/support/fake_session.hpp"

namespace penstock::daemon {
namespace {

using namespace std::chrono_literals;

/// Answers each run() from a list, and waits for stop when the list is at its end.
class ScriptedConnector final : public connectors::Connector {
 public:
  explicit ScriptedConnector(std::deque<Result<void>> script) : script_(std::move(script)) {}

  Result<void> run(connectors::Session& session) override {
    runs += 1;
    if (script_.empty()) {
      while (session.sleep_for(1h)) {
        std::this_thread::yield();
      }
      return {};
    }
    Result<void> result = std::move(script_.front());
    script_.pop_front();
    return result;
  }

  std::atomic<int> runs{0};

 private:
  std::deque<Result<void>> script_;
};

struct Fixture {
  tests::FakeSession session;
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<ConnectorStatus> changes;
  std::atomic<int> settled{0};
  std::atomic<int> settle_fails{0};
  ScriptedConnector* connector = nullptr;
  std::unique_ptr<Supervisor> supervisor;

  void start(std::deque<Result<void>> script) {
    auto made = std::make_unique<ScriptedConnector>(std::move(script));
    connector = made.get();
    std::vector<SupervisedConnector> all;
    all.push_back({"boiler", "fake", std::move(made), &session,
                   [this]() -> Result<void> {
                     settled += 1;
                     if (settle_fails-- > 0) return Error{Errc::unavailable, "disk"};
                     return {};
                   },
                   [this] { session.request_stop(); }});
    supervisor = std::make_unique<Supervisor>(std::move(all), [this](const ConnectorStatus& s) {
      const std::lock_guard lock(mutex);
      changes.push_back(s);
      changed.notify_all();
    });
    supervisor->start();
  }

  /// The changes so far, once there are `count` of them.
  std::vector<ConnectorStatus> wait_for_changes(std::size_t count) {
    std::unique_lock lock(mutex);
    changed.wait_for(lock, 10s, [&] { return changes.size() >= count; });
    return changes;
  }
};

Error unavailable(const char* text) { return Error{Errc::unavailable, text}; }

TEST_CASE("a source that is not to be had is tried again after it settled") {
  Fixture fixture;
  fixture.settle_fails = 1;
  fixture.start({unavailable("cable is out"), unavailable("still out")});
  const auto changes = fixture.wait_for_changes(5);
  REQUIRE(changes.size() == 5);
  CHECK(changes[0].state == ConnectorState::running);
  CHECK(changes[1].state == ConnectorState::waiting);
  CHECK(changes[1].last_error == "cable is out");
  CHECK(changes[1].restarts == 1);
  CHECK(changes[1].next_try_unix_us > changes[1].since_unix_us);
  CHECK(changes[2].state == ConnectorState::running);
  CHECK(changes[3].last_error == "still out");
  CHECK(changes[3].restarts == 2);
  CHECK(changes[4].state == ConnectorState::running);
  CHECK(changes[4].next_try_unix_us == 0);
  fixture.supervisor->request_stop();
  CHECK(fixture.supervisor->wait(10s).empty());
  CHECK(fixture.connector->runs == 3);
  CHECK(fixture.settled == 3);  // two restarts, one of them in two goes
  CHECK(fixture.supervisor->status().front().state == ConnectorState::stopped);
}

TEST_CASE("a source that cannot work stays down and says why") {
  Fixture fixture;
  fixture.start({Error{Errc::invalid, "no such register"}});
  CHECK(fixture.supervisor->wait(10s).empty());
  const ConnectorStatus status = fixture.supervisor->status().front();
  CHECK(status.state == ConnectorState::failed);
  CHECK(status.last_error == "no such register");
  CHECK(status.name == "boiler");
  CHECK(status.type == "fake");
  CHECK(fixture.connector->runs == 1);
  CHECK(fixture.settled == 0);
}

TEST_CASE("a source that has ended is finished") {
  Fixture fixture;
  fixture.start({Result<void>()});
  CHECK(fixture.supervisor->wait(10s).empty());
  CHECK(fixture.supervisor->status().front().state == ConnectorState::finished);
  CHECK(fixture.connector->runs == 1);
}

TEST_CASE("a connector that does not stop is named") {
  std::promise<void> entered;
  std::promise<void> release;
  struct Stubborn final : connectors::Connector {
    std::promise<void>& entered_promise;
    std::future<void> released;
    Stubborn(std::promise<void>& in, std::future<void> out)
        : entered_promise(in), released(std::move(out)) {}
    Result<void> run(connectors::Session&) override {
      entered_promise.set_value();
      released.wait();
      return {};
    }
  };
  tests::FakeSession session;
  std::vector<SupervisedConnector> all;
  all.push_back({"stubborn", "fake", std::make_unique<Stubborn>(entered, release.get_future()),
                 &session, [] { return Result<void>(); }, [&] { session.request_stop(); }});
  Supervisor supervisor(std::move(all), [](const ConnectorStatus&) {});
  supervisor.start();
  entered.get_future().wait();
  supervisor.request_stop();
  CHECK(supervisor.wait(1ms) == std::vector<std::string>{"stubborn"});
  release.set_value();
  CHECK(supervisor.wait(10s).empty());
}

TEST_CASE("back-off doubles up to its bound and is spread by chance") {
  struct Row {
    std::uint32_t failures;
    double chance;
    std::chrono::microseconds want;
  };
  const auto row = GENERATE(Row{1, 0, 1s}, Row{1, 1, 2s}, Row{2, 1, 4s}, Row{2, 0.5, 2'500'000us},
                            Row{5, 1, 32s}, Row{6, 1, 60s}, Row{9, 0, 1s}, Row{1000, 1, 60s});
  CAPTURE(row.failures, row.chance);
  CHECK(Backoff{}.delay(row.failures, row.chance) == row.want);
}

}  // namespace
}  // namespace penstock::daemon
