#include "agent/forward/websocket_stream.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>

#include "agent/base/clock.hpp"
#include "agent/forward/websocket.hpp"

namespace penstock::forward {
namespace {

constexpr std::size_t piece_bytes = std::size_t{4} << 10;
constexpr std::int64_t look_every_ms = 50;  // at a stop token while waiting

Error ended(std::string text) { return Error{Errc::unavailable, std::move(text)}; }

}  // namespace

Result<std::size_t> read_now(int fd, char* buffer, std::size_t size) {
  const ssize_t bytes = ::recv(fd, buffer, size, 0);
  if (bytes > 0) return static_cast<std::size_t>(bytes);
  if (bytes == 0) return ended("the server closed it");
  if (errno == EAGAIN || errno == EINTR) return std::size_t{0};
  return errno_error("recv");
}

Result<std::size_t> write_now(int fd, std::string_view data) {
  const ssize_t bytes = ::send(fd, data.data(), data.size(), MSG_NOSIGNAL);
  if (bytes >= 0) return static_cast<std::size_t>(bytes);
  if (errno == EAGAIN || errno == EINTR) return std::size_t{0};
  return errno_error("send");
}

Result<void> WebSocketStream::secure(const ConnectOptions& options, const std::stop_token& stop) {
  PENSTOCK_TRY_ASSIGN(
      tls_, TlsStream::open(fd(), options.broker.host, options.tls, options.timeout, stop));
  return {};
}

Result<std::size_t> WebSocketStream::read(char* buffer, std::size_t size) {
  return tls_ ? tls_->read(buffer, size) : read_now(fd(), buffer, size);
}

Result<std::size_t> WebSocketStream::write(std::string_view data) {
  return tls_ ? tls_->write(data) : write_now(fd(), data);
}

void WebSocketStream::close() {
  if (tls_) tls_->close();
  ::shutdown(fd(), SHUT_WR);
}

Error WebSocketStream::unanswered(const Error& why, const ConnectOptions& options) const {
  std::string text = "the connection was closed without an answer to the WebSocket request (" +
                     why.text + "); is it a port for WebSocket?";
  if (tls_) {
    text += options.tls.cert.empty() ? " Does it want a certificate of ours?"
                                     : " Does it accept our certificate?";
  }
  return ended(std::move(text));
}

Result<void> WebSocketStream::upgrade(const ConnectOptions& options, const std::stop_token& stop) {
  ::fcntl(fd(), F_SETFL, ::fcntl(fd(), F_GETFL) | O_NONBLOCK);
  const websocket::Upgrade upgrade;
  std::string request = upgrade.request(options.broker);
  std::string answer;
  std::array<char, piece_bytes> piece{};
  const std::int64_t deadline_us =
      system_clock().steady_us() + options.timeout / std::chrono::microseconds(1);
  for (;;) {
    if (!request.empty()) {
      const auto written = write(request);
      if (!written.ok()) return unanswered(written.error(), options);
      request.erase(0, *written);
    }
    const auto got = read(piece.data(), piece.size());
    if (!got.ok()) return unanswered(got.error(), options);
    answer.append(piece.data(), *got);
    const std::size_t end = answer.find("\r\n\r\n");
    const bool is_http =
        std::string_view("HTTP/").substr(0, answer.size()) == std::string_view(answer).substr(0, 5);
    if (end != std::string::npos || !is_http || answer.size() > websocket::head_bytes_max) {
      first_bytes_ = end == std::string::npos ? std::string() : answer.substr(end + 4);
      return upgrade.check(std::string_view(answer).substr(0, end));
    }
    const std::int64_t left_us = deadline_us - system_clock().steady_us();
    if (left_us <= 0) {
      return ended("no answer to the WebSocket request; is it a port for WebSocket?");
    }
    pollfd wait{fd(), static_cast<short>(request.empty() ? POLLIN : POLLIN | POLLOUT), 0};
    if (*got == 0) {
      ::poll(&wait, 1, static_cast<int>(std::min<std::int64_t>(left_us / 1000 + 1, look_every_ms)));
    }
    if (stop.stop_requested()) return Error{Errc::stopped, "stop was asked for"};
  }
}

}  // namespace penstock::forward
