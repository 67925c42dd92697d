#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <future>

#include "connectors/api/connector.hpp"
#include "tests/support/mqtt_broker.hpp"
#include "tests/support/net.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::connectors::mqtt {
extern const ConnectorType type;
namespace {

using tests::FakeSession;
using tests::MqttBroker;
using tests::RunningConnector;
using tests::wait_for;

std::unique_ptr<Connector> make(const std::string& yaml, std::string* findings = nullptr) {
  config::Diagnostics diagnostics;
  auto section = config::Section::parse(yaml, type.options, diagnostics);
  std::unique_ptr<Connector> connector;
  if (section.ok()) {
    if (auto made = type.make(*section); made.ok()) connector = *std::move(made);
  }
  if (findings != nullptr) *findings = diagnostics.to_text(false);
  return connector;
}

std::string yaml_for(const MqttBroker& broker, const std::string& more = "") {
  return fmt::format("broker: {}\ntopics: [a/#]\nack_every: 0\n{}", broker.url(), more);
}

std::vector<std::string> messages(const FakeSession& session) {
  std::vector<std::string> out;
  for (const auto& event : session.events()) out.push_back(event.text("message"));
  return out;
}

/// What run() returns by itself.
Result<void> end_of(Connector& connector, FakeSession& session) {
  auto running = std::async(std::launch::async, [&] { return connector.run(session); });
  if (running.wait_for(tests::net_patience) != std::future_status::ready) session.request_stop();
  return running.get();
}
Result<void> end_of(Connector& connector) {
  FakeSession session;
  return end_of(connector, session);
}

using Texts = std::vector<std::string>;

/// Whether a connection's thread is there.
bool is_served() {
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream file(task.path() / "comm");
    std::string name;
    if (std::getline(file, name) && name == "mqtt") return true;
  }
  return false;
}

TEST_CASE("topics become streams; what is special about a message is a field") {
  MqttBroker broker;
  const auto connector = make(yaml_for(broker));
  RunningConnector running(*connector);
  broker.publish("a/b c", "kept", 1, true);
  broker.publish("a/d", "new", 0);
  broker.publish("a/d", "\xFF", 1);
  REQUIRE(running.wait_for_events(3));
  const auto events = running.session.events();
  CHECK(events[0].part == "a/b c");
  CHECK(events[0].has("retained"));
  CHECK(events[1].part == "a/d");
  CHECK_FALSE(events[1].has("retained"));
  CHECK_FALSE(events[1].has("topic"));
  CHECK(events[2].has("invalid_utf8"));
  CHECK(running.stop().ok());
  CHECK(wait_for([&] { return broker.seen().disconnects == 1; }));
}

TEST_CASE("one stream for all, with the topic as a field; payloads by format") {
  const auto [format, payload, name] = GENERATE(table<std::string, std::string, std::string>({
      {"json", R"({"x":{"y":1}})", "x_y"},
      {"number", " 21.5\n", "value"},
      {"influx", "m v=1i 1795633100123456789", "v"},
      {"base64", "\x01\xFF", "message"},
  }));
  MqttBroker broker;
  const auto connector =
      make(yaml_for(broker, "stream_per_topic: false\nformat: " + format + "\n"));
  RunningConnector running(*connector);
  broker.publish("a/t", payload, 1);
  REQUIRE(running.wait_for_events(1));
  const auto event = running.session.events().at(0);
  CHECK(event.has(name));
  CHECK(event.text("topic") == "a/t");
}

TEST_CASE("CONNECT and SUBSCRIBE say what the options say") {
  const tests::TempDir folder;
  tests::write_file(folder.path() / "secret", "open sesame\n");
  std::filesystem::permissions(folder.path() / "secret", std::filesystem::perms::owner_read);
  MqttBroker broker;
  const auto connector = make(
      yaml_for(broker, fmt::format("client_id: me\nuser: u\npassword: {{file: {}/secret}}\nqos: 2\n"
                                   "session_expiry: 1h\nreceive_max: 7\nretained: never\n",
                                   folder.path().string())));
  RunningConnector running(*connector);
  REQUIRE(wait_for([&] { return !broker.seen().filters.empty(); }));
  const auto seen = broker.seen();
  CHECK(seen.version == 5);
  CHECK_FALSE(seen.is_clean);
  CHECK(seen.client_id == "me");
  CHECK(seen.user == "u");
  CHECK(seen.password == "open sesame");
  CHECK(seen.session_expiry_s == 3600);
  CHECK(seen.receive_max == 7);
  CHECK(seen.filters == Texts{"a/#"});
  CHECK(seen.filter_options == (2 | 2 << 4));
}

