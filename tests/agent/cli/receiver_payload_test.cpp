// Payloads come from a network: each must be read exactly or refused, never in part.
#include <catch2/catch.hpp>

#include "agent/base/wire.hpp"
#include "agent/cli/receive_payload.hpp"

namespace penstock::cli {
namespace {

const std::string head =
    R"({"time":"2026-11-23T21:39:15.276123Z","device":"gw-7","stream":"app","epoch":"9f3c2a7e","seq":)";

TEST_CASE("a batch is cut into its events exactly") {
  const std::string first = head + R"(1200,"site":"a]b,{}","temp":21.53,"n":null,"ok":true})";
  const std::string second = head + R"(1201,"message":"a \"quoted\" \\ line \u20ac","x":-1.5e-7})";
  std::vector<ReceivedEvent> events;
  const std::string batch = "[" + first + "," + second + "]";
  REQUIRE(read_batch(batch, events).ok());
  REQUIRE(events.size() == 2);
  CHECK(events[0].text == first);
  CHECK(events[1].text == second);
  CHECK(events[0].identity.device == "gw-7");
  CHECK(events[0].identity.stream == "app");
  CHECK(events[0].identity.epoch == "9f3c2a7e");
  CHECK(events[0].identity.seq == 1200);
  CHECK_FALSE(events[0].identity.is_loss_record);
  CHECK(events[1].identity.seq == 1201);
  CHECK(events[0].identity.hash != events[1].identity.hash);
}

TEST_CASE("loss records as the agent writes them are understood") {
  std::string text = "[";
  append_loss_record(text, EventHead("gw", "app/x", "e"), 1'764'000'000'000'000, 7, 12,
                     LossReason::buffer_full, true);
  text += ',';
  append_loss_record(text, EventHead("gw", "app/x", "e"), 1'764'000'000'000'000, 19, 1,
                     LossReason::source, false);
  text += ']';
  std::vector<ReceivedEvent> events;
  REQUIRE(read_batch(text, events).ok());
  REQUIRE(events.size() == 2);
  CHECK(events[0].identity.is_loss_record);
  CHECK(events[0].identity.seq == 7);
  CHECK(events[0].identity.lost == 12);
  CHECK(events[1].identity.lost == 1);
}

TEST_CASE("what is no batch is refused whole, with a reason") {
  const std::string good = head + "1}";
  const std::string text = GENERATE_COPY(
      std::string(), std::string("[]"), std::string("{}"), std::string("["), "[" + good,
      "[" + good + ",]", "[" + good + "]x", "[ " + good + "]", "[" + good + "," + head + "}]",
      "[" + head + "-1}]", "[" + head + "01}]", "[" + head + "18446744073709551616}]",
      "[" + head + "18446744073709551615}]", "[" + head + "1.5}]", "[" + head + "1,\"a\":}]",
      "[" + head + "1,\"a\":tru}]", "[" + head + "1,\"a\":[1]}]", "[" + head + "1,\"a\":{}}]",
      "[" + head + "1,\"a\":01}]", "[" + head + "1,\"a\":1.}]", "[" + head + "1,\"a\":\"\\x\"}]",
      "[" + head + "1,\"a\":\"\\u12g4\"}]", "[" + head + "1,\"a\":\"\n\"}]",
      "[" + head + "1,\"a\":\"\xff\"}]", "[" + head + "1,\"seq\":2}]", "[" + head + "1,\"a\"}]",
      "[" + head + "1,\"lost\":1,\"lost\":1}]", "[" + head + "1,\"lost\":18446744073709551615}]",
      "[" + head + "1,\"a\":\"", "[" + head + "1,\"a\":\"\\", std::string(R"([{"seq":1}])"),
      std::string(1000, '['));
  CAPTURE(text);
  std::vector<ReceivedEvent> events(1);
  const Result<void> read = read_batch(text, events);
  REQUIRE(!read.ok());
  CHECK(read.error().code == Errc::invalid);
  CHECK(events.size() == 1);
}

TEST_CASE("every prefix of a batch is refused, without reading past its end") {
  const std::string whole = "[" + head + R"(1,"a":"\u00e9\n","b":-0.5e+3,"c":null,"lost":2}])";
  std::vector<ReceivedEvent> events;
  REQUIRE(read_batch(whole, events).ok());
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const std::vector<char> exact(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    CHECK_FALSE(read_batch({exact.data(), exact.size()}, events).ok());
  }
}

}  // namespace
}  // namespace penstock::cli
