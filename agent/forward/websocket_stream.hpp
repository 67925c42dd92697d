// WebSocketStream: the bytes of a broker behind a WebSocket, with TLS or without, once it is open.
#pragma once

#include <cstddef>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

#include "agent/base/result.hpp"
#include "agent/base/unique_fd.hpp"
#include "agent/forward/mqtt_options.hpp"
#include "agent/forward/tls.hpp"

namespace penstock::forward {

/// What a socket takes or has at once; 0: nothing. unavailable: the connection has ended.
Result<std::size_t> read_now(int fd, char* buffer, std::size_t size);
Result<std::size_t> write_now(int fd, std::string_view data);

/// Thread: one at a time.
class WebSocketStream {
 public:
  /// Takes a connected, blocking socket.
  explicit WebSocketStream(UniqueFd socket) : socket_(std::move(socket)) {}

  /// With TLS from here on: as TlsStream::open, for options.timeout.
  Result<void> secure(const ConnectOptions& options, const std::stop_token& stop = {});
  /// Asks for the WebSocket; the socket does not block from here on. Waits for options.timeout at
  /// most, or until `stop` is asked for. stopped: by that. unavailable: says what the server did.
  Result<void> upgrade(const ConnectOptions& options, const std::stop_token& stop = {});

  /// Frames. 0: not now. unavailable: the connection has ended.
  Result<std::size_t> read(char* buffer, std::size_t size);
  Result<std::size_t> write(std::string_view data);
  /// Whether read() has more although the socket is silent.
  bool has_more() const { return tls_ && tls_->has_more(); }
  int fd() const { return socket_.get(); }
  /// What came behind the answer to the request.
  std::string take_first_bytes() { return std::move(first_bytes_); }
  /// Nothing more will be written.
  void close();

 private:
  Error unanswered(const Error& why, const ConnectOptions& options) const;

  UniqueFd socket_;
  std::optional<TlsStream> tls_;
  std::string first_bytes_;
};

}  // namespace penstock::forward