TEST_CASE("nothing is acknowledged before the commit, and then in order") {
  const unsigned qos = GENERATE(1u, 2u);
  MqttBroker broker;
  std::promise<void> may_commit;
  auto committed = may_commit.get_future().share();
  std::atomic<bool> is_flushing = false;
  const auto connector = make(yaml_for(broker, fmt::format("qos: {}\n", qos)));
  RunningConnector running(*connector, {}, [&](FakeSession&) {
    is_flushing = true;
    committed.wait();
  });
  for (int i = 0; i < 5; ++i) broker.publish("a", std::to_string(i), qos);
  REQUIRE(wait_for([&] { return is_flushing.load(); }));
  CHECK(broker.seen().pubacks.empty());
  CHECK(broker.seen().pubrecs.empty());
  may_commit.set_value();
  REQUIRE(wait_for([&] { return broker.unacknowledged() == 0; }));
  const auto seen = broker.seen();
  CHECK((qos == 1 ? seen.pubacks : seen.pubcomps) == std::vector<std::uint16_t>{1, 2, 3, 4, 5});
  CHECK(messages(running.session) == Texts{"0", "1", "2", "3", "4"});
}

TEST_CASE("a connection lost before the acknowledgement repeats nothing") {
  const unsigned qos = GENERATE(1u, 2u);
  const bool is_old = GENERATE(false, true);
  MqttBroker broker;
  std::promise<void> may_commit;
  auto committed = may_commit.get_future().share();
  std::atomic<bool> is_flushing = false;
  const auto connector = make(
      yaml_for(broker, fmt::format("qos: {}\nprotocol: \"{}\"\n", qos, is_old ? "3.1.1" : "5")));
  FakeSession first;
  first.flush_hook = [&](FakeSession&) {
    is_flushing = true;
    committed.wait();
  };
  auto running = std::async(std::launch::async, [&] { return connector->run(first); });
  for (int i = 0; i < 3; ++i) broker.publish("a", std::to_string(i), qos);
  REQUIRE(wait_for([&] { return is_flushing.load() && !first.events().empty(); }));
  broker.drop_connection();
  REQUIRE(wait_for([] { return !is_served(); }));
  may_commit.set_value();
  const Result<void> end = running.get();
  REQUIRE_FALSE(end.ok());
  CHECK(end.error().code == Errc::unavailable);

  RunningConnector again(*connector, {}, {}, first.positions());
  broker.publish("a", "last", qos);
  REQUIRE(wait_for([&] { return broker.unacknowledged() == 0; }));
  Texts all = messages(first);
  const Texts rest = messages(again.session);
  all.insert(all.end(), rest.begin(), rest.end());
  CHECK(all == Texts{"0", "1", "2", "last"});
}

TEST_CASE("after a crash QoS 1 repeats are marked, and of QoS 2 there are none") {
  const unsigned qos = GENERATE(1u, 2u);
  MqttBroker broker;
  std::map<std::string, std::string, std::less<>> positions;
  const std::string yaml = yaml_for(broker, fmt::format("qos: {}\n", qos));
  {
    const auto crashed = make(yaml);
    FakeSession session;
    auto running = std::async(std::launch::async, [&] {
      // The commit has happened; of the acknowledgement the broker never hears.
      session.hook = [&](FakeSession& self) {
        if (self.events().empty()) return;
        broker.drop_connection();
        self.request_stop();
      };
      return crashed->run(session);
    });
    broker.publish("a", "x", qos);
    CHECK(running.get().ok());
    positions = session.positions();
    REQUIRE(messages(session) == Texts{"x"});
    REQUIRE(broker.unacknowledged() == 1);
  }
  const auto connector = make(yaml);
  RunningConnector running(*connector, {}, {}, positions);
  REQUIRE(wait_for([&] { return broker.unacknowledged() == 0; }));
  broker.publish("a", "y", qos);
  REQUIRE(wait_for([&] { return broker.unacknowledged() == 0; }));
  CHECK(messages(running.session) == (qos == 1 ? Texts{"x", "y"} : Texts{"y"}));
  if (qos == 1) CHECK(running.session.events().at(0).has("redelivered"));
}

TEST_CASE("identifiers that are used again for the same content are no repeats") {
  MqttBroker broker({.reuses_ids = true});
  const auto connector = make(yaml_for(broker, "qos: 2\n"));
  RunningConnector running(*connector);
  for (std::size_t i = 0; i < 4; ++i) {
    broker.publish("a", "on", 2);
    REQUIRE(wait_for([&] { return broker.seen().pubcomps.size() == i + 1; }));
  }
  CHECK(messages(running.session) == Texts{"on", "on", "on", "on"});
  CHECK(running.session.positions().size() == 1);  // the filters: no identifier is left over
}

