// The client's side of WebSocket (RFC 6455) as bytes in and out: the request, its answer, frames.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "agent/base/result.hpp"
#include "config/agent_config.hpp"

namespace penstock::forward::websocket {

/// A request to go on in WebSocket, with the subprotocol `mqtt`. Thread: owner only.
class Upgrade {
 public:
  Upgrade();  ///< a key of its own
  explicit Upgrade(std::string key) : key_(std::move(key)) {}

  std::string request(const config::BrokerAddress& broker) const;
  /// `head`: the answer up to its empty line. unavailable: says what the server did instead.
  Result<void> check(std::string_view head) const;

 private:
  std::string key_;
};

/// The longest head of an answer that is waited for.
inline constexpr std::size_t head_bytes_max = std::size_t{8} << 10;

enum class Opcode : std::uint8_t { continued = 0, text, binary, close = 8, ping, pong };

/// Appends a whole message as one frame, masked as a client has to.
void append_frame(std::string& out, Opcode opcode, std::string_view payload);

/// What a server sends, in pieces of any size. Holds no more than a control frame (125 bytes): data
/// is handed on as it comes. Thread: owner only.
class FrameReader {
 public:
  /// Takes all of `bytes`. Appends data to `payload`, and frames that have to be sent (pong, close)
  /// to `replies`. unavailable: they break the protocol; nothing can be read any more.
  Result<void> feed(std::string_view bytes, std::string& payload, std::string& replies);

  /// The server has closed: nothing behind that frame is read.
  bool is_closed() const { return is_closed_; }
  /// Why, in words; only when closed.
  const std::string& close_text() const { return close_text_; }

 private:
  std::size_t header_bytes() const;
  Result<void> begin_frame();
  void end_control(std::string& replies);

  std::string header_;  // of the present frame, while it is incomplete
  std::string control_;
  Opcode opcode_ = Opcode::binary;
  std::uint64_t left_ = 0;  // bytes of payload of the present frame
  bool is_in_frame_ = false;
  bool is_in_message_ = false;  // its last frame has not begun
  bool is_closed_ = false;
  std::string close_text_;
};

}  // namespace penstock::forward::websocket
