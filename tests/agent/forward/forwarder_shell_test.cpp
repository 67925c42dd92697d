// The forwarder against a broker of the test's own, for what a real one does not do on demand.
#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <mutex>
#include <string>
#include <vector>

#include "agent/forward/mqtt_subscription.hpp"
#include "tests/agent/forward/forwarder_fixture.hpp"
#include "tests/support/mqtt_broker.hpp"

using namespace penstock::forward;
using namespace penstock::forward::tests;
using namespace std::chrono_literals;
using penstock::Errc;
using penstock::Error;
using penstock::Result;
using penstock::tests::MqttBroker;
using Kind = UpstreamChange::Kind;

namespace {

ForwardOptions options_at(const MqttBroker& broker) {
  return options_for(penstock::config::parse_broker(broker.url()).value());
}

/// A forwarder with one batch of ten events, and what it tells.
struct Shell {
  explicit Shell(ForwardOptions options) {
    store.add_batch("app", 10);
    forwarder = make(options, store);
    forwarder->on_change([this](const UpstreamChange& change) {
      const std::lock_guard lock(mutex);
      changes.push_back(change);
    });
    forwarder->start();
  }
  std::vector<UpstreamChange> told(Kind kind) {
    const std::lock_guard lock(mutex);
    std::vector<UpstreamChange> found;
    std::copy_if(changes.begin(), changes.end(), std::back_inserter(found),
                 [kind](const UpstreamChange& change) { return change.kind == kind; });
    return found;
  }
  bool is_acknowledged() const {
    return eventually([this] { return forwarder->stats().acknowledged_events == 10; });
  }

  FakeStore store;
  std::mutex mutex;  // guards: changes
  std::vector<UpstreamChange> changes;
  std::unique_ptr<Forwarder> forwarder;
};

ForwardOptions receiver_options(const MqttBroker& broker) {
  ForwardOptions options = options_at(broker);
  options.receivers = {"judge"};
  return options;
}

constexpr std::string_view our_epoch = "9f3c2a7e";

/// What a receiver tells that has the numbers from 0 to below `end` of stream app; 0: nothing.
std::string has(std::string_view epoch, std::string_view run, int end) {
  return R"({"epoch":")" + std::string(epoch) + R"(","run":")" + std::string(run) +
         R"(","streams":{)" + (end == 0 ? "" : R"("app":[0,)" + std::to_string(end) + "]") + "}}";
}

}  // namespace

TEST_CASE("a broker that asks for a shorter keep-alive gets it") {
  MqttBroker broker(MqttBroker::Behaviour{.keep_alive_s = 1});
  Shell shell(options_at(broker));
  CHECK(eventually([&] { return broker.seen().pings >= 2; }));
  CHECK(broker.seen().keep_alive_s == 1);
  CHECK(broker.seen().connects == 2);
  CHECK(shell.forwarder->stats().connections == 1);
  CHECK(shell.is_acknowledged());

  broker.drop_connection();
  CHECK(eventually([&] { return shell.told(Kind::connected).size() == 2; }));
  CHECK(broker.seen().connects == 3);  // with its interval from the beginning
  stop(*shell.forwarder);
}

TEST_CASE("a subscription pings as often as its broker asks, and keeps what came meanwhile") {
  MqttBroker broker(MqttBroker::Behaviour{.keep_alive_s = 1});
  SubscriptionOptions options;
  options.connect.broker = penstock::config::parse_broker(broker.url()).value();
  options.connect.client_id = "receiver";
  options.is_persistent = true;
  const std::string filter = "penstock/#";
  Subscription subscription;
  REQUIRE(subscription.connect(options).ok());
  REQUIRE(subscription.subscribe({&filter, 1}).ok());
  CHECK(eventually([&] { return broker.seen().pings >= 2; }));
  CHECK(broker.seen().connects == 2);
  subscription.close(1s);

  broker.publish("penstock/gw-7/data/app", "late", 1);
  REQUIRE(subscription.connect(options).ok());  // its first connection gets the message
  const auto message = subscription.next_message(patience);
  REQUIRE(message.ok());
  REQUIRE(message->has_value());
  CHECK((*message)->payload == "late");
}

