#include "agent/forward/message.hpp"

#include <zstd.h>

#include <catch2/catch.hpp>
#include <limits>

#include "tests/support/fake_store.hpp"

using namespace penstock;
using namespace penstock::forward;
using penstock::tests::FakeStore;

namespace {

constexpr std::string_view default_topic = "{prefix}/{device}/{kind}/{stream}";

MessageEncoder encoder(Compression compression = Compression::none) {
  return MessageEncoder::make(
             {"penstock", "gw-7", "9f3c2a7e", std::string(default_topic), compression})
      .value();
}

buffer::Row only_row(const FakeStore& store) {
  return store.rows_after(buffer::Priority::normal, 0, 1 << 20).value().at(0);
}

Limits with_packet(std::uint64_t bytes) {
  Limits limits;
  limits.packet_bytes_max = bytes;
  return limits;
}

std::string property(const OutgoingMessage& message, std::string_view name) {
  for (const auto& [key, value] : message.properties) {
    if (key == name) return value;
  }
  return {};
}

std::string decompressed(const std::string& frame) {
  std::string out(ZSTD_getFrameContentSize(frame.data(), frame.size()), '\0');
  REQUIRE(ZSTD_decompress(out.data(), out.size(), frame.data(), frame.size()) == out.size());
  return out;
}

}  // namespace

TEST_CASE("topic templates") {
  const auto good = [](std::string_view text) {
    const auto parsed = TopicTemplate::parse(text, "penstock", "gw-7");
    REQUIRE(parsed.ok());
    return parsed->topic("data", "app/x");
  };
  CHECK(good(default_topic) == "penstock/gw-7/data/app/x");
  CHECK(good("a/{stream}") == "a/app/x");
  CHECK(good("v1/devices/me/telemetry") == "v1/devices/me/telemetry");
  CHECK(good("{kind}-{device}/{prefix}/{stream}/z") == "data-gw-7/penstock/app/x/z");

  for (const std::string_view bad :
       {"", "a/{streams}", "a/{stream", "/{stream}", "{stream}/", "a//{stream}", "a+/{stream}",
        "#/{stream}", "$a/{stream}", "a b/{stream}", "\xC3\xA4/{stream}"}) {
    INFO(bad);
    const auto parsed = TopicTemplate::parse(bad, "penstock", "gw-7");
    REQUIRE_FALSE(parsed.ok());
    CHECK(parsed.error().code == Errc::invalid);
  }
  CHECK_FALSE(TopicTemplate::parse(default_topic, "", "gw-7").ok());
  CHECK_FALSE(is_valid_topic(std::string(513, 'a')));
  CHECK_FALSE(is_valid_topic(std::string_view("a\0b", 3)));
  CHECK_FALSE(MessageEncoder::make({"$sys", "d", "e", "x/{stream}", Compression::none}).ok());
}

TEST_CASE("a topic can carry what MQTT 5 says beside the payload") {
  FakeStore store;
  store.add_batch("app", 3, "hello");
  MessageSettings settings{"penstock", "gw-7", "9f3c2a7e",
                           "devices/{device}/messages/events/{properties}"};
  const auto topic_of = [&] {
    const auto out =
        MessageEncoder::make(settings).value().encode(only_row(store), "log/a%2Eb", {}, 0);
    REQUIRE(out.messages.size() == 1);
    return out.messages[0].topic;
  };
  CHECK(topic_of() ==
        "devices/gw-7/messages/events/$.ct=application%2Fjson&$.ce=utf-8&v=1&first=0&count=3&"
        "epoch=9f3c2a7e&stream=log%2Fa%252Eb");
  settings.compression = Compression::zstd;
  CHECK(topic_of() ==
        "devices/gw-7/messages/events/$.ct=application%2Fjson%2Bzstd&v=1&first=0&count=3&"
        "epoch=9f3c2a7e&stream=log%2Fa%252Eb");
}

TEST_CASE("arrays are split at their elements, whatever their texts hold") {
  using Elements = std::vector<std::string_view>;
  CHECK(split_array(R"([{"a":1},{"b":"}],[{"},{"c":"\"},{"}])") ==
        Elements{R"({"a":1})", R"({"b":"}],[{"})", R"({"c":"\"},{"})"});
  CHECK(split_array(R"([{"a":"\\"},{"b":{"c":[1,2]}}])") ==
        Elements{R"({"a":"\\"})", R"({"b":{"c":[1,2]}})"});
  CHECK(split_array("[]").empty());
  for (const std::string_view bad : {"", "[", "{}", "[{]", "[{\"a]", "[}{]", "[{}"}) {
    INFO(bad);
    CHECK(split_array(bad).empty());
  }
}

TEST_CASE("a batch becomes one message as it was stored") {
  FakeStore store;
  store.add_batch("app", 3, "hello");
  const auto row = only_row(store);
  const auto out = encoder().encode(row, "app", {}, 0);
  REQUIRE(out.messages.size() == 1);
  const OutgoingMessage& message = out.messages[0];
  CHECK(message.topic == "penstock/gw-7/data/app");
  CHECK(message.payload == buffer::content_of(row).value());
  CHECK(message.content_type == "application/json");
  CHECK(message.is_text);
  CHECK_FALSE(message.is_retained);
  CHECK(property(message, "v") == "1");
  CHECK(property(message, "first") == "0");
  CHECK(property(message, "count") == "3");
  CHECK(property(message, "epoch") == "9f3c2a7e");

  const auto zstd = encoder(Compression::zstd).encode(row, "app", {}, 0);
  REQUIRE(zstd.messages.size() == 1);
  CHECK(zstd.messages[0].topic == "penstock/gw-7/zstd/app");
  CHECK(zstd.messages[0].payload == row.stored);
  CHECK(zstd.messages[0].content_type == "application/json+zstd");
  CHECK_FALSE(zstd.messages[0].is_text);
}

