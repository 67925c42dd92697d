#include <catch2/catch.hpp>

#include "tests/config/fixture.hpp"

namespace penstock::config::tests {
namespace {

constexpr const char* good_tls = "tls: {cert: /c.pem, key: /k.pem}";

/// An upstream section for AWS IoT Core with these lines; its brokers are the first of them.
std::string with(const std::string& brokers, const std::string& more = good_tls,
                 const std::string& id = "gw-7") {
  return "agent: {id: " + id + "}\nupstream:\n  preset: aws_iot\n  brokers: [\"" + brokers +
         "\"]\n  " + more + "\nconnectors: {}\n";
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
  struct Case {
    std::string yaml;
    const char* place;
    const char* message;
    const char* help;
  };
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
  const Run run(broken.yaml);
  INFO(run.text());
  CHECK_FALSE(run.is_ok());
  CHECK(run.diagnostics.error_count() == 1);
  CHECK_THAT(run.text(), Catch::Contains("error[C055]"));
  CHECK_THAT(run.text(), Catch::Contains(broken.place));
  CHECK_THAT(run.text(), Catch::Contains(broken.message));
  CHECK_THAT(run.text(), Catch::Contains(broken.help));
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

TEST_CASE("without a preset its limits do not hold", "[config]") {
  const Run run("agent: {id: gw-7}\nupstream: {brokers: [\"mqtt://h\"], batch: {bytes: 1MiB}}\n");
  INFO(run.text());
  CHECK(run.is_ok());
}

}  // namespace penstock::config::tests
