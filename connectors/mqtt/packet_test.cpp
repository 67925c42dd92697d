#include "connectors/mqtt/packet.hpp"

#include <catch2/catch.hpp>

namespace penstock::connectors::mqtt {
namespace {

using namespace std::string_literals;

/// Its views are valid until the next call.
std::optional<Packet> one(std::string_view bytes, Version version = Version::v5) {
  static PacketReader reader(version, 16);
  reader = PacketReader(version, 16);
  reader.feed(bytes);
  const auto packet = reader.next();
  return packet.ok() ? packet.value() : std::nullopt;
}

bool is_refused(std::string_view bytes, Version version = Version::v5) {
  PacketReader reader(version, 16);
  reader.feed(bytes);
  return !reader.next().ok();
}

TEST_CASE("what we send is as the standard writes it") {
  const Connect connect{.client_id = "c",
                        .user = "u",
                        .password = "p",
                        .is_clean = true,
                        .keep_alive_s = 30,
                        .session_expiry_s = 600,
                        .receive_max = 64};
  CHECK(connect_packet(Version::v311, connect) ==
        "\x10\x13\0\x04MQTT\x04\xC2\0\x1E\0\x01"
        "c\0\x01u\0\x01p"s);
  CHECK(connect_packet(Version::v5, connect) ==
        "\x10\x1C\0\x04MQTT\x05\xC2\0\x1E\x08\x11\0\0\x02\x58\x21\0\x40\0\x01"
        "c\0\x01u\0\x01p"s);
  const std::vector<std::string> filters{"a/#", "b"};
  CHECK(subscribe_packet(Version::v311, 1, filters, 2, RetainHandling::if_new) ==
        "\x82\x0C\0\x01\0\x03"
        "a/#\x02\0\x01"
        "b\x02"s);
  CHECK(subscribe_packet(Version::v5, 1, filters, 1, RetainHandling::if_new) ==
        "\x82\x0D\0\x01\0\0\x03"
        "a/#\x11\0\x01"
        "b\x11"s);
  CHECK(unsubscribe_packet(Version::v5, 2, filters) ==
        "\xA2\x0B\0\x02\0\0\x03"
        "a/#\0\x01"
        "b"s);
  std::string acks;
  append_ack(acks, Ack::puback, 0x1234);
  append_ack(acks, Ack::pubrec, 1);
  append_ack(acks, Ack::pubcomp, 1);
  CHECK(acks == "\x40\x02\x12\x34\x50\x02\0\x01\x70\x02\0\x01"s);
  const std::vector<std::string> longer{std::string(200, 'x')};
  CHECK(subscribe_packet(Version::v311, 1, longer, 0, RetainHandling::always).substr(0, 3) ==
        "\x82\xCD\x01"s);
}

TEST_CASE("CONNACK of both versions, with what a broker wants changed") {
  const auto old = one("\x20\x02\x01\0"s, Version::v311);
  REQUIRE(old);
  CHECK(std::get<Connack>(*old).has_session);
  // A broker of 3.1.1 answers in its own form.
  CHECK(std::get<Connack>(*one("\x20\x02\0\x01"s)).code == 1);
  const auto now = one("\x20\x13\0\x87\x10\x13\0\x05\x11\0\0\0\x3C\x1F\0\x02no\x27\0\0"s);
  CHECK_FALSE(now);  // a property that is cut short
  const auto good = one("\x20\x12\0\x87\x0F\x13\0\x05\x11\0\0\0\x3C\x1F\0\x02no\x24\x01"s);
  REQUIRE(good);
  const auto& connack = std::get<Connack>(*good);
  CHECK(connack.code == 0x87);
  CHECK(connack.keep_alive_s == 5);
  CHECK(connack.session_expiry_s == 60u);
  CHECK(connack.reason == "no");
  CHECK(reason_words(Version::v5, 0x87).find("not authorised") == 0);
  CHECK(reason_words(Version::v311, 4) == "wrong user or password");
}

TEST_CASE("PUBLISH: flags, identifier, properties, payload") {
  const auto packet =
      one("\x3D\x0D\0\x03"
          "a/b\x12\x34\x02\x01\x01"
          "abc"s);
  REQUIRE(packet);
  const auto& publish = std::get<Publish>(*packet);
  CHECK(publish.topic == "a/b");
  CHECK(publish.id == 0x1234);
  CHECK(publish.qos == 2);
  CHECK(publish.is_again);
  CHECK(publish.is_retained);
  CHECK(publish.payload == "abc");
  CHECK_FALSE(publish.is_cut);
  CHECK(std::get<Publish>(*one("\x30\x03\0\x01"
                               "a"s,
                               Version::v311))
            .payload.empty());
}

TEST_CASE("packets come whole out of any pieces, and a long payload is cut") {
  const std::string payload = std::string(15, 'x') + "\xC3\xA4" + std::string(300'000, 'y');
  const std::size_t size = 3 + payload.size();
  std::string stream = "\x30"s;
  stream += static_cast<char>((size & 0x7F) | 0x80);
  stream += static_cast<char>(((size >> 7) & 0x7F) | 0x80);
  stream += static_cast<char>(size >> 14);
  stream +=
      "\0\x01"
      "a"s +
      payload;
  stream += "\xD0\0\x62\x02\0\x07"s;
  for (const std::size_t piece : {std::size_t{1}, std::size_t{1000}, stream.size()}) {
    PacketReader reader(Version::v311, 16);
    std::vector<Packet> kinds;
    std::string text;
    for (std::size_t at = 0; at < stream.size(); at += piece) {
      reader.feed(std::string_view(stream).substr(at, piece));
      for (;;) {
        const auto packet = reader.next();
        REQUIRE(packet.ok());
        if (!packet.value()) break;
        kinds.push_back(*packet.value());
        if (const auto* publish = std::get_if<Publish>(&*packet.value())) {
          text = publish->payload;
          CHECK(publish->is_cut);
        }
      }
      if (piece < stream.size()) {
        CHECK(reader.held_bytes() <= 16 + PacketReader::head_bytes_max + 5 + piece);
      }
    }
    CHECK(text == std::string(15, 'x'));  // not through the middle of a character
    REQUIRE(kinds.size() == 3);
    CHECK(std::get<Pubrel>(kinds[2]).id == 7);
  }
}

TEST_CASE("what no broker sends ends the connection") {
  CHECK(is_refused("\x30\x80\x80\x80\x80\x01"s));  // a length of five bytes
  CHECK(
      is_refused("\x36\x06\0\x01"
                 "a\0\x01\0"s));  // QoS 3
  CHECK(
      is_refused("\x32\x06\0\x01"
                 "a\0\0\0"s));           // no identifier
  CHECK(is_refused("\x30\x03\0\0\0"s));  // no topic
  CHECK(
      is_refused("\x30\x03\0\x05"
                 "a"s));  // a topic longer than the packet
  CHECK(
      is_refused("\x30\x07\0\x01"
                 "a\x03\x23\0\x01"s));  // an alias, which we do not allow
  CHECK(
      is_refused("\x30\x05\0\x01"
                 "a\x01\x7F"s));         // an unknown property
  CHECK(is_refused("\x60\x02\0\x01"s));  // PUBREL with wrong flags
  CHECK(is_refused("\x62\x02\0\0"s));
  CHECK(is_refused("\x82\x02\0\x01"s));                 // SUBSCRIBE is for brokers
  CHECK(is_refused("\x20\xFF\xFF\xFF\x7F"s));           // no CONNACK is so long
  CHECK(is_refused("\x90\x02\0\x01"s, Version::v311));  // SUBACK for nothing
  CHECK(is_refused("\xF0\x00"s));                       // AUTH, which we did not ask for
}

TEST_CASE("DISCONNECT with and without a reason") {
  CHECK(std::get<Disconnect>(*one("\xE0\0"s)).code == 0);
  CHECK(std::get<Disconnect>(*one("\xE0\x01\x8E"s)).code == 0x8E);
  const auto told = one("\xE0\x06\x8B\x04\x1F\0\x01x"s);
  REQUIRE(told);
  CHECK(std::get<Disconnect>(*told).reason == "x");
}

}  // namespace
}  // namespace penstock::connectors::mqtt
