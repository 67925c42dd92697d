// Whatever format and compression a message has, the receiver has to see the same events.
#include "agent/cli/receive_formats.hpp"

#include <catch2/catch.hpp>
#include <vector>

#include "agent/cli/receive_payload.hpp"
#include "agent/forward/payload.hpp"

namespace penstock::cli {
namespace {

using forward::Compression;
using forward::Format;

constexpr std::size_t size_max = std::size_t{1} << 20;

const std::vector<std::string_view> events{
    R"({"time":"2026-11-23T21:39:15.276123Z","device":"gw-7","stream":"app","epoch":"9f3c2a7e","seq":1200,"site":"a,b","temp":21.53,"n":null,"ok":true,"no":false})",
    R"({"time":"2026-11-23T21:39:15.276123Z","device":"gw-7","stream":"app","epoch":"9f3c2a7e","seq":1201,"message":"a \"quoted\" \\ line\nand € {more}","x":-1.5e-07,"i":-7,"big":18446744073709551615})",
    R"({"time":"2026-11-23T21:39:16.000000Z","device":"gw-7","stream":"app","epoch":"9f3c2a7e","seq":1202,"lost":40,"reason":"buffer_full"})",
};

std::string array() {
  std::string out = "[";
  for (const std::string_view event : events) {
    if (out.size() > 1) out += ',';
    out += event;
  }
  return out + "]";
}

TEST_CASE("every format and compression is read back as the events that were stored") {
  const auto format = GENERATE(Format::json, Format::ndjson, Format::cbor);
  const auto compression = GENERATE(Compression::none, Compression::zstd, Compression::gzip);
  CAPTURE(static_cast<int>(format), static_cast<int>(compression));
  const auto encoded = forward::make_encoder(format, {})->encode(events);
  REQUIRE(encoded.ok());
  const std::string payload = forward::compressed(compression, *encoded);
  PayloadReader reader(size_max);
  const auto json = reader.as_json(payload, "");
  REQUIRE(json.ok());
  CHECK(*json == array());
  std::vector<ReceivedEvent> received;
  REQUIRE(read_batch(*json, received).ok());
  CHECK(received.size() == events.size());
  CHECK(received[2].identity.lost == 40);
}

TEST_CASE("line protocol is read back with its tags first and without what was null") {
  const auto compression = GENERATE(Compression::none, Compression::zstd, Compression::gzip);
  const std::vector<std::string_view> stored{
      R"({"time":"2026-11-23T21:39:15.276123Z","device":"gw-7","stream":"app/a%2Eb","epoch":"9f3c2a7e","seq":1999999,"temp":21.53,"n":null,"ok":true,"site":"a,b =c","i":-7})",
      R"({"time":"1969-12-31T23:59:59.000001Z","device":"gw-7","stream":"app/a%2Eb","epoch":"9f3c2a7e","seq":2000000,"a b":"line\n\"x\" \\ 7i,y=1 ","big":18446744073709551615,"x":-1.5e-07})",
      R"({"time":"2026-11-23T21:39:16.000000Z","device":"gw-7","stream":"app/a%2Eb","epoch":"9f3c2a7e","seq":2000001,"lost":40,"reason":"buffer_full","exact":false})",
  };
  const auto encoder = forward::make_encoder(Format::influx, {{"app", {"site"}}});
  const auto encoded = encoder->encode(stored);
  REQUIRE(encoded.ok());
  PayloadReader reader(size_max);
  const std::string payload = forward::compressed(compression, *encoded);
  const auto json = reader.as_json(payload, "");
  REQUIRE(json.ok());
  std::vector<ReceivedEvent> received;
  REQUIRE(read_batch(*json, received).ok());
  REQUIRE(received.size() == stored.size());
  CHECK(
      received[0].text ==
      R"({"time":"2026-11-23T21:39:15.276123Z","device":"gw-7","stream":"app/a%2Eb","epoch":"9f3c2a7e","seq":1999999,"site":"a,b =c","temp":21.53,"ok":true,"i":-7})");
  CHECK(received[1].text == stored[1]);
  CHECK(received[2].text == stored[2]);
  CHECK(received[2].identity.lost == 40);
}

