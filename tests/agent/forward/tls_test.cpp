// TLS and WebSocket on the way to a broker: what is taken, what is refused, and what is said.
#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <mutex>
#include <vector>

#include "agent/forward/certificate_watch.hpp"
#include "agent/forward/mqtt_subscription.hpp"
#include "tests/agent/forward/certificates.hpp"
#include "tests/agent/forward/forwarder_fixture.hpp"
#include "tests/support/fake_clock.hpp"

using namespace penstock;
using namespace penstock::forward;
using namespace penstock::forward::tests;
using namespace std::chrono_literals;
using penstock::tests::Mosquitto;

namespace {

const std::string tls_lines =
    "allow_anonymous true\ncertfile DIR/right.crt\nkeyfile DIR/right.key\ncafile DIR/clients.crt\n";

/// A broker with a certificate of its own authority, which is not started yet.
struct TlsBroker {
  explicit TlsBroker(const std::string& extra = "")
      : broker(tls_lines + extra), dir(broker.dir().path().string()), authority(dir, "ca") {
    authority.sign("right");
    std::filesystem::copy_file(dir + "/ca.crt", dir + "/clients.crt");
  }
  ForwardOptions options(const std::string& scheme = "mqtts") const {
    ForwardOptions out = options_for(broker.address(scheme, "localhost"));
    out.tls.ca = dir + "/ca.crt";
    return out;
  }
  void use_client_certificate(ForwardOptions& options) const {
    options.tls.cert = dir + "/gw.crt";
    options.tls.key = dir + "/gw.key";
  }

  Mosquitto broker;
  const std::string dir;
  const Authority authority;
};

/// Until the forwarder's last error has `part`.
bool tells(const Forwarder& forwarder, const std::string& part) {
  const bool is_told =
      eventually([&] { return forwarder.stats().last_error.find(part) != std::string::npos; });
  if (!is_told) UNSCOPED_INFO("last error: " << forwarder.stats().last_error);
  return is_told;
}

/// `openssl s_server`, which writes what a client's handshake says; it knows no MQTT.
class HandshakeServer {
 public:
  HandshakeServer(const std::string& dir, const std::string& options)
      : log_(dir + "/s_server.log"), pid_file_(dir + "/s_server.pid") {
    const std::string port = std::to_string(port_);
    REQUIRE(std::system(("stdbuf -oL openssl s_server -accept 127.0.0.1:" + port + " -cert " + dir +
                         "/right.crt -key " + dir + "/right.key -rev " + options + " >" + log_ +
                         " 2>&1 </dev/null & echo $! >" + pid_file_)
                            .c_str()) == 0);
    REQUIRE(eventually([this] { return log().find("ACCEPT") != std::string::npos; }));
  }
  HandshakeServer(const HandshakeServer&) = delete;
  HandshakeServer& operator=(const HandshakeServer&) = delete;
  ~HandshakeServer() { ::kill(std::stoi(penstock::tests::read_file(pid_file_)), SIGKILL); }

  std::string log() const { return penstock::tests::read_file(log_); }
  config::BrokerAddress address() const {
    return {"mqtts://localhost", "mqtts", "localhost", port_};
  }

 private:
  const std::uint16_t port_ = penstock::tests::free_port();
  const std::string log_;
  const std::string pid_file_;
};

}  // namespace

TEST_CASE("TLS: the right name and authority") {
  TlsBroker tls;
  tls.broker.start();
  FakeStore store;
  store.add_batch("app", 10);
  const auto forwarder = make(tls.options(), store);
  forwarder->start();
  CHECK(eventually([&] { return store.backlog() == 0; }));
  stop(*forwarder);
}

TEST_CASE("TLS: nothing else is taken, and the log says why") {
  struct Case {
    std::string name;
    std::string error;
    std::string ca = "/ca.crt";
    std::string host = "localhost";
    Authority::Wanted certificate{};
  };
  const std::string chain = "self-signed certificate in certificate chain";
  const auto bad = GENERATE_COPY(
      Case{"another name", "hostname mismatch", "/ca.crt", "localhost", {"DNS:evil.example"}},
      Case{"an address that is not in it", "IP address mismatch", "/ca.crt", "127.0.0.1"},
      Case{"another authority", chain, "/other.crt"}, Case{"the system's authorities", chain, ""},
      Case{"no such file", "No such file", "/none.crt"},
      Case{"expired",
           "certificate has expired; this device's clock says 20",
           "/ca.crt",
           "localhost",
           {"DNS:localhost", "20200101000000Z", "20210101000000Z"}},
      Case{"not yet valid",
           "certificate is not yet valid; this device's clock says 20",
           "/ca.crt",
           "localhost",
           {"DNS:localhost", "20980101000000Z"}});
  INFO(bad.name);
  TlsBroker tls;
  const Authority other(tls.dir, "other");
  tls.authority.sign("right", bad.certificate);
  tls.broker.start();
  FakeStore store;
  store.add_batch("app", 10);
  ForwardOptions options = tls.options();
  options.brokers = {tls.broker.address("mqtts", bad.host)};
  options.tls.ca = bad.ca.empty() ? std::string() : tls.dir + bad.ca;
  const auto forwarder = make(options, store);
  forwarder->start();
  CHECK(tells(*forwarder, bad.error));
  CHECK(store.backlog() == 1);
}

