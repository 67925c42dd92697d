// The modbus connector against units that answer, refuse, fall silent and come back.
#include <fmt/format.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "connectors/api/connector.hpp"
#include "tests/support/fake_session.hpp"
#include "tests/support/modbus_server.hpp"
#include "tests/support/net.hpp"

namespace penstock::connectors::modbus {

extern const ConnectorType type;

namespace {

using tests::FakeSession;
using tests::ModbusServer;
using tests::SeenEvent;
using Request = ModbusServer::Request;

std::unique_ptr<Connector> make(const ModbusServer& server, const std::string& rest) {
  config::Diagnostics diagnostics;
  auto section =
      config::Section::parse(fmt::format("address: \"{}\"\nevery: 1s\n{}", server.address(), rest),
                             type.options, diagnostics);
  INFO(diagnostics.to_text(false));
  REQUIRE(section.ok());
  auto made = type.make(*section);
  INFO(diagnostics.to_text(false));
  REQUIRE(made.ok());
  return *std::move(made);
}

/// Runs until there are `events`, or `hook` ends it; the events.
std::vector<SeenEvent> polled(Connector& connector, std::size_t events,
                              const std::function<void(std::size_t)>& before_sleep = {}) {
  FakeSession session;
  session.hook = [&](FakeSession& self) {
    if (before_sleep) before_sleep(self.pushes());
    if (self.events().size() >= events) self.request_stop();
  };
  const auto result = connector.run(session);
  INFO((result.ok() ? "" : result.error().text));
  REQUIRE(result.ok());
  return session.events();
}

std::size_t count(const std::vector<Request>& requests, int unit) {
  return static_cast<std::size_t>(std::count_if(
      requests.begin(), requests.end(), [unit](const Request& r) { return r.unit == unit; }));
}

TEST_CASE("every kind of value is read, over TCP and over a serial line") {
  ModbusServer server(GENERATE(ModbusServer::On::tcp, ModbusServer::On::serial));
  server.change([](auto& units) {
    units[1].holding = {{0, 0xffff}, {1, 0x0001}, {2, 0x86a0}, {3, 0x41ac}, {4, 0x0000},
                        {5, 213},    {6, 0b1010}, {7, 0x4865}, {8, 0x6c6c}, {9, 0x6f00}};
    units[1].input = {{12, 0x0000}, {13, 0x41ac}};
    units[1].coils = {{3, 1}, {4, 0}};
    units[1].discrete = {{19, 1}};
  });
  const auto connector =
      make(server,
           "read:\n"
           "- {name: signed, holding: 0, as: int16}\n"
           "- {name: unsigned, holding: 0}\n"
           "- {name: wide, holding: 1, as: uint32}\n"
           "- {name: real, holding: 3, as: float32}\n"
           "- {name: temp, holding: 5, as: int16, scale: 0.1, measured_in: Cel}\n"
           "- {name: alarm, holding: 6, bit: 1}\n"
           "- {name: mode, holding: 6, bit: 1, bits: 3}\n"
           "- {name: label, holding: 7, as: text, length: 3}\n"
           "- {name: swapped, input: 12, as: float32, order: cdab}\n"
           "- {name: on, coil: 3}\n"
           "- {name: off, coil: 4}\n"
           "- {name: door, discrete: 19}\n");
  const SeenEvent event = polled(*connector, 1).at(0);
  CHECK(event.number("unit") == 1);
  CHECK(event.number("signed") == -1);
  CHECK(event.number("unsigned") == 65535);
  CHECK(event.number("wide") == 100'000);
  CHECK(event.number("real") == 21.5);
  CHECK(event.number("temp") == 21.3);
  CHECK(event.text("temp_unit") == "Cel");
  CHECK(std::get<bool>(event.fields.at("alarm")));
  CHECK(event.number("mode") == 5);
  CHECK(event.text("label") == "Hello");
  CHECK(event.number("swapped") == 21.5);
  CHECK(std::get<bool>(event.fields.at("on")));
  CHECK_FALSE(std::get<bool>(event.fields.at("off")));
  CHECK(std::get<bool>(event.fields.at("door")));
  CHECK_FALSE(event.has("error"));
  // Neighbours share a request.
  CHECK(server.requests() ==
        std::vector<Request>{{1, 3, 0, 10}, {1, 4, 12, 2}, {1, 1, 3, 2}, {1, 2, 19, 1}});
}

TEST_CASE("one refused register does not take its neighbours with it") {
  ModbusServer server(ModbusServer::On::tcp);
  server.change([](auto& units) { units[1].holding = {{10, 1}, {12, 3}}; });
  const auto connector = make(
      server, "read: [{name: a, holding: 10}, {name: b, holding: 11}, {name: c, holding: 12}]\n");
  const auto events = polled(*connector, 3, [&](std::size_t pushes) {
    if (pushes == 2) server.change([](auto& units) { units[1].holding[11] = 2; });
  });
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(events[i].number("a") == 1);
    CHECK(std::holds_alternative<std::monostate>(events[i].fields.at("b")));
    CHECK(events[i].number("c") == 3);
    CHECK(events[i].text("error") == "b (holding 11): illegal data address (exception 2)");
  }
  CHECK(events[2].number("b") == 2);
  CHECK_FALSE(events[2].has("error"));
}

TEST_CASE("a silent unit is reported, asked less and less often, and comes back") {
  ModbusServer server(GENERATE(ModbusServer::On::tcp, ModbusServer::On::serial));
  server.change([](auto& units) {
    units[1].holding = {{0, 7}};
    units[2].holding = {{0, 8}};
    units[2].is_silent = true;
  });
  const auto connector = make(server,
                              "timeout: 300ms\nbackoff_max: 8s\nretries: 0\nstream_per_unit: true\n"
                              "read: [{name: v, holding: 0}, {name: v, holding: 0, unit: 2}]\n");
  std::size_t back_at = 0;
  const auto events = polled(*connector, 60, [&](std::size_t pushes) {
    if (pushes == 30 && back_at == 0) {
      back_at = count(server.requests(), 2);
      server.change([](auto& units) { units[2].is_silent = false; });
    }
  });
  CHECK(back_at < 10);  // of 30 polls: 1 + 2, 4, 8, 8 … seconds
  std::vector<std::string> errors;
  std::size_t good = 0;
  for (const SeenEvent& event : events) {
    if (event.part == "1" && !event.has("error")) CHECK(event.number("v") == 7);
    if (event.part == "2" && event.has("error")) errors.push_back(event.text("error"));
    if (event.part == "2" && !event.has("error")) good += event.number("v") == 8 ? 1 : 0;
  }
  CHECK(errors.size() == back_at);
  CHECK(errors.at(0) == "no answer in time");
  CHECK(good > 0);
}

TEST_CASE("a request without an answer is sent again, as often as retries says") {
  ModbusServer server(ModbusServer::On::tcp);
  server.change([](auto& units) { units[1].is_silent = true; });
  const int retries = GENERATE(0, 2);
  const auto connector =
      make(server,
           fmt::format("timeout: 100ms\nretries: {}\nread: [{{name: v, holding: 0}}]\n", retries));
  CHECK(polled(*connector, 1).at(0).text("error") == "no answer in time");
  const std::size_t wanted = 1 + static_cast<std::size_t>(retries);
  CHECK(tests::wait_for([&] { return count(server.requests(), 1) >= wanted; }));
  CHECK(count(server.requests(), 1) == wanted);
}

TEST_CASE("a connection that the device ended is opened again, without a hole") {
  ModbusServer server(ModbusServer::On::tcp);
  server.change([](auto& units) { units[1].holding = {{0, 7}}; });
  const auto connector = make(server, "read: [{name: v, holding: 0}]\n");
  const auto events = polled(*connector, 4, [&](std::size_t pushes) {
    if (pushes == 2) server.drop_connection();
  });
  for (const SeenEvent& event : events) CHECK(event.number("v") == 7);
}

TEST_CASE("an exception of the whole unit is told in words and leaves nulls") {
  const auto [code, words] = GENERATE(table<int, std::string>(
      {{1, "illegal function (exception 1)"}, {6, "the unit is busy (exception 6)"}}));
  ModbusServer server(ModbusServer::On::tcp);
  server.change([c = code](auto& units) { units[1].exception = c; });
  const auto connector = make(server, "read: [{name: v, input: 5}]\n");
  const SeenEvent event = polled(*connector, 1).at(0);
  CHECK(event.text("error") == "v (input 5): " + words);
  CHECK(std::holds_alternative<std::monostate>(event.fields.at("v")));
}

TEST_CASE("a dead peer is unavailable, and read once it is there") {
  auto server = std::make_unique<ModbusServer>(ModbusServer::On::tcp);
  const auto connector = make(*server, "read: [{name: v, holding: 0}]\n");
  server.reset();
  FakeSession session;
  const auto result = connector->run(session);
  REQUIRE_FALSE(result.ok());
  CHECK(result.error().code == Errc::unavailable);
  CHECK(result.error().text.find("tcp://127.0.0.1:") != std::string::npos);
}

TEST_CASE("a name that is not known is told as that") {
  config::Diagnostics diagnostics;
  const auto section = config::Section::parse(
      "address: tcp://a..b\nread: [{name: v, holding: 0}]\n", type.options, diagnostics);
  REQUIRE(section.ok());
  FakeSession session;
  const auto result = (*type.make(*section))->run(session);
  REQUIRE_FALSE(result.ok());
  CHECK(result.error().text == "tcp://a..b:502: the name is not known");
}

TEST_CASE("two connectors cannot share a line") {
  ModbusServer server(ModbusServer::On::serial);
  server.change([](auto& units) { units[1].holding = {{0, 7}}; });
  const auto first = make(server, "read: [{name: v, holding: 0}]\n");
  polled(*first, 1);
  const auto second = make(server, "read: [{name: v, holding: 0}]\n");
  FakeSession session;
  const auto result = second->run(session);
  REQUIRE_FALSE(result.ok());
  CHECK(result.error().code == Errc::unavailable);
}

}  // namespace
}  // namespace penstock::connectors::modbus
