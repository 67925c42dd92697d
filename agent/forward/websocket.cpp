#include "agent/forward/websocket.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>

#include "agent/base/assert.hpp"
#include "agent/base/bytes.hpp"
#include "agent/base/log.hpp"

namespace penstock::forward::websocket {
namespace {

constexpr std::size_t control_bytes_max = 125;

template <std::size_t size>
std::array<char, size> random_bytes() {
  std::array<char, size> out{};
  // Up to 256 bytes are never cut short (getrandom(2)).
  PENSTOCK_ASSERT(::getrandom(out.data(), out.size(), 0) == static_cast<ssize_t>(size));
  return out;
}

std::string base64(std::string_view bytes) {
  std::string out(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int size = ::EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                     reinterpret_cast<const unsigned char*>(bytes.data()),
                                     static_cast<int>(bytes.size()));
  out.resize(static_cast<std::size_t>(size));
  return out;
}

/// RFC 6455, 4.2.2: what only a server that read our request can answer.
std::string accept_of(const std::string& key) {
  const std::string text = key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  std::array<char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  ::EVP_Digest(text.data(), text.size(), reinterpret_cast<unsigned char*>(digest.data()), &size,
               ::EVP_sha1(), nullptr);
  return base64({digest.data(), size});
}

std::string in_lower_case(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

/// The value of a header; nullopt: there is none. `name` in lower case.
std::optional<std::string_view> header(std::string_view head, std::string_view name) {
  for (std::size_t at = head.find('\n'); at != std::string_view::npos;) {
    const std::size_t end = head.find('\n', at + 1);
    const std::string_view line =
        head.substr(at + 1, end == std::string_view::npos ? end : end - at - 1);
    const std::size_t colon = line.find(':');
    if (colon != std::string_view::npos && in_lower_case(line.substr(0, colon)) == name) {
      return trimmed(line.substr(colon + 1));
    }
    at = end;
  }
  return std::nullopt;
}

Error unavailable(std::string text) { return Error{Errc::unavailable, std::move(text)}; }

/// RFC 6455, 7.4.1.
std::string_view close_words(unsigned code) {
  switch (code) {
    case 1000: return "normally";
    case 1001: return "going away";
    case 1002: return "protocol error";
    case 1003: return "unsupported data";
    case 1008: return "policy";
    case 1009: return "message too big";
    case 1011: return "internal error";
    default: return "";
  }
}

std::string close_text_of(std::string_view payload) {
  if (payload.size() < 2) return "the server closes the WebSocket";
  const unsigned code = load_be<std::uint16_t>(payload.data());
  std::string out = fmt::format("the server closes the WebSocket: {}", code);
  const std::string_view words = close_words(code);
  if (!words.empty()) out += fmt::format(" ({})", words);
  if (payload.size() > 2) out += ": " + penstock::quoted(payload.substr(2));
  return out;
}

}  // namespace

Upgrade::Upgrade() {
  const auto bytes = random_bytes<16>();
  key_ = base64({bytes.data(), bytes.size()});
}

std::string Upgrade::request(const config::BrokerAddress& broker) const {
  const bool is_ipv6 = broker.host.find(':') != std::string::npos;
  std::string host = is_ipv6 ? "[" + broker.host + "]" : broker.host;
  if (broker.port != (broker.uses_tls() ? 443 : 80)) host += fmt::format(":{}", broker.port);
  return fmt::format(
      "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Key: {}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n",
      broker.path, host, key_);
}

Result<void> Upgrade::check(std::string_view head) const {
  const std::string_view status = trimmed(head.substr(0, head.find('\n')));
  const std::size_t space = status.find(' ');
  if (status.substr(0, 5) != "HTTP/" || space == std::string_view::npos) {
    return unavailable("the server does not answer in HTTP; is it a port for WebSocket?");
  }
  const std::string_view answer = status.substr(space + 1);
  if (answer.substr(0, 4) != "101 " && answer != "101") {
    return unavailable(
        fmt::format("the server opens no WebSocket: HTTP {}; are port and path right?",
                    penstock::quoted(answer)));
  }
  const auto upgrade = header(head, "upgrade");
  const auto accept = header(head, "sec-websocket-accept");
  if (!upgrade || in_lower_case(*upgrade) != "websocket" || !accept || *accept != accept_of(key_)) {
    return unavailable("the server's answer to the WebSocket request is not one to ours");
  }
  const auto protocol = header(head, "sec-websocket-protocol");
  if (protocol && *protocol != "mqtt") {
    return unavailable("the server opens a WebSocket, but not for MQTT; is the path right?");
  }
  return {};
}

void append_frame(std::string& out, Opcode opcode, std::string_view payload) {
  constexpr unsigned char is_last = 0x80;
  constexpr unsigned char is_masked = 0x80;
  const std::size_t size = payload.size();
  out += static_cast<char>(is_last | static_cast<unsigned char>(opcode));
  std::array<char, 8> length{};
  if (size < 126) {
    out += static_cast<char>(is_masked | size);
  } else if (size < 65'536) {
    out += static_cast<char>(is_masked | 126);
    store_be<std::uint16_t>(length.data(), static_cast<std::uint16_t>(size));
    out.append(length.data(), 2);
  } else {
    out += static_cast<char>(is_masked | 127);
    store_be<std::uint64_t>(length.data(), size);
    out.append(length.data(), 8);
  }
  const auto mask = random_bytes<4>();
  out.append(mask.data(), mask.size());
  const std::size_t first = out.size();
  out += payload;
  for (std::size_t i = 0; i < size; ++i) {
    out[first + i] = static_cast<char>(out[first + i] ^ mask[i % mask.size()]);
  }
}

/// As many as are known to be needed so far: the second byte tells the rest.
std::size_t FrameReader::header_bytes() const {
  if (header_.size() < 2) return 2;
  const unsigned size = static_cast<unsigned char>(header_[1]) & 0x7FU;
  return size == 127 ? 10 : size == 126 ? 4 : 2;
}

Result<void> FrameReader::begin_frame() {
  const unsigned first = static_cast<unsigned char>(header_[0]);
  const unsigned second = static_cast<unsigned char>(header_[1]);
  const bool is_last = (first & 0x80U) != 0;
  const unsigned opcode = first & 0x0FU;
  const bool is_control = (opcode & 0x08U) != 0;
  left_ = header_.size() == 10  ? load_be<std::uint64_t>(header_.data() + 2)
          : header_.size() == 4 ? load_be<std::uint16_t>(header_.data() + 2)
                                : second & 0x7FU;
  header_.clear();
  const char* wrong = nullptr;
  if ((first & 0x70U) != 0) wrong = "an extension that was not asked for";
  if ((second & 0x80U) != 0) wrong = "a masked frame";
  if (left_ >> 63 != 0) wrong = "an impossible length";
  if (is_control) {
    if (opcode > 10) wrong = "an unknown frame";
    if (!is_last || left_ > control_bytes_max) wrong = "a control frame that is too long";
  } else {
    if (opcode == 1) wrong = "text instead of MQTT";
    if (opcode > 2) wrong = "an unknown frame";
    if ((opcode == 0) != is_in_message_) wrong = "fragments in disorder";
    is_in_message_ = !is_last;
  }
  if (wrong != nullptr) return unavailable(fmt::format("the server breaks WebSocket: {}", wrong));
  opcode_ = static_cast<Opcode>(opcode);
  is_in_frame_ = true;
  return {};
}

Result<void> FrameReader::feed(std::string_view bytes, std::string& payload, std::string& replies) {
  while (!is_closed_) {
    if (!is_in_frame_) {
      const std::size_t taken = std::min(bytes.size(), header_bytes() - header_.size());
      header_ += bytes.substr(0, taken);
      bytes.remove_prefix(taken);
      if (header_.size() < header_bytes()) {
        if (bytes.empty()) return {};
        continue;
      }
      PENSTOCK_TRY(begin_frame());
    }
    const auto taken = static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), left_));
    const bool is_control = opcode_ >= Opcode::close;
    (is_control ? control_ : payload) += bytes.substr(0, taken);
    bytes.remove_prefix(taken);
    left_ -= taken;
    if (left_ != 0) return {};
    is_in_frame_ = false;
    if (is_control) end_control(replies);
    if (bytes.empty()) return {};
  }
  return {};
}

void FrameReader::end_control(std::string& replies) {
  if (opcode_ == Opcode::ping) append_frame(replies, Opcode::pong, control_);
  if (opcode_ == Opcode::close) {
    is_closed_ = true;
    close_text_ = close_text_of(control_);
    append_frame(replies, Opcode::close, std::string_view(control_).substr(0, 2));
  }
  control_.clear();
}

}  // namespace penstock::forward::websocket