TEST_CASE("TLS: a broker that misses our certificate is told with that question") {
  TlsBroker tls("require_certificate true\n");
  tls.broker.start();
  FakeStore store;
  store.add_batch("app", 10);
  const auto forwarder = make(tls.options(), store);
  forwarder->start();
  CHECK(tells(*forwarder, "Does it want a certificate of ours?"));
  CHECK(store.backlog() == 1);
}

TEST_CASE("TLS: an encrypted key of ours needs its password") {
  TlsBroker tls("require_certificate true\n");
  tls.authority.sign("gw", {"DNS:gw", "20200101000000Z", "20990101000000Z", "key-canary"});
  tls.broker.start();
  FakeStore store;
  store.add_batch("app", 10);
  ForwardOptions options = tls.options();
  tls.use_client_certificate(options);
  std::mutex mutex;
  std::string password;
  const auto set_password = [&](const std::string& text) {
    const std::lock_guard lock(mutex);
    password = text;
  };
  options.credentials = [&]() -> Result<Credentials> {
    const std::lock_guard lock(mutex);
    return Credentials{"", "", password};
  };
  const auto forwarder = make(options, store);
  forwarder->start();
  CHECK(tells(*forwarder, "encrypted? give tls.key_password"));
  set_password("wrong-canary");
  CHECK(tells(*forwarder, "is tls.key_password right?"));
  CHECK(forwarder->stats().last_error.find("canary") == std::string::npos);
  CHECK(store.backlog() == 1);
  set_password("key-canary");
  CHECK(eventually([&] { return store.backlog() == 0; }));
  stop(*forwarder);
}

TEST_CASE("TLS: a client certificate that is replaced is used without a restart") {
  TlsBroker tls("require_certificate true\n");
  const Authority other(tls.dir, "other");
  tls.authority.sign("gw");
  tls.broker.start();
  FakeStore store;
  store.add_batch("app", 10);
  ForwardOptions options = tls.options();
  tls.use_client_certificate(options);
  const auto forwarder = make(options, store);
  forwarder->start();
  REQUIRE(eventually([&] { return store.backlog() == 0; }));

  // From now on the broker takes certificates of the other authority only.
  tls.broker.stop(SIGTERM);
  std::filesystem::copy_file(tls.dir + "/other.crt", tls.dir + "/clients.crt",
                             std::filesystem::copy_options::overwrite_existing);
  store.add_batch("app", 10);
  const std::uint64_t connections = forwarder->stats().connections;
  tls.broker.start();
  REQUIRE(eventually([&] { return forwarder->stats().connections > connections + 2; }));
  CHECK(store.backlog() == 1);
  other.sign("gw");
  CHECK(eventually([&] { return store.backlog() == 0; }));
  stop(*forwarder);
}

TEST_CASE("TLS: the handshake names host and protocol") {
  const penstock::tests::TempDir dir;
  const std::string path = dir.path().string();
  const Authority authority(path, "ca");
  authority.sign("right");
  struct Case {
    std::string server;
    std::string said;
  };
  // One each: s_server chooses no protocol once a name has made it change its certificate.
  const auto wanted = GENERATE_COPY(
      Case{"-servername localhost -cert2 " + path + "/right.crt -key2 " + path + "/right.key",
           "Hostname in TLS extension: \"localhost\""},
      Case{"-alpn mqtt,x-amzn-mqtt-ca", "ALPN protocols selected: x-amzn-mqtt-ca"});
  const HandshakeServer server(path, wanted.server);
  FakeStore store;
  ForwardOptions options = options_for(server.address());
  options.tls.ca = path + "/ca.crt";
  options.tls.alpn = {"no-such", "x-amzn-mqtt-ca"};
  const auto forwarder = make(options, store);
  forwarder->start();
  const bool is_said =
      eventually([&] { return server.log().find(wanted.said) != std::string::npos; });
  INFO(server.log());
  CHECK(is_said);
}

TEST_CASE("TLS: nothing older than 1.2") {
  const penstock::tests::TempDir dir;
  const std::string path = dir.path().string();
  const Authority authority(path, "ca");
  authority.sign("right");
  const HandshakeServer server(path, "-tls1_1 -cipher ALL:@SECLEVEL=0");
  FakeStore store;
  ForwardOptions options = options_for(server.address());
  options.tls.ca = path + "/ca.crt";
  const auto forwarder = make(options, store);
  forwarder->start();
  CHECK(tells(*forwarder, "TLS handshake failed"));
  CHECK(server.log().find("CONNECTION ESTABLISHED") == std::string::npos);
}

