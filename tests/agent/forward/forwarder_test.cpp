// The forwarder, the link and the subscription against a real mosquitto.
#include "agent/forward/forwarder.hpp"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <csignal>
#include <cstdlib>
#include <set>

#include "agent/forward/mqtt_subscription.hpp"
#include "tests/agent/forward/forwarder_fixture.hpp"

using namespace penstock;
using namespace penstock::forward;
using namespace penstock::forward::tests;
using namespace std::chrono_literals;
using penstock::tests::FakeStore;
using penstock::tests::Mosquitto;

namespace {

/// A subscriber that collects the numbers of each batch's properties or, with 3.1.1, its text.
struct Receiver {
  explicit Receiver(const config::BrokerAddress& broker, bool is_persistent = false) {
    options.connect.broker = broker;
    options.connect.client_id = "receiver";
    options.is_persistent = is_persistent;
  }
  void connect(std::string filter = "penstock/gw-7/#") {
    const auto limits = subscription.connect(options);
    INFO((limits.ok() ? "" : limits.error().text));
    REQUIRE(limits.ok());
    const auto subscribed = subscription.subscribe({&filter, 1});
    INFO((subscribed.ok() ? "" : subscribed.error().text));
    REQUIRE(subscribed.ok());
  }
  /// Reads until all numbers below `count` of stream "app" have come; checks the order.
  void expect_events(std::uint64_t count) {
    while (next < count) {
      const auto message = subscription.next_message(patience);
      INFO((message.ok() ? "" : message.error().text));
      REQUIRE(message.ok());
      REQUIRE(message->has_value());
      if ((*message)->topic.find("/status") != std::string::npos) {
        last_status = (*message)->payload;
        continue;
      }
      take((*message)->payload);
    }
  }
  void take(const std::string& payload) {
    for (const std::string_view event : split_array(payload)) {
      const auto at = event.find("\"seq\":");
      REQUIRE(at != std::string_view::npos);
      const std::uint64_t seq = std::strtoull(event.data() + at + 6, nullptr, 10);
      REQUIRE(seq <= next);
      if (seq == next) {
        ++next;
      } else {
        ++repeats;
      }
    }
  }
  std::string expect_status(std::string_view wanted) {
    while (last_status.find(wanted) == std::string::npos) {
      const auto message = subscription.next_message(patience);
      REQUIRE(message.ok());
      REQUIRE(message->has_value());
      if ((*message)->topic.find("/status") != std::string::npos) {
        last_status = (*message)->payload;
      }
    }
    return last_status;
  }

  SubscriptionOptions options;
  Subscription subscription;
  std::uint64_t next = 0;
  std::uint64_t repeats = 0;
  std::string last_status;
};

}  // namespace

