// WebSocket as bytes: what a server may send, in any pieces, and what it may not.
#include "agent/forward/websocket.hpp"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

using namespace penstock;
using namespace penstock::forward::websocket;
using namespace std::string_literals;

namespace {

/// A frame as a server sends it, not masked.
std::string frame(unsigned first, const std::string& payload) {
  std::string out(1, static_cast<char>(first));
  const std::size_t size = payload.size();
  if (size < 126) {
    out += static_cast<char>(size);
  } else {
    const int bytes = size < 65'536 ? 2 : 8;
    out += bytes == 2 ? '\x7E' : '\x7F';
    for (int i = bytes - 1; i >= 0; --i) out += static_cast<char>(size >> (8 * i) & 0xFF);
  }
  return out + payload;
}

/// The payload of a frame of ours, which has to be masked and whole.
std::string unmasked(const std::string& frame, unsigned first) {
  REQUIRE(frame.size() >= 6);
  CHECK(static_cast<unsigned char>(frame[0]) == first);
  const unsigned size = static_cast<unsigned char>(frame[1]);
  REQUIRE((size & 0x80U) != 0);
  const std::size_t header = size == 0xFF ? 10 : size == 0xFE ? 4 : 2;
  std::string out = frame.substr(header + 4);
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<char>(out[i] ^ frame[header + i % 4]);
  }
  return out;
}

const std::string answer =
    "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: mqtt";

}  // namespace

TEST_CASE("websocket: the request asks for MQTT, and only its own answer is taken") {
  const Upgrade upgrade("dGhlIHNhbXBsZSBub25jZQ==");  // the example of RFC 6455, 1.3
  config::BrokerAddress broker;
  broker.scheme = "ws";
  broker.host = "::1";
  broker.port = 9001;
  broker.path = "/mqtt";
  const std::string request = upgrade.request(broker);
  CHECK(request.substr(0, 20) == "GET /mqtt HTTP/1.1\r\n");
  CHECK(request.find("\r\nHost: [::1]:9001\r\n") != std::string::npos);
  CHECK(request.find("\r\nSec-WebSocket-Protocol: mqtt\r\n") != std::string::npos);
  CHECK(request.substr(request.size() - 4) == "\r\n\r\n");
  broker.scheme = "wss";
  broker.port = 443;
  CHECK(upgrade.request(broker).find("\r\nHost: [::1]\r\n") != std::string::npos);

  CHECK(upgrade.check(answer).ok());
  CHECK(upgrade.check(answer.substr(0, answer.rfind("\r\n"))).ok());  // no word of the subprotocol
  CHECK(!Upgrade().check(answer).ok());                               // another key
  const auto refused = [&](const std::string& head) { return upgrade.check(head).error().text; };
  CHECK(refused("HTTP/1.1 404 Not\x1b Found\r\nServer: x") ==
        R"(the server opens no WebSocket: HTTP "404 Not\x1b Found"; are port and path right?)");
  CHECK(refused("\x20\x02\x00\x05"s) ==
        "the server does not answer in HTTP; is it a port for WebSocket?");
  CHECK(refused(answer + "\x20v3") ==
        "the server opens a WebSocket, but not for MQTT; is the path right?");
  CHECK(!upgrade.check("HTTP/1.1 101\r\nUpgrade: websocket").ok());
}

TEST_CASE("websocket: a message of any length is masked as one frame") {
  const std::size_t size = GENERATE(0, 1, 125, 126, 65'535, 65'536);
  const std::string payload(size, 'x');
  std::string out;
  append_frame(out, Opcode::binary, payload);
  CHECK(unmasked(out, 0x82) == payload);
}

TEST_CASE("websocket: data comes in order, in whatever pieces the network makes") {
  const std::string large(70'000, 'y');
  const std::string bytes =
      frame(0x82, "one") + frame(0x02, "tw") + frame(0x89, "ping") + frame(0x80, "o") +
      frame(0x82, "") + frame(0x82, std::string(300, 'x')) + frame(0x8A, "pong") +
      frame(0x82, large) + frame(0x88, "\x03\xE9"s + "bye\n") + frame(0x82, "never read");
  const std::size_t piece = GENERATE(1, 2, 3, 7, 1000, 1'000'000);
  FrameReader reader;
  std::string payload;
  std::string replies;
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    REQUIRE(reader.feed(std::string_view(bytes).substr(at, piece), payload, replies).ok());
  }
  CHECK(payload == "onetwo" + std::string(300, 'x') + large);
  CHECK(reader.is_closed());
  CHECK(reader.close_text() == R"(the server closes the WebSocket: 1001 (going away): "bye\n")");
  REQUIRE(replies.size() == 6 + 4 + 6 + 2);
  CHECK(unmasked(replies.substr(0, 10), 0x8A) == "ping");
  CHECK(unmasked(replies.substr(10), 0x88) == "\x03\xE9");
}

TEST_CASE("websocket: a close without a code is one") {
  FrameReader reader;
  std::string payload;
  std::string replies;
  CHECK(reader.feed(frame(0x88, ""), payload, replies).ok());
  CHECK(reader.close_text() == "the server closes the WebSocket");
}

TEST_CASE("websocket: what breaks the protocol ends it") {
  struct Case {
    std::string name;
    std::string bytes;
  };
  const auto bad = GENERATE_COPY(
      Case{"text", frame(0x81, "x")}, Case{"a reserved bit", frame(0xC2, "x")},
      Case{"an unknown opcode", frame(0x83, "x")}, Case{"an unknown control", frame(0x8B, "x")},
      Case{"a masked frame", "\x82\x81mask!"s},
      Case{"a long ping", frame(0x89, std::string(126, 'x'))},
      Case{"a ping in parts", frame(0x09, "x")},
      Case{"continued, without a start", frame(0x80, "x")},
      Case{"a start within a message", frame(0x02, "x") + frame(0x82, "x")},
      Case{"an impossible length", "\x82\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"s});
  INFO(bad.name);
  FrameReader reader;
  std::string payload;
  std::string replies;
  const Result<void> taken = reader.feed(bad.bytes, payload, replies);
  REQUIRE(!taken.ok());
  CHECK(taken.error().text.find("the server breaks WebSocket: ") == 0);
}