TEST_CASE("an event over the broker's limit is lost only if no other broker may take it") {
  FakeStore store;
  store.add_batch("app", 2, std::string(2'000, 'x'));
  Limits limits = with_packet(1'000);
  limits.elsewhere_bytes_max = GENERATE(0, 1'500, 10'000);
  const auto out = encoder(Compression::none).encode(only_row(store), "app", limits, 0);
  const bool waits = limits.elsewhere_bytes_max == 10'000;
  CHECK(out.waits == waits);
  CHECK(out.refused_events == (waits ? 0 : 2));
}

TEST_CASE("a batch over the broker's limit is split at events, and nothing is missing") {
  FakeStore store;
  std::string text;
  for (int i = 0; i < 120; ++i) text += static_cast<char>('!' + (i * 7 + i / 9) % 90);
  store.add_batch("app", 100, text);
  const auto row = only_row(store);
  for (const Compression compression : {Compression::none, Compression::zstd}) {
    for (const Protocol protocol : {Protocol::v5, Protocol::v3_1_1}) {
      Limits limits = with_packet(compression == Compression::none ? 3'000 : 500);
      limits.protocol = protocol;
      const auto out = encoder(compression).encode(row, "app", limits, 0);
      REQUIRE(out.messages.size() > 1);
      CHECK(out.refused_events == 0);
      std::string joined = "[";
      std::uint64_t next = 0;
      for (const OutgoingMessage& message : out.messages) {
        CHECK(packet_bytes(message, protocol) <= limits.packet_bytes_max);
        CHECK(property(message, "first") == std::to_string(next));
        next += std::stoull(property(message, "count"));
        const std::string payload =
            compression == Compression::zstd ? decompressed(message.payload) : message.payload;
        if (joined.size() > 1) joined += ',';
        joined += payload.substr(1, payload.size() - 2);
      }
      CHECK(next == 100);
      CHECK(joined + "]" == buffer::content_of(row).value());
    }
  }
}

TEST_CASE("an event that no message can hold is told as refused in its place") {
  FakeStore store;
  store.add_batch("app", 2, R"(a "seq":99, text )" + std::string(4'000, 'x'));
  const auto out = encoder().encode(only_row(store), "app", with_packet(600), 0);
  REQUIRE(out.messages.size() == 2);
  CHECK(out.refused_events == 2);
  CHECK(out.messages[1].payload ==
        R"([{"time":"2025-11-24T16:00:00.000001Z","device":"gw-7","stream":"app",)"
        R"("epoch":"9f3c2a7e","seq":1,"lost":1,"reason":"refused"}])");
  CHECK(property(out.messages[1], "first") == "1");
}

TEST_CASE("loss rows and damaged rows become loss records") {
  FakeStore store;
  store.add_loss("app", 40, static_cast<std::uint8_t>(LossReason::buffer_full));
  const auto out = encoder().encode(only_row(store), "app", {}, 0);
  REQUIRE(out.messages.size() == 1);
  CHECK_FALSE(out.is_damaged);
  CHECK(out.messages[0].payload ==
        R"([{"time":"2025-11-24T16:00:00.000000Z","device":"gw-7","stream":"app",)"
        R"("epoch":"9f3c2a7e","seq":0,"lost":40,"reason":"buffer_full"}])");
  CHECK(property(out.messages[0], "count") == "40");

  FakeStore other;
  other.add_batch("app", 7);
  buffer::Row row = only_row(other);
  SECTION("known to be damaged") { row.is_damaged = true; }
  SECTION("found out when it is read") { row.stored.resize(row.stored.size() / 2); }
  SECTION("its content is no batch of that size") { row.key.count = 7, row.stored.clear(); }
  const auto damaged = encoder().encode(row, "app", {}, 1'764'000'000'000'000);
  REQUIRE(damaged.messages.size() == 1);
  CHECK(damaged.is_damaged);
  CHECK(damaged.messages[0].payload ==
        R"([{"time":"2025-11-24T16:00:00.000000Z","device":"gw-7","stream":"app",)"
        R"("epoch":"9f3c2a7e","seq":0,"lost":7,"reason":"corrupt"}])");
}

TEST_CASE("the size of a packet is counted as the protocol does") {
  OutgoingMessage message;
  message.topic = "a/b";
  message.payload = std::string(100, 'x');
  message.is_text = false;
  CHECK(packet_bytes(message, Protocol::v3_1_1) == 1 + 1 + 2 + 3 + 2 + 100);
  CHECK(packet_bytes(message, Protocol::v5) == 1 + 1 + 2 + 3 + 2 + 1 + 100);
  message.is_text = true;
  message.content_type = "t";
  message.properties = {{"n", "v"}};
  CHECK(packet_bytes(message, Protocol::v5) == 1 + 1 + 2 + 3 + 2 + 1 + (2 + 4 + 7) + 100);
  message.payload = std::string(200, 'x');
  CHECK(packet_bytes(message, Protocol::v3_1_1) == 1 + 2 + 2 + 3 + 2 + 200);
}