TEST_CASE("ThingsBoard's JSON is read back in milliseconds and without what was null") {
  const auto compression = GENERATE(Compression::none, Compression::zstd, Compression::gzip);
  const std::vector<std::string_view> stored{
      R"({"time":"2026-11-23T21:39:15.276123Z","device":"gw-7","stream":"app/a%2Eb","epoch":"12345678","seq":1200,"site":"a.b","temp":21.53,"n":null,"ok":true,"x.y":-7})",
      R"({"time":"1969-12-31T23:59:59.000001Z","device":"gw-7","stream":"app/a%2Eb","epoch":"12345678","seq":1201,"message":"line\n\"x\" \\","seq_":1,"a\"b":"}}]"})",
      R"({"time":"2026-11-23T21:39:16.000000Z","device":"gw-7","stream":"app/a%2Eb","epoch":"12345678","seq":1202,"lost":40,"reason":"buffer_full","exact":false})",
  };
  const auto encoded = forward::make_encoder(Format::thingsboard, {})->encode(stored);
  REQUIRE(encoded.ok());
  PayloadReader reader(size_max);
  const std::string payload = forward::compressed(compression, *encoded);
  const auto json = reader.as_json(payload, "gw-7");
  REQUIRE(json.ok());
  std::vector<ReceivedEvent> received;
  REQUIRE(read_batch(*json, received).ok());
  REQUIRE(received.size() == stored.size());
  CHECK(
      received[0].text ==
      R"({"time":"2026-11-23T21:39:15.276000Z","device":"gw-7","stream":"app/a%2Eb","epoch":"12345678","seq":1200,"site":"a.b","temp":21.53,"ok":true,"x.y":-7})");
  CHECK(
      received[1].text ==
      R"({"time":"1969-12-31T23:59:59.000000Z","device":"gw-7","stream":"app/a%2Eb","epoch":"12345678","seq":1201,"message":"line\n\"x\" \\","seq_":1,"a\"b":"}}]"})");
  CHECK(received[2].text == stored[2]);
  CHECK(received[2].identity.lost == 40);
  CHECK(received[2].identity.device == "gw-7");
}

TEST_CASE("ThingsBoard's JSON that is cut, changed or not ours is refused") {
  const std::string whole =
      R"([{"ts":1795469955276,"values":{"boiler.seq":1200,"boiler.epoch":"9f3c2a7e","boiler.temp":21.53}}])";
  PayloadReader reader(size_max);
  std::vector<ReceivedEvent> received;
  const auto is_taken = [&](const std::string& payload) {
    received.clear();
    const auto json = reader.as_json(payload, "");
    return json.ok() && read_batch(*json, received).ok();
  };
  CHECK(is_taken(whole));
  CHECK(received.front().identity.device.empty());
  for (std::size_t size = 1; size < whole.size(); ++size) CHECK(!is_taken(whole.substr(0, size)));
  const std::string bad = GENERATE(
      R"([{"ts":1,"values":{}}])", R"([{"ts":1,"values":{"temp":1}}])",
      R"([{"ts":1,"values":{"a.temp":1,"a.epoch":"e"}}])", R"([{"ts":1,"values":{"a.seq":1}}])",
      R"([{"ts":1,"values":{"a.seq":1,"b.epoch":"e"}}])",
      R"([{"ts":1,"values":{".seq":1,".epoch":"e"}}])",
      R"([{"ts":1,"values":{"a.seq":1.0,"a.epoch":"e"}}])",
      R"([{"ts":1,"values":{"a.seq":1,"a.epoch":7}}])",
      R"([{"ts":1,"values":{"a.seq":1,"a.epoch":"e","a.seq":2}}])",
      R"([{"ts":1,"values":{"a.seq":1,"a.epoch":"e","a.x":{"y":1}}}])",
      R"([{"ts":1,"values":{"a.seq":1,"a.epoch":"e","a.x":}}])",
      R"([{"ts":9223372036854775807,"values":{"a.seq":1,"a.epoch":"e"}}])",
      R"([{"ts":"1","values":{"a.seq":1,"a.epoch":"e"}}])");
  CAPTURE(bad);
  CHECK(!is_taken(bad));
}