TEST_CASE("a session that the broker forgot is begun anew") {
  MqttBroker broker;
  const auto connector = make(yaml_for(broker, "qos: 2\n"));
  std::map<std::string, std::string, std::less<>> stale{
      {"q000", std::string("\x01\x01\0xxxx", 7)}, {"q001", "?"}, {"filters", "old"}};
  RunningConnector running(*connector, {}, {}, stale);
  broker.publish("a", "x", 2);
  REQUIRE(running.wait_for_events(1));
  REQUIRE(wait_for([&] { return broker.unacknowledged() == 0; }));
  CHECK(wait_for([&] { return running.session.positions().count("q000") == 0; }));
  CHECK(broker.seen().unsubscribed.empty());
}

TEST_CASE("filters that were taken out of the configuration are unsubscribed") {
  MqttBroker broker;
  std::map<std::string, std::string, std::less<>> positions;
  {
    const auto connector = make(yaml_for(broker) + "add_topic: true\n");
    RunningConnector running(*connector);
    broker.publish("a", "x", 1);
    REQUIRE(wait_for([&] { return broker.seen().pubacks.size() == 1; }));
    positions = running.session.positions();
  }
  const auto connector = make(fmt::format("broker: {}\ntopics: [b]\n", broker.url()));
  RunningConnector running(*connector, {}, {}, positions);
  REQUIRE(wait_for([&] { return !broker.seen().unsubscribed.empty(); }));
  CHECK(broker.seen().unsubscribed == Texts{"a/#"});
}

