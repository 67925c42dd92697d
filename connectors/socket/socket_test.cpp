// The socket connector against real sockets: transports, framing, limits, and a sender that is
// rude.
#include <fmt/format.h>

#include <catch2/catch.hpp>

#include "connectors/api/connector.hpp"
#include "connectors/support/listen_address.hpp"
#include "tests/support/made_connector.hpp"
#include "tests/support/net.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::connectors::socket {

extern const ConnectorType type;

namespace {

using namespace std::string_literals;
using tests::connect_tcp;
using tests::connected;
using tests::RunningConnector;
using tests::send_all;
using tests::send_one;
using tests::wait_for;

std::unique_ptr<Connector> make(const std::string& yaml) {
  return tests::make_connector(type, yaml);
}

std::string refusal(const std::string& yaml) { return tests::refusal_of(type, yaml); }

std::vector<std::string> messages(const RunningConnector& running) {
  std::vector<std::string> out;
  for (const auto& event : running.session.events()) {
    out.push_back(event.text("message") + (event.cut ? "…" : ""));
  }
  return out;
}

TEST_CASE("TCP: lines of several connections, cut where they are too long") {
  const auto port = tests::free_port();
  const auto connector = make(
      fmt::format("listen: tcp://127.0.0.1:{}\nmessage_bytes_max: 64B\nadd_peer: true\n", port));
  RunningConnector running(*connector);
  UniqueFd one = connected(port);
  REQUIRE(send_all(one.get(), "a\r\nunfin"));
  REQUIRE(running.wait_for_events(1));
  const UniqueFd other = connected(port);
  REQUIRE(send_all(other.get(), std::string(100, 'x') + "\nb\n"));
  REQUIRE(running.wait_for_events(3));
  REQUIRE(send_all(one.get(), "ished"));
  one.reset();
  REQUIRE(running.wait_for_events(4));
  CHECK(running.stop().ok());
  CHECK(messages(running) ==
        std::vector<std::string>{"a", std::string(64, 'x') + "…", "b", "unfinished"});
  CHECK(running.session.events()[0].text("peer") == "127.0.0.1");
}

TEST_CASE("every framing of streams finds its messages") {
  const auto [name, bytes] =
      GENERATE(table<std::string, std::string>({{"newline", "a\nbc\n"},
                                                {"nul", "a\0bc\0"s},
                                                {"u8", "\1a\2bc"},
                                                {"u16_be", "\0\1a\0\2bc"s},
                                                {"u16_le", "\1\0a\2\0bc"s},
                                                {"u32_be", "\0\0\0\1a\0\0\0\2bc"s},
                                                {"u32_le", "\1\0\0\0a\2\0\0\0bc"s},
                                                {"octet_counted", "1 a2 bc"}}));
  CAPTURE(name);
  const tests::TempDir folder;
  const std::string path = folder.path() / "s";
  const auto connector = make(fmt::format("listen: unix://{}\nframing: {}\n", path, name));
  RunningConnector running(*connector);
  UniqueFd fd;
  REQUIRE(wait_for([&] { return (fd = tests::connect_unix(path, SOCK_STREAM)).is_open(); }));
  REQUIRE(send_all(fd.get(), bytes));
  REQUIRE(running.wait_for_events(2));
  CHECK(messages(running) == std::vector<std::string>{"a", "bc"});
}

TEST_CASE("a length that makes no sense ends the connection, and only it") {
  const auto port = tests::free_port();
  const auto connector = make(fmt::format("listen: tcp://127.0.0.1:{}\nframing: u32_be\n", port));
  RunningConnector running(*connector);
  const UniqueFd bad = connected(port);
  REQUIRE(send_all(bad.get(), "GET / HTTP/1.1\r\n\r\n"));
  CHECK(tests::receive_all(bad.get()).empty());
  const UniqueFd good = connected(port);
  REQUIRE(send_all(good.get(), "\0\0\0\1a"s));
  CHECK(running.wait_for_events(1));
}

TEST_CASE("datagrams are one message each: UDP and Unix, JSON and influx lines") {
  const tests::TempDir folder;
  const std::string path = folder.path() / "d";
  const auto port = tests::free_port(SOCK_DGRAM);
  const auto connector = make(fmt::format(
      "listen: [\"udp://127.0.0.1:{}\", \"unix-datagram://{}\"]\nformat: json\nstream_key: id\n",
      port, path));
  RunningConnector running(*connector);
  UniqueFd local;
  REQUIRE(wait_for([&] { return (local = tests::connect_unix(path, SOCK_DGRAM)).is_open(); }));
  REQUIRE(send_one(local.get(), R"([{"id":"p","v":1},{"v":2.5}])"));
  REQUIRE(running.wait_for_events(2));
  const UniqueFd udp = tests::connect_udp(port);
  REQUIRE(send_one(udp.get(), "nonsense"));
  REQUIRE(send_one(udp.get(), "{\"v\":3}\n{\"v\":4}\n"));
  REQUIRE(running.wait_for_events(4));
  CHECK(running.stop().ok());
  const auto events = running.session.events();
  CHECK(events[0].part == "p");
  CHECK(events[1].number("v") == 2.5);
  CHECK(events[3].number("v") == 4);
  CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("a datagram over the limit is cut") {
  const auto port = tests::free_port(SOCK_DGRAM);
  const auto connector =
      make(fmt::format("listen: udp://127.0.0.1:{}\nmessage_bytes_max: 64B\n", port));
  RunningConnector running(*connector);
  const UniqueFd udp = tests::connect_udp(port);
  REQUIRE(wait_for([&] {
    send_one(udp.get(), std::string(100, 'x'));
    return !running.session.events().empty();
  }));
  CHECK(running.session.events()[0].cut);
  CHECK(running.session.events()[0].text("message") == std::string(63, 'x'));
}

TEST_CASE("what the kernel drops of UDP while push waits is recorded as a loss") {
  const auto port = tests::free_port(SOCK_DGRAM);
  const auto connector = make(fmt::format("listen: udp://127.0.0.1:{}\n", port));
  const UniqueFd udp = tests::connect_udp(port);
  constexpr std::uint64_t sent = 20'000;
  std::uint64_t probes = 0;  // some are sent before the socket is bound, to nobody
  std::atomic<bool> has_sent = false;
  RunningConnector running(*connector, [&](tests::FakeSession& self) {
    if (has_sent || self.events().empty()) return;
    // push blocks here, and the socket's buffer overflows meanwhile.
    for (std::uint64_t i = 0; i < sent; ++i) send_one(udp.get(), std::string(200, 'x'));
    has_sent = true;
  });
  REQUIRE(wait_for([&] {
    if (!has_sent) probes += send_one(udp.get(), "x");
    return has_sent.load();
  }));
  std::uint64_t after = 0;
  const auto balance = [&] {
    std::uint64_t total = 0;
    for (const auto& event : running.session.events()) total += event.lost > 0 ? event.lost : 1;
    return total;
  };
  // The kernel's count comes with the next datagram.
  CHECK(wait_for([&] {
    after += send_one(udp.get(), "y");
    const auto events = running.session.events();
    return std::any_of(events.begin(), events.end(), [](const auto& e) { return e.lost > 0; });
  }));
  CHECK(wait_for([&] { return balance() >= sent + after; }));
  CHECK(balance() <= probes + sent + after);
}

TEST_CASE("connections are limited, in all and for each address") {
  const auto limit = GENERATE(as<std::string>{}, "max_connections", "max_connections_per_address");
  const auto port = tests::free_port();
  const auto connector = make(fmt::format("listen: tcp://127.0.0.1:{}\n{}: 2\n", port, limit));
  RunningConnector running(*connector);
  UniqueFd first = connected(port);
  const UniqueFd second = connected(port);
  REQUIRE(send_all(first.get(), "1\n"));
  REQUIRE(send_all(second.get(), "2\n"));
  REQUIRE(running.wait_for_events(2));
  const UniqueFd third = connected(port);
  CHECK(tests::receive_all(third.get()).empty());  // closed
  first.reset();
  CHECK(wait_for([&] {
    const UniqueFd fourth = connect_tcp(port);
    send_all(fourth.get(), "4\n");
    return running.session.events().size() >= 3;  // one more may come before the look
  }));
}

TEST_CASE("a connection that completes no message is closed, however busily it drips") {
  const auto port = tests::free_port();
  const auto connector = make(fmt::format("listen: tcp://127.0.0.1:{}\nidle_time: 1s\n", port));
  RunningConnector running(*connector);
  const UniqueFd fd = connected(port);
  CHECK(wait_for([&] { return !send_all(fd.get(), "x"); }));
  CHECK(running.session.events().empty());
}

TEST_CASE("above the rate a connection waits, and nothing of it is lost") {
  const auto port = tests::free_port();
  const auto connector =
      make(fmt::format("listen: tcp://127.0.0.1:{}\nmax_messages_per_second: 500\n", port));
  RunningConnector running(*connector);
  const UniqueFd fd = connected(port);
  const auto begin = std::chrono::steady_clock::now();
  REQUIRE(send_all(fd.get(), std::string(600, '\n')));  // no messages
  for (int i = 0; i < 2; ++i) {
    std::string lines;
    for (int line = 0; line < 600; ++line) lines += "x\n";
    REQUIRE(send_all(fd.get(), lines));
    REQUIRE(running.wait_for_events(600u * static_cast<unsigned>(i + 1)));
  }
  CHECK(std::chrono::steady_clock::now() - begin > std::chrono::milliseconds(150));
}

TEST_CASE("an address in use is unavailable, and a socket file left behind is replaced") {
  const auto port = tests::free_port();
  const std::string yaml = fmt::format("listen: tcp://127.0.0.1:{}\n", port);
  const auto one = make(yaml);
  RunningConnector running(*one);
  connected(port);
  tests::FakeSession session;
  CHECK(make(yaml)->run(session).error().code == Errc::unavailable);

  const tests::TempDir folder;
  const std::string path = folder.path() / "s";
  const auto address = *support::parse_listen_address("unix://" + path);
  { REQUIRE(support::open_listener(address, 0600).ok()); }
  const std::string local_yaml = fmt::format("listen: unix://{}\nsocket_mode: \"0666\"\n", path);
  const auto local = make(local_yaml);
  RunningConnector again(*local);
  CHECK(wait_for([&] { return tests::connect_unix(path, SOCK_STREAM).is_open(); }));
  CHECK(make(local_yaml)->run(session).error().code == Errc::unavailable);
  tests::write_file(folder.path() / "f", "precious");
  const auto file = make(fmt::format("listen: unix://{}/f\n", folder.path().string()));
  CHECK(file->run(session).error().code == Errc::unavailable);
  CHECK(std::filesystem::exists(folder.path() / "f"));
}

TEST_CASE("an address that is wrong, or open to others, is told with its place") {
  const auto [yaml, part] = GENERATE(table<std::string, std::string>({
      {"listen: []", "no address is given"},
      {"listen: 127.0.0.1:5", "does not begin with tcp://"},
      {"listen: tcp://example.org:5", "numeric address"},
      {"listen: tcp://127.0.0.1", "has no port"},
      {"listen: tcp://127.0.0.1:70000", "has no port from 1 to 65535"},
      {"listen: unix://run/x", "absolute path"},
      {"listen: tcp://0.0.0.0:5", "can be reached from other machines"},
      {"listen: \"udp://[::]:5\"", "can be reached from other machines"},
      {"listen: [\"tcp://[::1]:5\", \"tcp://[::1]:5\"]", "twice"},
      {"listen: \"tls://127.0.0.1:5\"", "needs a certificate"},
      {"listen: \"tls://127.0.0.1:5\"\ntls: {cert: /x}", "one of cert and key is missing"},
  }));
  CAPTURE(yaml);
  CHECK_THAT(refusal(yaml + "\n"), Catch::Contains(part) && Catch::Contains("yaml:"));
  make("listen: \"tcp://0.0.0.0:5\"\nallow_insecure: true\n");
  make("listen: \"tls://[::]:5\"\ntls: {cert: /x, key: /y}\n");
}

TEST_CASE("an option that is for another format is warned of") {
  const auto warnings = [](const std::string& yaml) {
    config::Diagnostics diagnostics;
    const auto section =
        config::Section::parse("listen: unix:///run/x\n" + yaml, type.options, diagnostics);
    REQUIRE(section.ok());
    CHECK(type.make(*section).ok());
    return diagnostics.all().size();
  };
  CHECK(warnings("time_key: ts\ninflux_precision: s\n") == 2);
  CHECK(warnings("format: json\ntime_key: ts\n") == 0);
  CHECK(warnings("format: json\ninflux_precision: s\n") == 1);
}

}  // namespace
}  // namespace penstock::connectors::socket
