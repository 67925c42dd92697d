#include <catch2/catch.hpp>

#include "tests/config/fixture.hpp"

namespace penstock::config::tests {

using namespace std::chrono_literals;

TEST_CASE("the smallest useful file", "[config]") {
  const Run run(penstock::tests::read_file("config/samples/minimal.yaml"));
  INFO(run.text());
  REQUIRE(run.is_ok());
  const AgentConfig& config = run.values();
  CHECK(config.agent.id == "gw-7");
  CHECK(config.agent.id_was_given);
  CHECK(config.agent.log_level == "info");
  CHECK(config.buffer.path == "/var/lib/penstock/buffer");
  CHECK(config.buffer.max_size == 256u << 20);
  CHECK(config.buffer.keep_free == 64u << 20);
  CHECK(config.buffer.preallocate);
  CHECK(config.buffer.write_budget_bytes_per_s == Approx(500e6 / 86'400));
  CHECK(config.buffer.commit.every == 1s);
  CHECK(config.buffer.commit.max_delay == 10s);
  CHECK(config.buffer.commit.bytes == 2u << 20);
  REQUIRE(config.upstream.has_value());
  REQUIRE(config.upstream->brokers.size() == 1);
  CHECK(config.upstream->brokers[0].port == 1883);
  CHECK(config.upstream->protocol == "auto");
  CHECK_FALSE(config.upstream->has_password);
  CHECK(config.upstream->prefix == "penstock");
  CHECK(config.upstream->topic == "{prefix}/{device}/{kind}/{stream}");
  CHECK(config.upstream->compression == "none");
  CHECK(config.upstream->batch_events_max == 500);
  CHECK(config.upstream->batch_bytes_max == 96u << 10);
  CHECK(config.upstream->in_flight_max == 64);
  CHECK(config.upstream->rate_limit_bytes_per_s == 0);
  CHECK(config.upstream->keep_alive == 60s);
  CHECK(config.upstream->ack_timeout == 30s);
  CHECK(config.upstream->failover_after == 20s);
  CHECK(config.upstream->back_to_first == 10min);
  REQUIRE(config.connectors.size() == 2);
  CHECK(config.connectors[0].name == "app");
  CHECK(config.connectors[0].type == "file");
  CHECK(config.connectors[0].streams_max == 4096);
  CHECK(config.connectors[0].section.text("start") == "beginning");
  CHECK(config.connectors[1].section.duration("every") == 1s);
}

TEST_CASE("the buffer of a file that is wrong elsewhere", "[config]") {
  const auto buffer_of = [](std::string_view yaml) {
    Run run;
    run.write("penstock.yaml", yaml);
    run.request.file = run.path("penstock.yaml");
    run.request.types = fake_types();
    return load_buffer(run.request, run.diagnostics);
  };
  constexpr std::string_view buffer = "buffer: {path: /b, max_size: 8MiB}\n";
  for (const std::string_view wrong :
       {"agent: {id: gw-7, log: {level: loud}}", "upstream: {brokers: [x], password: secret}",
        "connectors: {a: {type: none}}", "version: 2", "defaults: {every: never}"}) {
    INFO(wrong);
    const auto settings = buffer_of(std::string(buffer) + std::string(wrong));
    REQUIRE(settings.ok());
    CHECK(settings->path == "/b");
    CHECK(settings->max_size == 8u << 20);
  }
  for (const std::string_view wrong : {"buffer: {path: /b, max_size: many}", "bufer: {path: /b}",
                                       "buffer: [", "buffer: {path: \"${NONE_OF_THE_SET}\"}"}) {
    INFO(wrong);
    CHECK(buffer_of(wrong).error().code == Errc::invalid);
  }
}

TEST_CASE("a secret for the broker may come later", "[config]") {
  const auto found = [](std::string_view yaml) {
    const Run run(std::string("agent: {id: gw-7}\n") + std::string(yaml));
    INFO(run.text());
    CHECK(run.diagnostics.all().size() == 1);
    const Diagnostic& first = run.diagnostics.all().at(0);
    CHECK(run.is_ok() == (first.severity == Severity::warning));
    return first.code;
  };
  const std::string upstream = "upstream: {brokers: [\"mqtts://b\"], user: u, ";
  CHECK(found(upstream + "password: {file: /none/secret}}") == "W003");
  CHECK(found(upstream + "password: {credential: mqtt}}") == "W003");
  CHECK(found(upstream + "tls: {cert: /c, key: /k, key_password: {file: /none/secret}}}") ==
        "W003");
  CHECK(found(upstream + "password: {env: PENSTOCK_T_NOT_SET}}") == "C042");
  CHECK(found(upstream + "password: {file: /etc}}") == "C042");
}

TEST_CASE("the sample with every key", "[config]") {
  const Variable password("PENSTOCK_SAMPLE_PASSWORD", "hunter2");
  const Run run(penstock::tests::read_file("config/samples/full.yaml"));
  INFO(run.text());
  REQUIRE(run.is_ok());
  CHECK(run.diagnostics.all().empty());
  CHECK(run.values().upstream->section->secret("password")->reveal() == "hunter2");
  CHECK(run.values().upstream->tls.key == "/etc/penstock/tls/gw-7.key");
  CHECK(run.values().connectors[0].tags.at("tier") == "web");

  // Whoever adds an option adds it to the sample too.
  const std::string shown = run.loaded->shown_text;
  const auto check_keys = [&](auto& self, std::span<const Option> options) -> void {
    for (const Option& option : options) {
      INFO(option.name);
      CHECK_THAT(shown, Catch::Contains(std::string(option.name) + ":"));
      self(self, option.children);
    }
  };
  check_keys(check_keys, root_options());
  check_keys(check_keys, connector_common_options());
}

TEST_CASE("without upstream the agent collects and keeps", "[config]") {
  const Run run(penstock::tests::read_file("config/samples/collect-only.yaml"));
  INFO(run.text());
  REQUIRE(run.is_ok());
  CHECK_FALSE(run.values().upstream.has_value());
  CHECK(run.values().buffer.path == default_state_dir() / "buffer");
}

TEST_CASE("a missing file is told, and nothing is made up", "[config]") {
  Run run;
  run.load();
  CHECK_FALSE(run.is_ok());
  CHECK(run.error.code == Errc::unavailable);
  CHECK_THAT(run.error.text, Catch::Contains("No such file"));
  REQUIRE(run.diagnostics.error_count() == 1);
  CHECK(run.diagnostics.all().front().code == "C016");
}

TEST_CASE("a directory and a huge file in place of the configuration", "[config]") {
  Run run;
  run.write("penstock.yaml/x", "");
  run.load();
  CHECK(run.error.code == Errc::unavailable);
  CHECK_THAT(run.error.text, Catch::Contains("directory"));

  const Run huge(std::string(10 << 20, '#'));
  CHECK(huge.error.code == Errc::invalid);
  REQUIRE(huge.diagnostics.error_count() == 1);
  CHECK(huge.diagnostics.all().front().code == "C012");
}

TEST_CASE("the id is made from the machine-id, and stays the same", "[config]") {
  const Run first("{}");
  const Run second("{}");
  REQUIRE(first.is_ok());
  CHECK_FALSE(first.values().agent.id_was_given);
  CHECK(first.values().agent.id == "a6fb20ea0705");
  CHECK(first.values().agent.id == second.values().agent.id);

  Run other;
  other.write("penstock.yaml", "{}");
  other.write("machine-id", "fedcba9876543210\n");
  other.load();
  REQUIRE(other.is_ok());
  CHECK(other.values().agent.id != first.values().agent.id);
}

TEST_CASE("without a machine-id one line says what to do", "[config]") {
  const auto* content = GENERATE("", "\n", "uninitialized\n");
  Run run;
  run.write("penstock.yaml", "{}");
  run.write("machine-id", content);
  run.load();
  CHECK_FALSE(run.is_ok());
  REQUIRE(run.diagnostics.error_count() == 1);
  CHECK(run.diagnostics.all().front().code == "C050");
  CHECK(run.diagnostics.all().front().message ==
        "agent.id is not given and " + run.path("machine-id") + " is missing: set agent.id");
}

TEST_CASE("defaults.every is for connectors that have it and do not set it", "[config]") {
  const Run run(
      "defaults: {every: 30s}\nconnectors:\n  a: {type: host}\n  b: {type: host, every: 5s}\n"
      "  c: {type: file, paths: /a}\n  d: {type: plc, address: x}\n");
  INFO(run.text());
  REQUIRE(run.is_ok());
  CHECK(run.values().connectors[0].section.duration("every") == 30s);
  CHECK(run.values().connectors[1].section.duration("every") == 5s);
  CHECK(run.values().connectors[3].section.duration("every") == 30s);
}

TEST_CASE("defaults.every is held to the bounds of each type", "[config]") {
  const Run run(
      "defaults: {every: 50ms}\nconnectors: {a: {type: host}, b: {type: plc, address: x}}\n");
  REQUIRE(run.diagnostics.error_count() == 1);
  const Diagnostic& found = run.diagnostics.all().front();
  CHECK(found.path == "connectors.a.every");
  CHECK(found.place.line == 1);
  CHECK(found.place.column == 19);
}

TEST_CASE("choices and switches", "[config]") {
  const Run run(
      "buffer: {write_budget: off, preallocate: false, path: buf}\n"
      "upstream:\n  brokers: mqtts://b\n  protocol: 5\n  rate_limit: 64KiB/s\n"
      "  failover: {back_to_first: off}\n  keep_alive: 5m\n"
      "connectors: {x: {type: host, collect: cpu, max_streams: 10}}\n");
  INFO(run.text());
  REQUIRE(run.is_ok());
  CHECK(run.values().buffer.write_budget_bytes_per_s == 0);
  CHECK(run.values().buffer.path == std::filesystem::current_path() / "buf");
  CHECK(run.values().upstream->protocol == "5");
  CHECK(run.values().upstream->rate_limit_bytes_per_s == 65'536);
  CHECK(run.values().upstream->back_to_first == 0s);
  CHECK(run.values().upstream->keep_alive == 5min);
  CHECK(run.values().connectors[0].streams_max == 10);
  CHECK(run.values().connectors[0].section.text_list("collect") == std::vector<std::string>{"cpu"});
}

TEST_CASE("more streams than the buffer is made for are warned of", "[config]") {
  const std::string buffer = "buffer: {max_size: 8MiB}\n";
  CHECK(Run(buffer + "connectors: {x: {type: host, max_streams: 4096}}\n").text().empty());
  const Run run(buffer + "connectors: {x: {type: host, max_streams: 4097}}\n");
  CHECK(run.is_ok());
  REQUIRE(run.diagnostics.all().size() == 1);
  const Diagnostic& found = run.diagnostics.all().front();
  CHECK(found.severity == Severity::warning);
  CHECK(found.path == "connectors.x.max_streams");
  CHECK(found.message.find("beyond 4096") != std::string::npos);
}

TEST_CASE("a connector says how it is kept, or takes what the buffer says", "[config]") {
  const Run run(
      "buffer: {max_size: 100MiB, when_full: drop_newest, priority: low, max_share: 50%, "
      "max_age: 14d}\n"
      "connectors:\n  a: {type: host}\n"
      "  b: {type: host, when_full: block, priority: high, max_share: 8MiB}\n"
      "  c: {type: host, max_share: off}\n");
  INFO(run.text());
  REQUIRE(run.is_ok());
  CHECK(run.values().buffer.max_age == 14 * 24h);
  const auto& all = run.values().connectors;
  CHECK(all[0].when_full == "drop_newest");
  CHECK(all[0].priority == "low");
  CHECK(all[0].share_bytes_max == std::uint64_t{50} << 20);
  CHECK(all[1].when_full == "block");
  CHECK(all[1].priority == "high");
  CHECK(all[1].share_bytes_max == std::uint64_t{8} << 20);
  CHECK(all[2].share_bytes_max == 0);
}

TEST_CASE("a share that is none is told at its place", "[config]") {
  for (const char* share : {"0%", "101%", "x%", "10", "1KiB"}) {
    const Run run(std::string("connectors: {x: {type: host, max_share: \"") + share + "\"}}\n");
    INFO(share << run.text());
    CHECK_FALSE(run.is_ok());
    CHECK(run.text().find("max_share") != std::string::npos);
  }
}

TEST_CASE("warnings do not stop anything", "[config]") {
  const Variable password("PENSTOCK_T_PASSWORD", "hunter2");
  const Run run(
      "upstream:\n  brokers: [mqtt://broker.example.net]\n  user: u\n"
      "  password: {env: PENSTOCK_T_PASSWORD}\n  tls: {insecure: true}\n");
  INFO(run.text());
  REQUIRE(run.is_ok());
  CHECK(run.diagnostics.warning_count() == 3);
  CHECK_THAT(run.text(), Catch::Contains("certificate is not checked"));
  CHECK_THAT(run.text(), Catch::Contains("no broker is mqtts://"));
  CHECK_THAT(run.text(), Catch::Contains("\"broker.example.net\" unencrypted"));
  const Run local(
      "upstream:\n  brokers: [mqtt://127.0.0.1, mqtts://b]\n  user: u\n"
      "  password: {env: PENSTOCK_T_PASSWORD}\n  tls: {ca: /x}\n");
  CHECK(local.diagnostics.all().empty());
  const Run weaker("upstream: {brokers: mqtt://b, qos: 0}\n");
  CHECK(weaker.is_ok());
  CHECK_THAT(weaker.text(), Catch::Contains("warning[W004]"));
  const Run verified("upstream: {brokers: mqtt://b, qos: 0, ack: receiver, receivers: a}\n");
  CHECK(verified.diagnostics.all().empty());
}

TEST_CASE("default paths", "[config]") {
  {
    const Variable state("STATE_DIRECTORY", "/run/a:/run/b");
    CHECK(default_state_dir() == "/run/a");
  }
  CHECK(default_state_dir().is_absolute());
  CHECK(default_config_file().filename() == "penstock.yaml");
}

}  // namespace penstock::config::tests