TEST_CASE("everything arrives in order, and the stop says goodbye") {
  const auto protocol = GENERATE(ProtocolChoice::automatic, ProtocolChoice::v3_1_1);
  const auto compression = Compression::none;
  Mosquitto broker;
  broker.start();
  FakeStore store;
  for (int i = 0; i < 200; ++i) store.add_batch("app", 50);
  Receiver receiver(broker.address());
  receiver.options.protocol = protocol;
  receiver.connect();
  ForwardOptions options = options_for(broker.address());
  options.protocol = protocol;
  options.compression = compression;
  const auto forwarder = make(options, store);
  std::atomic<int> changes{0};
  forwarder->on_change([&changes](const UpstreamChange& change) {
    changes += change.kind == UpstreamChange::Kind::connected ? 1 : 100;
  });
  forwarder->start();
  receiver.expect_events(10'000);
  for (int i = 0; i < 20; ++i) store.add_batch("app", 50);
  receiver.expect_events(11'000);
  CHECK(receiver.repeats == 0);
  CHECK(eventually([&] { return store.backlog() == 0; }));
  const ForwardStats stats = forwarder->stats();
  CHECK(stats.state == ForwardStats::State::connected);
  CHECK(stats.acknowledged_events == 11'000);
  CHECK(stats.sent_events == 11'000);
  CHECK(stats.connections == 1);
  CHECK(stats.round_trip_us > 0);
  CHECK(to_string(stats.protocol) == (protocol == ProtocolChoice::v3_1_1 ? "3.1.1" : "5"));
  CHECK(receiver.expect_status("\"online\":true").find("\"boot\":\"b1d4c7e2\",\"conn\":1,") !=
        std::string::npos);
  stop(*forwarder);
  receiver.expect_status("\"online\":false");
  CHECK(changes == 1);

  Receiver late(broker.address());
  late.options.connect.client_id = "late";
  late.connect();
  late.expect_status("\"online\":false");  // retained
}

TEST_CASE("compressed batches go to their own level, as they are stored") {
  Mosquitto broker;
  broker.start();
  FakeStore store;
  store.add_batch("app/x", 5);
  Receiver receiver(broker.address());
  receiver.connect("penstock/gw-7/zstd/#");
  ForwardOptions options = options_for(broker.address());
  options.compression = Compression::zstd;
  const auto forwarder = make(options, store);
  forwarder->start();
  const auto message = receiver.subscription.next_message(patience);
  REQUIRE(message.ok());
  REQUIRE(message->has_value());
  CHECK((*message)->topic == "penstock/gw-7/zstd/app/x");
  CHECK((*message)->content_type == "application/json+zstd");
  CHECK((*message)->payload == store.rows_after(buffer::Priority::normal, 0, 1)->at(0).stored);
  CHECK((*message)->user_properties ==
        UserProperties{{"v", "1"}, {"first", "0"}, {"count", "5"}, {"epoch", "9f3c2a7e"}});
  stop(*forwarder);
}

TEST_CASE("a broker that goes away and comes back gets the rest, in order") {
  const int how = GENERATE(SIGTERM, SIGSTOP);
  Mosquitto broker;
  broker.start();
  FakeStore store;
  Receiver receiver(broker.address(), true);
  receiver.connect();
  ForwardOptions options = options_for(broker.address());
  options.ack_timeout = 1s;
  const auto forwarder = make(options, store);
  forwarder->start();
  store.add_batch("app", 100);
  receiver.expect_events(100);
  for (int round = 0; round < 2; ++round) {
    const std::uint64_t connections = forwarder->stats().connections;
    if (how == SIGSTOP) {
      broker.signal(SIGSTOP);
      for (int i = 0; i < 30; ++i) store.add_batch("app", 100);
      CHECK(eventually([&] { return forwarder->stats().connections > connections; }));
      broker.signal(SIGCONT);
    } else {
      receiver.subscription.close(2s);
      broker.stop(SIGTERM);
      CHECK(eventually([&] { return forwarder->stats().state != ForwardStats::State::connected; }));
      for (int i = 0; i < 30; ++i) store.add_batch("app", 100);
      broker.start();
      receiver.connect();
    }
    receiver.expect_events(100 + 3'000 * (static_cast<std::uint64_t>(round) + 1));
  }
  CHECK(eventually([&] { return store.backlog() == 0; }));
  stop(*forwarder);
}

TEST_CASE("a forwarder that is stopped and started goes on where it was") {
  Mosquitto broker;
  broker.start();
  FakeStore store;
  Receiver receiver(broker.address());
  receiver.connect();
  for (int life = 1; life <= 3; ++life) {
    const auto forwarder = make(options_for(broker.address()), store);
    for (int i = 0; i < 40; ++i) store.add_batch("app", 25);
    forwarder->start();
    receiver.expect_events(1'000 * static_cast<std::uint64_t>(life));
    stop(*forwarder);
  }
  CHECK(store.backlog() == 0);
}

TEST_CASE("a stop with a broker that hangs keeps its deadline") {
  Mosquitto broker;
  broker.start();
  FakeStore store;
  const auto forwarder = make(options_for(broker.address()), store);
  forwarder->start();
  REQUIRE(eventually([&] { return forwarder->stats().state == ForwardStats::State::connected; }));
  broker.signal(SIGSTOP);
  for (int i = 0; i < 30; ++i) store.add_batch("app", 100);
  const auto started = std::chrono::steady_clock::now();
  forwarder->request_stop(2s);
  forwarder->join();
  CHECK(std::chrono::steady_clock::now() - started < patience);
  CHECK(store.backlog() > 0);
  broker.signal(SIGCONT);
}

TEST_CASE("a broker that keeps no messages gets a status that is not kept") {
  Mosquitto broker("allow_anonymous true\nretain_available false\n");
  broker.start();
  FakeStore store;
  store.add_batch("app", 10);
  const auto forwarder = make(options_for(broker.address()), store);
  forwarder->start();
  CHECK(eventually([&] { return store.backlog() == 0; }));
  stop(*forwarder);
}

TEST_CASE("a broker that takes QoS 0 alone is used only if that was agreed to") {
  const int refuses_will = GENERATE(0, 1);
  Mosquitto broker("allow_anonymous true\nmax_qos 0\n");
  broker.start();
  FakeStore store;
  store.add_batch("app", 10);
  ForwardOptions options = options_for(broker.address());
  options.tells_status = refuses_will == 1;  // else only its CONNACK says so
  const auto refused = make(options, store);
  refused->start();
  REQUIRE(eventually([&] { return refused->stats().connections >= 2; }));
  CHECK(refused->stats().last_error.find("upstream.qos: 0") != std::string::npos);
  CHECK(store.backlog() == 1);
  refused->request_stop(0s);
  refused->join();

  options.qos = 0;
  const auto forwarder = make(options, store);
  forwarder->start();
  CHECK(eventually([&] { return store.backlog() == 0; }));
  stop(*forwarder);
}

TEST_CASE("a wrong password is reported and retried; the right one needs no restart") {
  Mosquitto broker("allow_anonymous false\npassword_file DIR/passwd\n");
  REQUIRE(run("mosquitto_passwd -c -b " + (broker.dir() / "passwd").string() + " gw right") == 0);
  broker.start();
  FakeStore store;
  store.add_batch("app", 10);
  ForwardOptions options = options_for(broker.address());
  std::atomic<bool> is_right{false};
  options.credentials = [&is_right]() -> Result<Credentials> {
    return Credentials{"gw", is_right ? "right" : "wrong-canary"};
  };
  const auto forwarder = make(options, store);
  forwarder->start();
  REQUIRE(eventually([&] { return forwarder->stats().connections >= 2; }));
  const std::string error = forwarder->stats().last_error;
  CHECK((error.find("not authorised") != std::string::npos ||
         error.find("bad user name") != std::string::npos));
  CHECK(error.find("canary") == std::string::npos);
  CHECK(store.backlog() == 1);

  Receiver refused(broker.address());
  refused.options.connect.user = "gw";
  refused.options.connect.password = "wrong";
  const auto limits = refused.subscription.connect(refused.options);
  REQUIRE_FALSE(limits.ok());
  CHECK(limits.error().code == Errc::invalid);

  is_right = true;
  CHECK(eventually([&] { return store.backlog() == 0; }));
  stop(*forwarder);
}

TEST_CASE("a port that is no broker is reported and retried") {
  FakeStore store;
  store.add_batch("app", 10);
  const auto error_after = [&](const config::BrokerAddress& address) {
    const auto forwarder = make(options_for(address), store);
    forwarder->start();
    REQUIRE(eventually([&] { return forwarder->stats().connections >= 3; }));
    const std::string error = forwarder->stats().last_error;
    forwarder->request_stop(0s);
    forwarder->join();
    return error;
  };
  const std::uint16_t port = penstock::tests::free_port();
  config::BrokerAddress address{"mqtt://127.0.0.1:1", "mqtt", "127.0.0.1", port};
  SECTION("nobody listens") {
    CHECK(error_after(address).find("Connection refused") != std::string::npos);
  }
  SECTION("no such name") {
    address.host = "no-such-host.invalid";
    CHECK(error_after(address).find("cannot resolve") != std::string::npos);
  }
  SECTION("it hangs up") {
    const int server = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(::listen(server, 8) == 0);
    sockaddr_storage name{};
    socklen_t size = sizeof(name);
    REQUIRE(::getsockname(server, reinterpret_cast<sockaddr*>(&name), &size) == 0);
    address.port = ntohs(reinterpret_cast<const sockaddr_in&>(name).sin_port);
    std::thread rude([server] {
      for (;;) {
        const int client = ::accept(server, nullptr, nullptr);
        if (client < 0) return;
        char buffer[64];
        // Whether it gets anything does not matter: it hangs up either way.
        const ssize_t got = ::read(client, buffer, sizeof(buffer));
        static_cast<void>(got);
        ::close(client);
      }
    });
    const std::string error = error_after(address);
    ::shutdown(server, SHUT_RDWR);
    rude.join();
    ::close(server);
    CHECK(error.find("is it an MQTT broker?") != std::string::npos);
  }
  CHECK(store.backlog() == 1);
}

TEST_CASE("batches over the broker's packet size are split, single events told as refused") {
  Mosquitto broker("allow_anonymous true\nmax_packet_size 2000\n");
  broker.start();
  FakeStore store;
  for (int i = 0; i < 20; ++i) store.add_batch("app", 100, std::string(200, 'x'));
  store.add_batch("app", 1, std::string(5'000, 'y'));
  store.add_batch("app", 9);
  Receiver receiver(broker.address());
  receiver.connect();
  const auto forwarder = make(options_for(broker.address()), store);
  forwarder->start();
  receiver.expect_events(2'010);
  CHECK(receiver.repeats == 0);
  CHECK(eventually([&] { return store.backlog() == 0; }));
  CHECK(forwarder->stats().refused_events == 1);
  CHECK(forwarder->stats().connections == 1);
  stop(*forwarder);
}

TEST_CASE("what the broker refuses stays stored, and goes when it is allowed") {
  Mosquitto broker("allow_anonymous true\nacl_file DIR/acl\n");
  penstock::tests::write_file(
      broker.dir() / "acl",
      "topic read penstock/gw-7/data/app\ntopic write penstock/gw-7/status\n"
      "topic write penstock/gw-7/data/good\n");
  broker.start();
  FakeStore store;
  for (int i = 0; i < 5; ++i) store.add_batch("app", 10);
  for (int i = 0; i < 5; ++i) store.add_batch("good", 10);
  Receiver receiver(broker.address());
  receiver.connect();
  ForwardOptions options = options_for(broker.address());
  options.protocol = ProtocolChoice::v5;
  const auto forwarder = make(options, store);
  std::mutex mutex;
  std::vector<std::string> changes;
  forwarder->on_change([&](const UpstreamChange& change) {
    const std::lock_guard lock(mutex);
    if (!change.stream.empty()) changes.push_back(change.stream + ": " + change.reason);
  });
  forwarder->start();
  // The other stream goes on.
  REQUIRE(eventually([&] { return forwarder->stats().acknowledged_events == 50; }));
  REQUIRE(eventually([&] { return store.backlog() == 0; }));
  static_cast<void>(store.commit({}));
  CHECK(store.parked() == std::vector<std::string>{"app"});
  CHECK(forwarder->stats().parked_streams == 1);
  penstock::tests::write_file(broker.dir() / "acl", "topic readwrite #\n");
  broker.signal(SIGHUP);
  receiver.expect_events(50);
  CHECK(eventually([&] {
    static_cast<void>(store.commit({}));
    return store.parked().empty();
  }));
  CHECK(eventually([&] { return forwarder->stats().parked_streams == 0; }));
  stop(*forwarder);
  CHECK(changes == std::vector<std::string>{"app: not authorised (0x87)", "app: "});
}

TEST_CASE("the second broker takes over") {
  Mosquitto second;
  second.start();
  FakeStore store;
  store.add_batch("app", 10);
  ForwardOptions options =
      options_for({"mqtt://127.0.0.1:1", "mqtt", "127.0.0.1", penstock::tests::free_port()});
  options.brokers.push_back(second.address());
  options.failover_after = 1s;
  const auto forwarder = make(options, store);
  forwarder->start();
  CHECK(eventually([&] { return store.backlog() == 0; }));
  CHECK(forwarder->stats().broker == second.address().url);
  stop(*forwarder);
}

TEST_CASE("a store that was opened anew is read anew") {
  Mosquitto broker;
  broker.start();
  FakeStore store;
  Receiver receiver(broker.address());
  receiver.connect();
  const auto forwarder = make(options_for(broker.address()), store);
  forwarder->start();
  for (int i = 0; i < 10; ++i) store.add_batch("app", 100);
  receiver.expect_events(1'000);
  store.reopen();
  for (int i = 0; i < 10; ++i) store.add_batch("app", 100);
  receiver.expect_events(2'000);
  CHECK(eventually([&] { return store.backlog() == 0; }));
  stop(*forwarder);
}

TEST_CASE("a persistent session keeps what comes while its subscriber is away") {
  const auto protocol = GENERATE(ProtocolChoice::v5, ProtocolChoice::v3_1_1);
  Mosquitto broker;
  broker.start();
  FakeStore store;
  Receiver receiver(broker.address(), true);
  receiver.options.protocol = protocol;
  receiver.options.queue_bytes_max = 10'000;  // fills while nobody reads
  receiver.connect();
  receiver.subscription.close(2s);
  const auto forwarder = make(options_for(broker.address()), store);
  forwarder->start();
  for (int i = 0; i < 50; ++i) store.add_batch("app", 100);
  REQUIRE(eventually([&] { return store.backlog() == 0; }));
  receiver.connect();
  receiver.expect_events(5'000);
  stop(*forwarder);
  receiver.subscription.close(2s);
  const auto none = receiver.subscription.next_message(0ms);
  CHECK((!none.ok() || none->has_value()));
}
