// The forwarder while its store cannot be read: it says so, waits, and goes on where it was.
#include <atomic>
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "tests/agent/forward/forwarder_fixture.hpp"
#include "tests/support/captured_log.hpp"
#include "tests/support/fake_clock.hpp"
#include "tests/support/mqtt_broker.hpp"

using namespace penstock::forward;
using namespace penstock::forward::tests;
using namespace std::chrono_literals;
using penstock::Errc;
using penstock::Error;
using penstock::tests::CapturedLog;
using penstock::tests::FakeClock;
using penstock::tests::MqttBroker;

namespace {

ForwardOptions options_at(const MqttBroker& broker) {
  ForwardOptions options = options_for(penstock::config::parse_broker(broker.url()).value());
  options.tells_status = false;  // then all that is published is data
  return options;
}

/// The streams of what was published, in order.
std::vector<std::string> published(const MqttBroker& broker) {
  std::vector<std::string> streams = broker.seen().published;
  for (std::string& topic : streams) topic.erase(0, topic.rfind('/') + 1);
  return streams;
}

/// Counts how often it is asked.
struct LookedAtClock final : penstock::Clock {
  std::int64_t wall_us() const override { return fake.wall_us(); }
  std::int64_t steady_us() const override {
    ++looks_;
    return fake.steady_us();
  }
  std::int64_t boot_us() const override { return fake.boot_us(); }
  bool is_synced() const override { return fake.is_synced(); }
  std::uint64_t looks() const { return looks_; }

  FakeClock fake;

 private:
  mutable std::atomic<std::uint64_t> looks_{0};
};

const std::vector<std::string> five{"s1", "s2", "s3", "s4", "s5"};

}  // namespace

TEST_CASE("reads that fail are told once, and nothing is skipped or reordered") {
  const auto error = GENERATE(Error{Errc::unavailable, "input/output error"},
                              Error{Errc::corrupt, "a page is damaged"});
  MqttBroker broker;
  FakeStore store;
  store.fail_reads(error);
  for (std::size_t i = 0; i < 3; ++i) store.add_batch(five[i], 10);
  const CapturedLog log;
  const auto forwarder = make(options_at(broker), store);
  forwarder->start();
  CHECK(eventually([&] { return store.failed_reads() >= 2; }));
  CHECK(forwarder->stats().last_error == "the buffer cannot be read: " + error.text);
  CHECK(forwarder->stats().state == ForwardStats::State::connected);
  CHECK(store.backlog() == 3);
  CHECK(published(broker).empty());

  store.fail_reads(std::nullopt);
  CHECK(eventually([&] { return store.backlog() == 0; }));
  CHECK(forwarder->stats().last_error.empty());
  CHECK(log.count("event=buffer_unreadable reason=\"" + error.text + "\"") == 1);
  CHECK(log.count("event=buffer_readable") == 1);

  // The next failure is news again.
  store.fail_reads(error);
  const auto failed_before = store.failed_reads();
  store.add_batch("s4", 10);
  store.add_batch("s5", 10);
  CHECK(eventually([&] { return store.failed_reads() > failed_before; }));
  store.fail_reads(std::nullopt);
  CHECK(eventually([&] { return store.backlog() == 0; }));
  CHECK(log.count("event=buffer_unreadable") == 2);
  CHECK(published(broker) == five);
  CHECK(forwarder->stats().acknowledged_events == 50);
  CHECK(forwarder->stats().connections == 1);
  stop(*forwarder);
}

