// The syslog connector on real sockets: both framings on one port, TLS with and without a client's
// certificate, and what the options change.
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <cstdlib>

#include "connectors/api/connector.hpp"
#include "tests/support/made_connector.hpp"
#include "tests/support/net.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::connectors::syslog {

extern const ConnectorType type;

namespace {

using tests::connected;
using tests::RunningConnector;
using tests::send_all;
using tests::wait_for;

std::unique_ptr<Connector> make(const std::string& yaml) {
  return tests::make_connector(type, yaml);
}

TEST_CASE("octet-counted and newline framing share a port, even a connection") {
  const auto port = tests::free_port();
  const auto connector = make(fmt::format("listen: tcp://127.0.0.1:{}\nadd_peer: true\n", port));
  RunningConnector running(*connector);
  const UniqueFd fd = connected(port);
  REQUIRE(send_all(fd.get(),
                   "<13>1 - h a - - - one\n22 <14>1 - h a - - - t\nwo\n<15>1 - h a - - - three\n"));
  REQUIRE(running.wait_for_events(3));
  const auto events = running.session.events();
  CHECK(events[0].text("message") == "one");
  CHECK(events[1].text("message") == "t\nwo");
  CHECK(events[1].text("severity") == "info");
  CHECK(events[1].number("level") == 6);
  CHECK(events[2].text("message") == "three");
  CHECK(events[2].text("facility") == "user");
  CHECK(events[0].text("peer") == "127.0.0.1");
  CHECK(events[0].time_unix_us == 0);
}

TEST_CASE("UDP and a Unix socket like /dev/log; streams by host or program; the time of arrival") {
  const tests::TempDir folder;
  const std::string path = folder.path() / "log";
  const auto port = tests::free_port(SOCK_DGRAM);
  const auto [option, part] =
      GENERATE(table<std::string, std::string>({{"connector", ""}, {"host", "gw"}, {"app", "su"}}));
  const auto connector = make(fmt::format(
      "listen: [\"udp://127.0.0.1:{}\", \"unix-datagram://{}\"]\nstream_by: {}\ntime: arrival\n",
      port, path, option));
  RunningConnector running(*connector);
  UniqueFd local;
  REQUIRE(wait_for([&] { return (local = tests::connect_unix(path, SOCK_DGRAM)).is_open(); }));
  const UniqueFd udp = tests::connect_udp(port);
  REQUIRE(tests::send_one(udp.get(), "<13>2026-11-25T18:00:00Z gw su[7]: x\n"));
  REQUIRE(running.wait_for_events(1));
  REQUIRE(tests::send_one(local.get(), "<13>Nov 25 18:00:00 su: y"));
  REQUIRE(running.wait_for_events(2));
  const auto events = running.session.events();
  CHECK(events[0].part == part);
  CHECK(events[0].text("host") == "gw");
  CHECK(events[0].time_unix_us == 0);
  CHECK(events[1].text("app") == "su");
  CHECK_FALSE(events[1].has("host"));
}

/// A certificate that signs itself, made by the command line of OpenSSL.
void make_certificate(const std::filesystem::path& folder, const std::string& name) {
  const std::string base = (folder / name).string();
  const std::string command = fmt::format(
      "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={1} "
      "-addext subjectAltName=IP:127.0.0.1 -keyout {0}.key -out {0}.pem 2>/dev/null",
      base, name);
  REQUIRE(std::system(command.c_str()) == 0);
}

int send_by_tls(std::uint16_t port, const std::filesystem::path& folder, const std::string& more,
                const std::string& text) {
  const std::string command = fmt::format(
      "(printf '{}') | timeout 20 openssl s_client -quiet -no_ign_eof "
      "-verify_return_error "
      "-CAfile {}/server.pem -connect 127.0.0.1:{} {} >/dev/null 2>&1",
      text, folder.string(), port, more);
  return std::system(command.c_str());
}

TEST_CASE("TLS: served with a certificate, and only to those who show theirs where it is asked") {
  const tests::TempDir folder;
  make_certificate(folder.path(), "server");
  make_certificate(folder.path(), "client");
  const auto port = tests::free_port();
  const bool asks = GENERATE(false, true);
  const std::string path = folder.path().string();
  const auto connector = make(fmt::format(
      "listen: \"tls://127.0.0.1:{0}\"\ntls: {{cert: {1}/server.pem, key: {1}/server.key{2}}}\n",
      port, path, asks ? fmt::format(", client_ca: {}/client.pem", path) : ""));
  RunningConnector running(*connector);
  connected(port);
  if (asks) {
    send_by_tls(port, folder.path(), "", "<13>1 - h a - - - stranger\\n");
    const UniqueFd plain = connected(port);
    send_all(plain.get(), "<13>1 - h a - - - plain\n");
    tests::receive_all(plain.get());
    CHECK(running.session.events().empty());
  }
  const std::string shown =
      asks ? fmt::format("-cert {0}/client.pem -key {0}/client.key", path) : "";
  REQUIRE(wait_for([&] {
    send_by_tls(port, folder.path(), shown, "<13>1 - h a - - - friend\\n");
    return !running.session.events().empty();
  }));
  CHECK(running.session.events()[0].text("message") == "friend");

  // A renewed certificate is used without a restart, a broken one is not.
  tests::write_file(folder.path() / "server.pem", "broken");
  connected(port);
  make_certificate(folder.path(), "server");
  const auto before = running.session.events().size();
  CHECK(wait_for([&] {
    send_by_tls(port, folder.path(), shown, "<13>1 - h a - - - again\\n");
    return running.session.events().size() > before;
  }));
}

TEST_CASE("a certificate that cannot be used is unavailable") {
  const auto connector = make(fmt::format(
      "listen: \"tls://127.0.0.1:{}\"\ntls: {{cert: /nowhere.pem, key: /nowhere.key}}\n",
      tests::free_port()));
  tests::FakeSession session;
  const auto result = connector->run(session);
  REQUIRE_FALSE(result.ok());
  CHECK(result.error().code == Errc::unavailable);
  CHECK_THAT(result.error().text, Catch::Contains("/nowhere.pem"));
}

}  // namespace
}  // namespace penstock::connectors::syslog