TEST_CASE("line protocol that is cut, changed or not ours is refused, or still has who it is") {
  const std::string whole = forward::make_encoder(Format::influx, {})->encode(events).value();
  std::string out;
  std::vector<ReceivedEvent> received;
  const auto take = [&](std::string_view payload) {
    out.clear();
    if (!influx_to_json(payload, out).ok()) return;
    static_cast<void>(read_batch(out, received));
  };
  for (std::size_t size = 1; size < whole.size(); ++size) take(whole.substr(0, size));
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      std::string changed = whole;
      changed[at] = static_cast<char>(static_cast<unsigned char>(changed[at]) ^ (1U << bit));
      take(changed);
    }
  }
  for (const std::string_view foreign :
       {"cpu,host=a usage=1 1795469955276124200\n",
        "app,device=g seq=1i,epoch=\"e\" 1795469955276124200\n",
        "app,device=g seq=1i,epoch=\"e\"\n", "app", "app,device=g seq=x,epoch=\"e\" 1\n"}) {
    CAPTURE(foreign);
    out.clear();
    CHECK_FALSE(influx_to_json(foreign, out).ok());
  }
}

TEST_CASE("packed payloads are unpacked within a bound, whole or not at all") {
  const auto compression = GENERATE(Compression::zstd, Compression::gzip);
  const auto unpack = compression == Compression::zstd ? unpack_zstd : unpack_gzip;
  const std::string text(100'000, 'x');
  const std::string packed = forward::compressed(compression, text);
  std::string out;
  REQUIRE(unpack(packed, size_max, out).ok());
  CHECK(out == text);
  REQUIRE(unpack(packed, text.size(), out).ok());
  CHECK(out == text);
  CHECK_FALSE(unpack(packed, text.size() - 1, out).ok());
  for (std::size_t size = 0; size < packed.size(); ++size) {
    CAPTURE(size);
    CHECK_FALSE(unpack(packed.substr(0, size), size_max, out).ok());
  }
  CHECK_FALSE(unpack(packed + "junk", size_max, out).ok());
}

TEST_CASE("CBOR that is cut or changed is refused, or is still JSON that can be checked") {
  const std::string whole = forward::make_encoder(Format::cbor, {})->encode(events).value();
  std::string out;
  for (std::size_t size = 0; size < whole.size(); ++size) {
    CAPTURE(size);
    out.clear();
    CHECK_FALSE(cbor_to_json(whole.substr(0, size), out).ok());
  }
  std::vector<ReceivedEvent> received;
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (const unsigned bit : {0U, 3U, 5U, 7U}) {
      std::string changed = whole;
      changed[at] = static_cast<char>(static_cast<unsigned char>(changed[at]) ^ (1U << bit));
      out.clear();
      received.clear();
      if (cbor_to_json(changed, out).ok()) static_cast<void>(read_batch(out, received).ok());
    }
  }
  for (const std::string_view bad :
       {"\x9f\xff", "\xa0", "\x81\x01", "\x81\xa1\x01\x01", "\x80x",
        "\x81\xa1\x61x\x3b\xff\xff\xff\xff\xff\xff\xff\xff", "\x81\xa1\x61x\xf7",
        "\x81\xa1\x61x\x40", "\x81\xa1\x61\xff\x01", "\x9b\xff\xff\xff\xff\xff\xff\xff\xff"}) {
    out.clear();
    CHECK_FALSE(cbor_to_json(bad, out).ok());
  }
}

}  // namespace
}  // namespace penstock::cli