TEST_CASE("a connection that ends is told, with what the broker says, until something works") {
  MqttBroker broker;
  Shell shell(options_at(broker));
  REQUIRE(shell.is_acknowledged());
  CHECK(shell.forwarder->stats().last_error.empty());
  std::string reason = "the connection was lost";
  SECTION("without a word") { broker.drop_connection(); }
  SECTION("with a reason, a text and the name of another") {
    using namespace std::string_literals;
    broker.send("\xE0\x0D\x9D\x0B\x1F\x00\x03why\x1C\x00\x02x:"s);
    reason =
        R"(the broker ends the connection: server moved; it names "x:", not followed: set the broker's URL to it if it is right: "why")";
  }
  REQUIRE(eventually([&] { return shell.told(Kind::connected).size() == 2; }));
  const auto lost = shell.told(Kind::lost);
  REQUIRE(lost.size() == 1);
  CHECK(lost[0].reason == reason);
  CHECK(lost[0].broker == broker.url());
  CHECK(shell.forwarder->stats().connections == 2);
  CHECK(shell.forwarder->stats().last_error == reason);
  CHECK(shell.forwarder->stats().last_error_unix_us > 0);
  shell.store.add_batch("app", 5);
  CHECK(eventually([&] { return shell.forwarder->stats().last_error.empty(); }));
  stop(*shell.forwarder);
}

TEST_CASE("a password that cannot be read is told and tried again") {
  MqttBroker broker;
  ForwardOptions options = options_at(broker);
  std::atomic<bool> is_there{false};
  options.credentials = [&is_there]() -> Result<Credentials> {
    if (!is_there) return Error{Errc::unavailable, "no such secret"};
    return Credentials{"gw", "secret"};
  };
  Shell shell(options);
  CHECK(eventually([&] { return shell.forwarder->stats().connections >= 2; }));
  CHECK(shell.forwarder->stats().last_error == "no such secret");
  CHECK(broker.seen().connects == 0);
  is_there = true;
  CHECK(shell.is_acknowledged());
  CHECK(broker.seen().user == "gw");
  CHECK(broker.seen().password == "secret");
  stop(*shell.forwarder);
}

TEST_CASE("a receiver that says nothing is told once, and once when it is back") {
  MqttBroker broker;
  ForwardOptions options = receiver_options(broker);
  options.ack_timeout = 300ms;
  Shell shell(options);
  REQUIRE(eventually([&] { return !shell.told(Kind::receiver_silent).empty(); }));
  ForwardStats stats = shell.forwarder->stats();
  REQUIRE(stats.receivers.size() == 1);
  CHECK(stats.receivers[0].name == "judge");
  CHECK(stats.receivers[0].is_silent);
  CHECK(stats.receivers[0].last_heard_unix_us == 0);
  CHECK(stats.unverified_batches == 1);
  CHECK(stats.verified_events == 0);
  CHECK(stats.acknowledged_events >= 10);
  CHECK(shell.store.backlog() == 1);
  const auto of_app = [](const std::string& topic) { return topic == "penstock/gw-7/data/app"; };
  CHECK(eventually([&] {  // sent again
    const auto published = broker.seen().published;
    return std::count_if(published.begin(), published.end(), of_app) >= 2;
  }));

  broker.publish("penstock/gw-7/ack/judge", has(our_epoch, "r1", 10), 1);
  REQUIRE(eventually([&] { return !shell.told(Kind::receiver_back).empty(); }));
  CHECK(eventually([&] { return shell.store.backlog() == 0; }));
  CHECK(eventually([&] { return shell.forwarder->stats().verified_events == 10; }));
  stats = shell.forwarder->stats();
  CHECK_FALSE(stats.receivers[0].is_silent);
  CHECK(stats.receivers[0].last_heard_unix_us > 0);
  CHECK(stats.receivers[0].ignored == 0);
  CHECK(stats.unverified_batches == 0);
  stop(*shell.forwarder);
  for (const Kind kind : {Kind::receiver_silent, Kind::receiver_back}) {
    const auto told = shell.told(kind);
    REQUIRE(told.size() == 1);
    CHECK(told[0].receiver == "judge");
    CHECK(told[0].broker == broker.url());
  }
}

TEST_CASE("a broker that does not let us hear receivers is told of") {
  MqttBroker broker(MqttBroker::Behaviour{.suback = 0x87});
  Shell shell(receiver_options(broker));
  CHECK(eventually([&] {
    return shell.forwarder->stats().last_error ==
           "the broker refuses to tell what receivers have: not authorised";
  }));
  CHECK(shell.store.backlog() == 1);
  stop(*shell.forwarder);
}

