#include <catch2/catch.hpp>

#include "tests/config/fixture.hpp"

namespace penstock::config::tests {
namespace {

constexpr const char* good_tls = "tls: {cert: /c.pem, key: /k.pem}";

/// An upstream section for this preset with these lines; its brokers are the first of them.
std::string section_of(const std::string& preset, const std::string& brokers,
                       const std::string& more) {
  return "agent: {id: gw-7}\nupstream:\n  preset: " + preset + "\n  brokers: [\"" + brokers +
         "\"]\n  " + more + "\nconnectors: {}\n";
}

std::string with(const std::string& brokers, const std::string& more = good_tls) {
  return section_of("aws_iot", brokers, more);
}

/// What is wrong, where, and what is said of it.
struct Case {
  std::string yaml;
  const char* place;
  const char* message;
  const char* help;
};

void check_told(const Case& broken) {
  const Run run(broken.yaml);
  INFO(run.text());
  CHECK_FALSE(run.is_ok());
  CHECK(run.diagnostics.error_count() == 1);
  CHECK_THAT(run.text(), Catch::Contains("error[C055]"));
  CHECK_THAT(run.text(), Catch::Contains(broken.place));
  CHECK_THAT(run.text(), Catch::Contains(broken.message));
  CHECK_THAT(run.text(), Catch::Contains(broken.help));
}

constexpr const char* endpoint = "mqtts://x-ats.iot.eu-west-1.amazonaws.com:8883";

}  // namespace

TEST_CASE("the sample for AWS IoT Core", "[config]") {
  const Run run(penstock::tests::read_file("config/samples/aws-iot.yaml"));
  INFO(run.text());
  REQUIRE(run.is_ok());
  CHECK(run.diagnostics.all().empty());
}

TEST_CASE("each limit of the preset aws_iot is told at its place with what to do", "[config]") {
  const std::string tls = std::string("\n  ") + good_tls;
  const Case broken = GENERATE_COPY(
      Case{with("mqtt://x.example:1883"), ":4:13", "no connection without TLS",
           "write mqtts://x.example:8883"},
      Case{with("ws://x.example:80/mqtt"), ":4:13", "no connection without TLS", "write mqtts://"},
      Case{with("mqtts://x.example:443"), ":4:13", "port 443 needs", "alpn: [x-amzn-mqtt-ca]"},
      Case{with(endpoint, "protocol: auto"), ":4:13", "by their certificate", "tls: {cert: FILE"},
      Case{with(endpoint, "batch: {bytes: 121KiB}" + tls), ":5:18", "limit 128 KB", "120KiB"},
      Case{with(endpoint, "keep_alive: 29s" + tls), ":5:15", "30 to 1200 s", "write 30s to 20m"},
      Case{with(endpoint, "keep_alive: 21m" + tls), ":5:15", "30 to 1200 s", "write 30s to 20m"},
      Case{with(endpoint, "client_id: " + std::string(129, 'c') + tls), ":5:14",
           "at most 128 bytes", "leave it out"},
      Case{with(endpoint, "prefix: " + std::string(182, 'p') + tls), ":5:11",
           "topics may get 257 bytes", "shorten prefix"});
  check_told(broken);
}

TEST_CASE("what is just within the preset aws_iot passes", "[config]") {
  const std::string tls = std::string("\n  ") + good_tls;
  const std::string good = GENERATE_COPY(
      with(endpoint), with(endpoint, "batch: {bytes: 120KiB}" + tls),
      with(endpoint, "keep_alive: 30s" + tls), with(endpoint, "keep_alive: 20m" + tls),
      with(endpoint, "client_id: " + std::string(128, 'c') + tls),
      with(endpoint, "prefix: " + std::string(181, 'p') + tls), with(endpoint, "user: gw-7"),
      with("mqtts://x.example:443", "tls: {cert: /c.pem, key: /k.pem, alpn: [x-amzn-mqtt-ca]}"),
      with("wss://x.example/mqtt"));
  const Run run(good);
  INFO(run.text());
  CHECK(run.is_ok());
}

namespace {

constexpr const char* hub = "mqtts://x.azure-devices.net:8883";

std::string azure(const std::string& brokers, const std::string& more = good_tls) {
  return section_of("azure_iot_hub", brokers, more);
}

}  // namespace

TEST_CASE("the sample for Azure IoT Hub has the hub's topic and names", "[config]") {
  const Run run(penstock::tests::read_file("config/samples/azure-iot-hub.yaml"));
  INFO(run.text());
  REQUIRE(run.is_ok());
  CHECK(run.diagnostics.all().empty());
  const UpstreamSettings& upstream = *run.values().upstream;
  CHECK(upstream.protocol == "3.1.1");
  CHECK(upstream.client_id == "gw-7");
  CHECK(upstream.has_one_client_id);
  CHECK(upstream.user == "example.azure-devices.net/gw-7/?api-version=2021-04-12");
  CHECK(upstream.topic == "devices/{device}/messages/events/{properties}");
  CHECK(upstream.has_one_topic);
  CHECK(upstream.packet_bytes_max == 256'000);
}

TEST_CASE("each limit of the preset azure_iot_hub is told at its place", "[config]") {
  const std::string tls = std::string("\n  ") + good_tls;
  check_told(GENERATE_COPY(
      Case{azure("mqtt://x.example"), ":4:13", "no connection without TLS",
           "write mqtts://x.example:8883"},
      Case{azure("mqtts://x.example:443"), ":4:13", "port 443 is for WebSocket",
           "or wss://x.example:443"},
      Case{azure("wss://x.example:8883"), ":4:13", "port 443 is for WebSocket",
           "write mqtts://x.example:8883"},
      Case{azure(hub, "qos: 1"), ":4:13", "a SAS token or a certificate", "password: {file: FILE}"},
      Case{azure(std::string(hub) + "\", \"mqtts://y.example"), ":4:49", "here is another",
           "write user: HUB/gw-7/?api-version=2021-04-12"},
      Case{azure(hub, "protocol: '5'" + tls), ":5:13", "MQTT 3.1.1", "leave it out"},
      Case{azure(hub, "client_id: penstock-gw-7" + tls), ":5:14", "the device's id",
           "it is agent.id, gw-7"},
      Case{azure(hub, "user: gw-7" + tls), ":5:9", "no user name of Azure IoT Hub",
           "HUB/gw-7/?api-version=2021-04-12"},
      Case{azure(hub, "batch: {bytes: 241KiB}" + tls), ":5:18", "limit 256 KB", "240KiB"},
      Case{azure(hub, "keep_alive: 1178s" + tls), ":5:15", "1177 s", "write 19m or less"},
      Case{azure(hub, "topic: \"a/{stream}\"" + tls), ":5:10", "one topic alone",
           "the topic is devices/gw-7/messages/events/"},
      Case{azure(hub, "prefix: plant" + tls), ":5:11", "one topic alone", "leave it out"},
      Case{azure(hub, "ack: receiver\n  receivers: [archive]" + tls), ":5:8",
           "no topics for receivers", "leave it out"}));
}

TEST_CASE("what is just within the preset azure_iot_hub passes", "[config]") {
  const std::string tls = std::string("\n  ") + good_tls;
  const std::string good = GENERATE_COPY(
      azure(hub), azure("wss://x.azure-devices.net"),
      azure(std::string(hub) + "\", \"wss://x.azure-devices.net"),
      azure(hub, "batch: {bytes: 240KiB}" + tls), azure(hub, "keep_alive: 1177s" + tls),
      azure(hub, "protocol: auto" + tls), azure(hub, "client_id: gw-7" + tls),
      azure(std::string(hub) + "\", \"mqtts://y.example",
            "user: x.azure-devices.net/gw-7/?api-version=2021-04-12" + tls),
      azure(hub, "compression: zstd" + tls));
  const Run run(good);
  INFO(run.text());
  CHECK(run.is_ok());
  CHECK(run.diagnostics.all().empty());
}

TEST_CASE("WebSocket to Azure IoT Hub goes to the hub's own path", "[config]") {
  Variable token("PENSTOCK_TEST_TOKEN", "SharedAccessSignature sr=x");
  struct Path {
    std::string yaml;
    const char* path;
  };
  const Path path = GENERATE(Path{azure("wss://x.example"), "/$iothub/websocket"},
                             Path{azure("wss://x.example", "password: {env: PENSTOCK_TEST_TOKEN}"),
                                  "/$iothub/websocket?iothub-no-client-cert=true"},
                             Path{azure("wss://x.example/$iothub/websocket"), "/$iothub/websocket"},
                             Path{azure("wss://x.example/other"), "/other"});
  const Run run(path.yaml);
  INFO(run.text());
  REQUIRE(run.is_ok());
  CHECK(run.values().upstream->brokers.at(0).path == path.path);
}

namespace {

constexpr const char* board = "mqtts://x.example";
constexpr const char* token_option = "password: {env: PENSTOCK_TEST_TOKEN}";

std::string thingsboard(const std::string& brokers, const std::string& more = token_option) {
  return section_of("thingsboard", brokers, more);
}

}  // namespace

TEST_CASE("the preset thingsboard has its topic and format, and the token as user", "[config]") {
  Variable token("PENSTOCK_TEST_TOKEN", "A1_TOKEN");
  const Run run(thingsboard(board));
  INFO(run.text());
  REQUIRE(run.is_ok());
  CHECK(run.diagnostics.all().empty());
  const UpstreamSettings& upstream = *run.values().upstream;
  CHECK(upstream.topic == "v1/devices/me/telemetry");
  CHECK(upstream.format == "thingsboard");
  CHECK(upstream.has_one_topic);
  CHECK(upstream.password_is_user);
  CHECK(upstream.batch_bytes_max == 48 << 10);
  CHECK(upstream.packet_bytes_max == 65'536);
  CHECK(upstream.protocol == "auto");
}

TEST_CASE("each limit of the preset thingsboard is told at its place", "[config]") {
  Variable token("PENSTOCK_TEST_TOKEN", "A1_TOKEN");
  const std::string more = std::string("\n  ") + token_option;
  check_told(GENERATE_COPY(
      Case{thingsboard(board, "qos: 1"), ":4:13", "an access token, and none is given",
           "write password: {file: FILE}"},
      Case{thingsboard(board, "format: json" + more), ":5:11", "a JSON of its own", "leave it out"},
      Case{thingsboard(board, "compression: zstd" + more), ":5:16", "a JSON of its own",
           "leave it out"},
      Case{thingsboard(board, "batch: {bytes: 61KiB}" + more), ":5:18", "limit 64 KB", "60KiB"},
      Case{thingsboard(board, "keep_alive: 601s" + more), ":5:15", "600 s", "write 10m or less"},
      Case{thingsboard(board, "topic: \"a/{stream}\"" + more), ":5:10", "one topic alone",
           "v1/devices/me/telemetry"},
      Case{thingsboard(board, "ack: receiver\n  receivers: [archive]" + more), ":5:8",
           "no topics for receivers", "leave it out"}));
}

TEST_CASE("what is just within the preset thingsboard passes", "[config]") {
  Variable token("PENSTOCK_TEST_TOKEN", "A1_TOKEN");
  const std::string more = std::string("\n  ") + token_option;
  const std::string good = GENERATE_COPY(
      thingsboard("mqtt://127.0.0.1"), thingsboard(board, "batch: {bytes: 60KiB}" + more),
      thingsboard(board, "keep_alive: 10m" + more), thingsboard(board, "user: gw" + more),
      thingsboard(board, "format: thingsboard\n  compression: none" + more),
      thingsboard(board, good_tls));
  const Run run(good);
  INFO(run.text());
  CHECK(run.is_ok());
  CHECK(run.diagnostics.all().empty());
}

TEST_CASE("an access token of ThingsBoard that stands in clear is warned of", "[config]") {
  const Run run(thingsboard(board, "user: A1_TOKEN"));
  CHECK(run.is_ok());
  CHECK_THAT(run.text(), Catch::Contains("warning[W001]") && Catch::Contains(":5:9") &&
                             Catch::Contains("password: {file: FILE} without user"));
}

TEST_CASE("without a preset its limits do not hold", "[config]") {
  const Run run("agent: {id: gw-7}\nupstream: {brokers: [\"mqtt://h\"], batch: {bytes: 1MiB}}\n");
  INFO(run.text());
  CHECK(run.is_ok());
}

}  // namespace penstock::config::tests