TEST_CASE("a read is tried again after a second of the steady clock, whatever else happens") {
  MqttBroker broker;
  FakeStore store;
  LookedAtClock clock;
  store.fail_reads(Error{Errc::unavailable, "input/output error"});
  store.add_batch("s1", 10);
  auto made = Forwarder::make(options_at(broker), store, clock);
  REQUIRE(made.ok());
  const auto forwarder = std::move(made).value();
  forwarder->start();
  REQUIRE(eventually([&] { return store.failed_reads() == 1; }));
  // What is stored wakes it; it looks at the clock several times each time.
  std::size_t stored = 1;
  const auto wake = [&] {
    const auto before = clock.looks();
    store.add_batch(five[stored++], 10);
    REQUIRE(eventually([&] { return clock.looks() > before; }));
  };
  wake();
  clock.fake.step_wall(clock.wall_us() + 3'600'000'000);
  wake();
  clock.fake.advance(999ms);
  wake();
  CHECK(store.failed_reads() == 1);
  clock.fake.advance(1ms);
  wake();
  REQUIRE(eventually([&] { return store.failed_reads() == 2; }));
  store.fail_reads(std::nullopt);
  clock.fake.advance(1s);
  store.add_loss("s1", 1, 1);
  CHECK(eventually([&] { return store.backlog() == 0; }));
  std::vector<std::string> all = five;
  all.push_back("s1");
  CHECK(published(broker) == all);
  stop(*forwarder);
}

TEST_CASE("a store that is reopened while reads fail is read from its oldest row on") {
  MqttBroker broker;
  FakeStore store;
  store.add_batch("s1", 10);
  const auto forwarder = make(options_at(broker), store);
  forwarder->start();
  REQUIRE(eventually([&] { return store.backlog() == 0; }));
  store.fail_reads(Error{Errc::unavailable, "closed"});
  for (std::size_t i = 1; i < 5; ++i) store.add_batch(five[i], 10);
  REQUIRE(eventually([&] { return store.failed_reads() >= 1; }));
  store.reopen();
  store.fail_reads(std::nullopt);
  CHECK(eventually([&] { return store.backlog() == 0; }));
  CHECK(published(broker) == five);
  stop(*forwarder);
}

TEST_CASE("parked rows that cannot be read wait, told once, and hold up nobody") {
  MqttBroker broker;
  FakeStore store;
  store.add_batch("s1", 10);
  store.parking()->park(1, 1);
  store.acknowledge(store.generation(), penstock::buffer::Priority::normal, 1);  // moves it
  static_cast<void>(store.commit({}));
  REQUIRE(store.parked() == std::vector<std::string>{"s1"});
  store.fail_parked_reads(Error{Errc::corrupt, "a page is damaged"});
  const CapturedLog log;
  const auto forwarder = make(options_at(broker), store);
  forwarder->start();
  REQUIRE(eventually([&] { return store.failed_reads() >= 1; }));
  CHECK(eventually([&] {
    return forwarder->stats().last_error == "the buffer cannot be read: a page is damaged";
  }));
  store.add_batch("s2", 10);
  CHECK(eventually([&] { return store.backlog() == 0; }));
  CHECK(published(broker) == std::vector<std::string>{"s2"});
  REQUIRE(eventually([&] { return store.failed_reads() >= 2; }));

  store.fail_parked_reads(std::nullopt);
  CHECK(eventually([&] {
    static_cast<void>(store.commit({}));
    return store.parked().empty();
  }));
  CHECK(published(broker) == std::vector<std::string>{"s2", "s1"});
  CHECK(log.count("event=buffer_unreadable") == 1);
  CHECK(log.count("event=buffer_readable") == 1);
  stop(*forwarder);
}

TEST_CASE("a forwarder ends in time while reads fail") {
  MqttBroker broker;
  FakeStore store;
  store.fail_reads(Error{Errc::unavailable, "input/output error"});
  store.add_batch("s1", 10);
  const auto forwarder = make(options_at(broker), store);
  forwarder->start();
  REQUIRE(eventually([&] { return store.failed_reads() >= 1; }));
  forwarder->request_stop(100ms);
  forwarder->join();
  CHECK(forwarder->stats().state == ForwardStats::State::stopped);
  CHECK(store.backlog() == 1);
}