TEST_CASE("what says nothing of this buffer is counted, and trims nothing") {
  MqttBroker broker;
  Shell shell(receiver_options(broker));
  REQUIRE(shell.is_acknowledged());
  const auto ignored = [&] { return shell.forwarder->stats().receivers[0].ignored; };
  const auto says = [&](const std::string& text) {
    broker.publish("penstock/gw-7/ack/judge", text, 1);
  };
  const auto is_heard = [&] { return eventually([&] { return broker.unacknowledged() == 0; }); };
  says("{");
  CHECK(eventually([&] { return ignored() == 1; }));
  says(has("00000000", "r1", 10));
  CHECK(eventually([&] { return ignored() == 2; }));
  says(has(our_epoch, "r1", 11));  // more than there is
  CHECK(eventually([&] { return ignored() == 3; }));
  broker.publish("penstock/gw-7/ack/other", has(our_epoch, "r1", 10), 1);
  CHECK(is_heard());
  // A run that another one followed is over.
  const auto last_heard = [&] { return shell.forwarder->stats().receivers[0].last_heard_unix_us; };
  const auto says_and_is_heard = [&](const std::string& text) {
    const auto before = last_heard();
    says(text);
    CHECK(eventually([&] { return last_heard() > before; }));
  };
  says_and_is_heard(has(our_epoch, "r2", 0));
  says_and_is_heard(has(our_epoch, "r3", 0));
  says(has(our_epoch, "r2", 10));
  CHECK(eventually([&] { return ignored() == 4; }));
  CHECK(shell.store.backlog() == 1);
  stop(*shell.forwarder);
}

TEST_CASE("a batch that cannot be read is counted, and what follows is sent") {
  MqttBroker broker;
  FakeStore store;
  store.add_batch("app", 10);
  store.damage(1);
  store.add_batch("app", 5);
  const auto forwarder = make(options_at(broker), store);
  forwarder->start();
  CHECK(eventually([&] { return store.backlog() == 0; }));
  CHECK(forwarder->stats().damaged_batches == 1);
  CHECK(forwarder->stats().refused_events == 0);
  stop(*forwarder);
}

TEST_CASE("a damaged batch that went before it was acknowledged is told as missing") {
  MqttBroker broker(MqttBroker::Behaviour{.published_max = 2});  // the status and the first one
  FakeStore store;
  store.add_batch("app", 10);
  store.add_batch("app", 10);
  store.damage(2);
  const auto forwarder = make(options_at(broker), store);
  forwarder->start();
  REQUIRE(eventually([&] { return broker.seen().published.size() >= 3; }));
  REQUIRE(eventually([&] { return forwarder->stats().acknowledged_events == 10; }));
  CHECK(forwarder->stats().damaged_batches == 1);
  store.remove(2);
  broker.drop_connection();
  REQUIRE(eventually([&] { return forwarder->stats().connections == 2; }));
  store.add_batch("app", 5);
  // The status and what comes first behind it: what is missing, before the new batch.
  REQUIRE(eventually([&] { return broker.seen().published.size() >= 5; }));
  CHECK(forwarder->stats().damaged_batches == 2);
  forwarder->request_stop(0s);
  forwarder->join();
}

TEST_CASE("a stream that waits since before the start is told until it has returned") {
  MqttBroker broker(MqttBroker::Behaviour{.published_max = 1});  // the status
  FakeStore store;
  store.add_batch("app", 10);
  store.parking()->park(1, 1);
  store.acknowledge(store.generation(), penstock::buffer::Priority::normal, 1);  // moves it
  static_cast<void>(store.commit({}));
  REQUIRE(store.parked() == std::vector<std::string>{"app"});
  {
    const auto forwarder = make(options_at(broker), store);
    forwarder->start();
    CHECK(eventually([&] { return broker.seen().published.size() == 2; }));
    const ForwardStats stats = forwarder->stats();
    CHECK(stats.parked_streams == 1);
    REQUIRE(stats.parked.size() == 1);
    CHECK(stats.parked[0].stream == "app");
    CHECK(stats.parked[0].reason == "refused before the start");
    forwarder->request_stop(0s);
    forwarder->join();
  }
  MqttBroker takes_all;
  const auto forwarder = make(options_at(takes_all), store);
  forwarder->start();
  CHECK(eventually([&] {
    static_cast<void>(store.commit({}));
    return store.parked().empty() && forwarder->stats().parked_streams == 0;
  }));
  CHECK(forwarder->stats().acknowledged_events == 10);
  CHECK(forwarder->stats().parked.empty());
  stop(*forwarder);
}
