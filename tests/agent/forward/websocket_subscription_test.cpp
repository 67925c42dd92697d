// Receiving by WebSocket, through the relay, from a real mosquitto.
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <string>
#include <thread>

#include "agent/base/unique_fd.hpp"
#include "agent/forward/mqtt_subscription.hpp"
#include "agent/forward/websocket_relay.hpp"
#include "tests/agent/forward/certificates.hpp"
#include "tests/agent/forward/forwarder_fixture.hpp"

using namespace penstock;
using namespace penstock::forward;
using namespace penstock::forward::tests;
using namespace std::chrono_literals;
using penstock::tests::Mosquitto;

namespace {

/// A broker by ws or wss, which is not started yet.
struct WebBroker {
  explicit WebBroker(const std::string& scheme)
      : broker((scheme == "wss" ? "certfile DIR/right.crt\nkeyfile DIR/right.key\n" : "") +
               // mosquitto 2.0 does not start without a listener of its own protocol.
               ("allow_anonymous true\nprotocol websockets\nlistener " +
                std::to_string(penstock::tests::free_port()) + " 127.0.0.1\n")),
        dir(broker.dir().path().string()),
        authority(dir, "ca") {
    authority.sign("right");
    options.connect.broker = broker.address(scheme, "localhost");
    options.connect.broker.path = "/mqtt";
    options.connect.tls.ca = scheme == "wss" ? dir + "/ca.crt" : "";
    options.is_persistent = true;
  }
  SubscriptionOptions named(const std::string& client_id) const {
    SubscriptionOptions out = options;
    out.connect.client_id = client_id;
    return out;
  }

  Mosquitto broker;
  const std::string dir;
  const Authority authority;
  SubscriptionOptions options;
};

std::string next_payload(Subscription& subscription) {
  const auto message = subscription.next_message(patience);
  INFO((message.ok() ? "" : message.error().text));
  REQUIRE(message.ok());
  REQUIRE(message->has_value());
  return (*message)->payload;
}

UniqueFd connected_to(std::uint16_t port) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) == 0);
  return fd;
}

}  // namespace

TEST_CASE("by WebSocket two clients send and receive, small and large, over a restart") {
  const std::string scheme = GENERATE("ws", "wss");
  const auto protocol = GENERATE(ProtocolChoice::v5, ProtocolChoice::v3_1_1);
  WebBroker web(scheme);
  web.broker.start();
  web.options.protocol = protocol;
  const std::string filter = "t/#";
  Subscription receiver;
  Subscription sender;
  const auto connect = [&] {
    REQUIRE(eventually([&] { return receiver.connect(web.named("receiver")).ok(); }));
    REQUIRE(receiver.subscribe({&filter, 1}).ok());
    REQUIRE(eventually([&] { return sender.connect(web.named("sender")).ok(); }));
  };
  connect();
  for (const std::size_t size : {std::size_t{1}, std::size_t{125}, std::size_t{5'000}}) {
    const std::string payload(size, 'x');
    REQUIRE(sender.publish_retained("t/" + std::to_string(size), payload).ok());
    CHECK(next_payload(receiver) == payload);
  }
  const std::string large(100'000, 'y');
  REQUIRE(sender.publish_retained("t/large", large).ok());
  receiver.close(1s);
  sender.close(1s);
  web.broker.stop(SIGTERM);
  web.broker.start();
  connect();
  std::size_t found = 0;  // kept by the session, and retained
  while (found == 0) found += next_payload(receiver) == large ? 1 : 0;
  web.broker.stop(SIGKILL);
  for (;;) {
    const auto message = receiver.next_message(patience);
    if (message.ok() && message->has_value()) continue;
    REQUIRE(!message.ok());
    CHECK(message.error().text.find("the connection was lost") == 0);
    break;
  }
}

TEST_CASE("a certificate of another authority is refused by WebSocket too") {
  WebBroker web("wss");
  web.broker.start();
  const Authority other(web.dir, "other");
  web.options.connect.tls.ca = web.dir + "/other.crt";
  Subscription receiver;
  const auto refused = receiver.connect(web.named("receiver"));
  REQUIRE(!refused.ok());
  CHECK(refused.error().text.find("its authority is not in") != std::string::npos);
}

TEST_CASE("connecting ends when stop is asked for, also where nobody answers") {
  const std::string scheme = GENERATE("mqtt", "ws");
  const UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in at{};
  socklen_t size = sizeof at;
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::bind(listener.get(), reinterpret_cast<sockaddr*>(&at), size) == 0);
  REQUIRE(::listen(listener.get(), 4) == 0);
  REQUIRE(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&at), &size) == 0);
  SubscriptionOptions options;
  options.connect.broker = {scheme + "://127.0.0.1", scheme, "127.0.0.1", ntohs(at.sin_port),
                            "/mqtt"};
  options.connect.client_id = "receiver";
  options.connect.timeout = 3600s;
  std::stop_source stop;
  std::jthread asking([&] {  // once it has written
    for (char byte = 0; byte == 0;) {
      const UniqueFd client(::accept(listener.get(), nullptr, nullptr));
      if (::recv(client.get(), &byte, 1, 0) == 1) {
        stop.request_stop();
        char rest[256];
        while (::recv(client.get(), rest, sizeof rest, 0) > 0) continue;  // until it goes away
      }
    }
  });
  Subscription receiver;
  const auto stopped = receiver.connect(options, stop.get_token());
  CHECK(stopped.error().code == Errc::stopped);
  receiver.close(1s);
}

TEST_CASE("the relay serves its own process alone") {
  WebBroker web("ws");
  web.broker.start();
  const auto relay = WebSocketRelay::open(web.named("raw").connect, "127.0.0.1", std::stop_token());
  REQUIRE(relay.ok());
  const std::uint16_t port = (*relay)->address().port;
  // Another process gets nothing but the end.
  const std::string other = "bash -c 'exec 3<>/dev/tcp/127.0.0.1/" + std::to_string(port) +
                            "; read -t 60 -n 1 <&3; [ $? -eq 1 ]'";
  CHECK(run(other) == 0);
  const UniqueFd ours = connected_to(port);
  const std::string connect("\x10\x0E\x00\x04MQTT\x04\x02\x00\x3C\x00\x02me", 16);
  REQUIRE(::send(ours.get(), connect.data(), connect.size(), 0) == 16);
  char answer[4] = {};
  REQUIRE(::recv(ours.get(), answer, sizeof answer, MSG_WAITALL) == 4);
  CHECK(std::string(answer, 4) == std::string("\x20\x02\x00\x00", 4));
}
