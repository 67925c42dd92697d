#include <catch2/catch.hpp>

#include "config/broker.hpp"

namespace penstock::config::tests {
namespace {

struct Good {
  std::string url;
  std::string scheme;
  std::string host;
  std::uint16_t port;
  std::string path{};
};
struct Bad {
  std::string url;
  std::string part;
};

}  // namespace

TEST_CASE("broker addresses that are taken", "[config]") {
  const auto row = GENERATE(values<Good>({
      {"mqtt://127.0.0.1:1883", "mqtt", "127.0.0.1", 1883},
      {"mqtt://broker", "mqtt", "broker", 1883},
      {"mqtts://broker.example.net", "mqtts", "broker.example.net", 8883},
      {"mqtts://broker.example.net:443/", "mqtts", "broker.example.net", 443},
      {"mqtt://[::1]", "mqtt", "::1", 1883},
      {"ws://broker", "ws", "broker", 80, "/mqtt"},
      {"ws://broker:8080/", "ws", "broker", 8080, "/"},
      {"wss://broker/ws?tenant=a", "wss", "broker", 443, "/ws?tenant=a"},
      {"wss://[::1]:8443", "wss", "::1", 8443, "/mqtt"},
      {"mqtt://[fe80::1%eth0]:1884", "mqtt", "fe80::1%eth0", 1884},
  }));
  INFO(row.url);
  const auto broker = parse_broker(row.url);
  REQUIRE(broker.ok());
  CHECK(*broker == BrokerAddress{row.url, row.scheme, row.host, row.port, row.path});
  CHECK(broker->uses_tls() == (row.scheme.back() == 's' && row.scheme != "ws"));
  CHECK(broker->is_websocket() == (row.scheme.front() == 'w'));
}

TEST_CASE("broker addresses that are refused say why", "[config]") {
  const auto row = GENERATE(values<Bad>({
      {"", "must begin with"},
      {"broker:1883", "did you mean mqtt://broker:1883?"},
      {"tcp://broker:1883", "did you mean mqtt://broker:1883?"},
      {"ssl://broker:8883", "did you mean mqtts://broker:8883?"},
      {"ws://broker/a b", "not the path"},
      {"ws://broker?a", "not the path"},
      {"http://broker", "\"http\""},
      {"mqtt://", "not a host name"},
      {"mqtt://:1883", "not a host name"},
      {"mqtt://a b", "not a host name"},
      {"mqtt://broker:", "not a port"},
      {"mqtt://broker:0", "not a port"},
      {"mqtt://broker:65536", "not a port"},
      {"mqtt://broker:18x", "not a port"},
      {"mqtt://broker/topic", "ends with its port"},
      {"mqtt://::1", "must be in brackets"},
      {"mqtt://[::1", "not an IPv6 address"},
      {"mqtt://[broker]:1", "not an IPv6 address"},
      {"mqtt://[::1]x", "not a port"},
      {"mqtt://user:hunter2@broker", "must not hold a user"},
      {"tcp://user:hunter2@broker", "write mqtt://"},
      {"user:hunter2@broker", "write mqtt://"},
  }));
  INFO(row.url);
  const auto broker = parse_broker(row.url);
  REQUIRE_FALSE(broker.ok());
  CHECK(broker.error().code == Errc::invalid);
  CHECK_THAT(broker.error().text, Catch::Contains(row.part));
  CHECK_THAT(broker.error().text, !Catch::Contains("hunter2"));
}

TEST_CASE("this machine is known as such", "[config]") {
  CHECK(is_loopback(*parse_broker("mqtt://127.1.2.3")));
  CHECK(is_loopback(*parse_broker("mqtt://localhost")));
  CHECK(is_loopback(*parse_broker("mqtt://[::1]")));
  CHECK_FALSE(is_loopback(*parse_broker("mqtt://broker")));
}

}  // namespace penstock::config::tests