TEST_CASE("the end of our certificate is told once a day") {
  const penstock::tests::TempDir dir;
  const std::string path = dir.path().string();
  const Authority authority(path, "ca");
  authority.sign("gw", {"DNS:gw", "20200101000000Z", "20250101000000Z"});
  penstock::tests::FakeClock clock;
  constexpr std::int64_t end_us = 1'735'689'600'000'000;
  constexpr std::int64_t day_us = CertificateWatch::day_us;
  clock.step_wall(end_us - 31 * day_us - 1);
  CertificateWatch watch(clock, path + "/gw.crt");
  CHECK_FALSE(watch.take_days_left());
  CHECK(watch.wake_at_us() == clock.steady_us() + day_us);
  clock.advance(24h + 1us);
  CHECK(watch.take_days_left() == 30);
  CHECK_FALSE(watch.take_days_left());
  clock.step_wall(end_us + 1);
  clock.advance(24h);
  CHECK(watch.take_days_left() == -2);
  authority.sign("gw");  // renewed
  clock.advance(24h);
  CHECK_FALSE(watch.take_days_left());
  CHECK(CertificateWatch(clock, "").wake_at_us() == std::numeric_limits<std::int64_t>::max());
}

TEST_CASE("a certificate of ours that ends soon is in the statistics and in the events") {
  TlsBroker tls;
  tls.authority.sign("gw", {"DNS:gw", "20200101000000Z", days_from_now(10)});
  tls.broker.start();
  FakeStore store;
  ForwardOptions options = tls.options();
  tls.use_client_certificate(options);
  const auto forwarder = make(options, store);
  std::mutex mutex;
  std::vector<std::int64_t> told;
  forwarder->on_change([&](const UpstreamChange& change) {
    const std::lock_guard lock(mutex);
    if (change.kind == UpstreamChange::Kind::certificate_ends) told.push_back(change.days_left);
  });
  forwarder->start();
  CHECK(eventually([&] { return forwarder->stats().certificate_days_left.has_value(); }));
  stop(*forwarder);
  const auto days = forwarder->stats().certificate_days_left;
  CHECK((days == 9 || days == 10));
  CHECK(told == std::vector<std::int64_t>{*days});
}

TEST_CASE("WebSocket, plain and by TLS, and over a restart of the broker") {
  const std::string scheme = GENERATE("ws", "wss");
  const auto protocol = GENERATE(ProtocolChoice::automatic, ProtocolChoice::v3_1_1);
  const bool is_tls = scheme == "wss";
  // mosquitto 2.0 does not start without a listener of its own protocol.
  const std::uint16_t own_port = penstock::tests::free_port();
  const std::string websockets =
      "protocol websockets\nlistener " + std::to_string(own_port) + " 127.0.0.1\n";
  TlsBroker tls(websockets);
  Mosquitto plain("allow_anonymous true\n" + websockets);
  Mosquitto& broker = is_tls ? tls.broker : plain;
  broker.start();
  FakeStore store;
  for (int i = 0; i < 100; ++i) store.add_batch("app", 100);
  ForwardOptions options = tls.options();
  options.brokers = {broker.address(scheme, "localhost")};
  options.brokers[0].path = "/mqtt";
  options.protocol = protocol;

  Subscription receiver;
  SubscriptionOptions receiving;
  receiving.connect.broker = {"mqtt://127.0.0.1", "mqtt", "127.0.0.1", own_port};
  receiving.connect.client_id = "receiver";
  receiving.is_persistent = true;
  const std::string filter = "penstock/gw-7/data/#";
  const auto subscribe = [&] {
    REQUIRE(eventually([&] { return receiver.connect(receiving).ok(); }));
    REQUIRE(receiver.subscribe({&filter, 1}).ok());
  };
  std::uint64_t next = 0;
  const auto receive = [&](std::uint64_t count) {
    while (next < count) {
      const auto message = receiver.next_message(patience);
      INFO((message.ok() ? "" : message.error().text));
      REQUIRE(message.ok());
      REQUIRE(message->has_value());
      const std::string first = (*message)->payload.substr(0, (*message)->payload.find('}'));
      const std::uint64_t seq =
          std::strtoull(first.c_str() + first.find("\"seq\":") + 6, nullptr, 10);
      REQUIRE(seq <= next);
      next = std::max(next, seq + 100);
    }
  };
  subscribe();
  const auto forwarder = make(options, store);
  forwarder->start();
  receive(10'000);
  CHECK(forwarder->stats().connections == 1);
  receiver.close(5s);
  broker.stop(SIGTERM);
  for (int i = 0; i < 100; ++i) store.add_batch("app", 100);
  broker.start();
  subscribe();
  receive(20'000);
  CHECK(eventually([&] { return store.backlog() == 0; }));
  stop(*forwarder);
}