TEST_CASE("while the buffer blocks, nothing is read, and pings go on") {
  MqttBroker broker({.window = 60'000, .keep_alive_s = 1});
  std::promise<void> may_commit;
  auto committed = may_commit.get_future().share();
  const auto connector = make(yaml_for(broker, "message_bytes_max: 1MiB\n"));
  RunningConnector running(*connector, {}, [&](FakeSession&) { committed.wait(); });
  const std::string big(1'000'000, 'x');
  for (int i = 0; i < 12; ++i) broker.publish("a", big, 1);
  CHECK(wait_for([&] { return broker.seen().pings >= 1; }));
  CHECK(running.session.events().size() < 12);
  may_commit.set_value();
  REQUIRE(wait_for([&] { return broker.unacknowledged() == 0; }));
  CHECK(running.session.events().size() == 12);
}

TEST_CASE("a broker that is silent when asked is given up") {
  MqttBroker broker({.is_silent = true});
  const auto connector = make(yaml_for(broker, "timeout: 100ms\n"));
  const auto end = end_of(*connector);
  REQUIRE_FALSE(end.ok());
  CHECK(end.error().text.find("no answer in time") != std::string::npos);
}

TEST_CASE("refusals are told in words") {
  const auto [behaviour, protocol, words] =
      GENERATE(table<MqttBroker::Behaviour, std::string, std::string>({
          {{.connack = 0x86}, "5", "wrong user or password (code 0x86)"},
          {{.connack = 0x04}, "3.1.1", "wrong user or password (code 0x04)"},
          {{.connack = 0x05}, "3.1.1", "not authorised"},
          {{.suback = 0x87}, "5", "not authorised"},
          {{.suback = 0x80}, "3.1.1", "unspecified error"},
          {{.knows_5 = false}, "5", "does not speak MQTT 5"},
          {{.closes_on_5 = true}, "5", "closed the connection instead of answering"},
      }));
  MqttBroker broker(behaviour);
  const auto connector = make(yaml_for(broker, "protocol: \"" + protocol + "\"\n"));
  const auto end = end_of(*connector);
  REQUIRE_FALSE(end.ok());
  CHECK(end.error().code == Errc::unavailable);
  CAPTURE(end.error().text);
  CHECK(end.error().text.find(words) != std::string::npos);
  CHECK(end.error().text.find(broker.url()) == 0);
}

TEST_CASE("with protocol: auto a broker without MQTT 5 is spoken to in 3.1.1") {
  const bool closes = GENERATE(false, true);
  MqttBroker broker({.knows_5 = false, .closes_on_5 = closes});
  const auto connector = make(yaml_for(broker));
  for (int i = 0; closes && i < 2; ++i) REQUIRE_FALSE(end_of(*connector).ok());
  RunningConnector running(*connector);
  broker.publish("a", "x", 1);
  REQUIRE(running.wait_for_events(1));
  CHECK(broker.seen().version == 4);
}

TEST_CASE("a broker that has answered MQTT 5 is not taken for an old one when it closes") {
  const std::uint16_t port = tests::free_port();
  const auto connector =
      make(fmt::format("broker: mqtt://127.0.0.1:{}\ntopics: [a]\ntimeout: 100ms\n", port));
  {
    MqttBroker broker({.is_silent = true}, port);
    REQUIRE_FALSE(end_of(*connector).ok());
    REQUIRE(broker.seen().version == 5);
  }
  MqttBroker broker({.closes_on_5 = true}, port);
  for (int i = 0; i < 5; ++i) REQUIRE_FALSE(end_of(*connector).ok());
  CHECK(broker.seen().version == 5);
}

TEST_CASE("the broker's last words are told, and bytes that are no MQTT end the connection") {
  const auto [bytes, words] = GENERATE(table<std::string, std::string>({
      {"\xE0\x01\x8E", "another client has connected with this client_id (code 0x8e)"},
      {"\x82\x01x", "a packet that is not MQTT"},
  }));
  MqttBroker broker;
  const auto connector = make(yaml_for(broker));
  FakeSession session;
  auto running = std::async(std::launch::async, [&] { return end_of(*connector, session); });
  REQUIRE(wait_for([&] { return !broker.seen().filters.empty(); }));
  broker.send(bytes);
  const auto end = running.get();
  REQUIRE_FALSE(end.ok());
  CHECK(end.error().text.find(words) != std::string::npos);
}

TEST_CASE("long payloads are cut, and bad ones are acknowledged, not stored") {
  MqttBroker broker;
  const auto text = make(yaml_for(broker, "message_bytes_max: 64B\n"));
  {
    RunningConnector running(*text);
    broker.publish("a", std::string(100, 'x'), 1);
    REQUIRE(running.wait_for_events(1));
    CHECK(running.session.events().at(0).text("message") == std::string(64, 'x'));
    CHECK(running.session.events().at(0).cut);
    REQUIRE(wait_for([&] { return broker.unacknowledged() == 0; }));
  }
  const auto json = make(yaml_for(broker, "message_bytes_max: 64B\nformat: json\n"));
  RunningConnector running(*json);
  broker.publish("a", "{", 1);
  broker.publish("a", "{\"k\":\"" + std::string(100, 'x') + "\"}", 1);
  broker.publish("a", "{\"k\":1}", 1);
  REQUIRE(wait_for([&] { return broker.unacknowledged() == 0; }));
  CHECK(running.session.events().size() == 1);
}

TEST_CASE("QoS 0 and clean sessions are for the buffer to drop; others wait at the broker") {
  const std::string base = "broker: mqtt://127.0.0.1\ntopics: a\n";
  CHECK(make(base)->is_rereadable() == true);
  CHECK(make(base + "qos: 0\n")->is_rereadable() == false);
  CHECK(make(base + "clean_start: true\n")->is_rereadable() == false);
}

TEST_CASE("what is wrong with the options is said at its place") {
  const auto [yaml, words] = GENERATE(table<std::string, std::string>({
      {"broker: tcp://h\ntopics: a\n", "cannot have the scheme"},
      {"broker: mqtt://h\ntopics: []\n", "no topic filter"},
      {"broker: mqtt://h\ntopics: a/#/b\n", "# is the last level"},
      {"broker: mqtt://h\ntopics: a+/b\n", "stand alone in their level"},
      {"broker: mqtt://h\ntopics: \"\"\n", "is not empty"},
      {"broker: mqtt://h\ntopics: a\npassword: {env: HOME}\n", "needs a user"},
      {"broker: mqtt://h\ntopics: a\ntls: {ca: x}\n", "does not ask for TLS"},
      {"broker: mqtts://h\ntopics: a\ntls: {cert: x}\n", "cert and key"},
      {"broker: mqtt://h\ntopics: a\nclean_start: true\nsession_expiry: 1h\n", "no session"},
  }));
  std::string findings;
  CHECK(make(yaml, &findings) == nullptr);
  CAPTURE(yaml, findings);
  CHECK(findings.find(words) != std::string::npos);
}

TEST_CASE("filters that overlap are warned of") {
  const auto [topics, is_warned] = GENERATE(table<std::string, bool>({{"[a/b, a/#]", true},
                                                                      {"[a, a/#]", true},
                                                                      {"[a/+/c, +/b/c]", true},
                                                                      {"[a/b, a/c]", false},
                                                                      {"[a, a/b]", false},
                                                                      {"[a/+, a/b/c]", false},
                                                                      {"[$SYS/x, \"#\"]", false}}));
  CAPTURE(topics);
  std::string findings;
  CHECK(make("broker: mqtt://h\ntopics: " + topics + "\n", &findings) != nullptr);
  CHECK((findings.find("overlap") != std::string::npos) == is_warned);
}

}  // namespace
}  // namespace penstock::connectors::mqtt
