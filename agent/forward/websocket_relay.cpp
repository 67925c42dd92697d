#include "agent/forward/websocket_relay.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include "agent/base/clock.hpp"
#include "agent/forward/resolve.hpp"
#include "agent/forward/websocket.hpp"

namespace penstock::forward {
namespace {

constexpr std::size_t piece_bytes = std::size_t{16} << 10;
constexpr std::size_t waiting_bytes_max = std::size_t{64} << 10;
constexpr std::int64_t goodbye_us_max = 1'000'000;

void send_at_once(int fd) {
  const int yes = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
}

/// Whether a socket of this process has this address: only our own client is served.
bool is_ours(const sockaddr_in& peer) {
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd", failed)) {
    const std::string name = entry.path().filename().string();
    int fd = -1;
    std::from_chars(name.data(), name.data() + name.size(), fd);
    sockaddr_in local{};
    socklen_t size = sizeof(local);
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&local), &size) != 0) continue;
    if (local.sin_family == AF_INET && local.sin_port == peer.sin_port &&
        local.sin_addr.s_addr == peer.sin_addr.s_addr) {
      return true;
    }
  }
  return false;
}

/// Who is not waited for is left out: poll would tell at once that it has hung up.
pollfd waiting(int fd, bool reads, bool writes) {
  const auto events = static_cast<short>((reads ? POLLIN : 0) | (writes ? POLLOUT : 0));
  return {events == 0 ? -1 : fd, events, 0};
}

}  // namespace

/// Bytes between the two sides, until one of them ends. Thread: the relay's.
class WebSocketRelay::Pump {
 public:
  Pump(WebSocketStream& broker, UniqueFd client, int stop)
      : broker_(broker), client_(std::move(client)), stop_(stop) {}

  /// Returns why the broker's side has ended; "": it was the client's, or there was no reason.
  std::string run() {
    while (moves()) {
    }
    return std::move(end_text_);
  }

 private:
  bool moves();
  bool waits();
  bool read_client();
  bool read_broker();
  bool write_both();
  bool take(std::string_view bytes);
  bool end(std::string text) {
    end_text_ = std::move(text);
    return false;
  }

  WebSocketStream& broker_;
  UniqueFd client_;
  const int stop_;
  websocket::FrameReader frames_;
  std::string to_broker_;
  std::string to_client_;
  bool is_stopping_ = false;
  std::int64_t goodbye_until_us_ = 0;  // once the client is gone
  std::string end_text_;
};

/// false: it is over.
bool WebSocketRelay::Pump::waits() {
  const bool reads_broker = client_.is_open() && to_client_.size() < waiting_bytes_max;
  const bool reads_client = client_.is_open() && to_broker_.size() < waiting_bytes_max;
  if (reads_broker && broker_.has_more()) return true;
  std::array<pollfd, 3> all{{
      waiting(broker_.fd(), reads_broker, !to_broker_.empty()),
      waiting(client_.get(), reads_client, client_.is_open() && !to_client_.empty()),
      waiting(stop_, client_.is_open(), false),
  }};
  int timeout_ms = -1;
  if (!client_.is_open()) {
    const std::int64_t left_us = goodbye_until_us_ - system_clock().steady_us();
    if (left_us <= 0) return false;
    timeout_ms = static_cast<int>(left_us / 1000 + 1);
  }
  ::poll(all.data(), all.size(), timeout_ms);
  is_stopping_ = all[2].revents != 0;
  return true;
}

/// false: it is over.
bool WebSocketRelay::Pump::moves() {
  if (!waits()) return false;
  if (client_.is_open() && (!read_client() || is_stopping_)) {
    client_.reset();
    websocket::append_frame(to_broker_, websocket::Opcode::close, {"\x03\xE8", 2});  // 1000
    goodbye_until_us_ = system_clock().steady_us() + goodbye_us_max;
  }
  if (client_.is_open() && !read_broker()) return false;
  if (!write_both()) return false;
  if (client_.is_open() || !to_broker_.empty()) return true;
  broker_.close();
  return false;
}

/// false: the client has ended.
bool WebSocketRelay::Pump::read_client() {
  std::array<char, piece_bytes> piece{};
  while (to_broker_.size() < waiting_bytes_max) {
    const auto got = read_now(client_.get(), piece.data(), piece.size());
    if (!got.ok()) return false;
    if (*got == 0) return true;
    websocket::append_frame(to_broker_, websocket::Opcode::binary, {piece.data(), *got});
  }
  return true;
}

bool WebSocketRelay::Pump::read_broker() {
  if (to_client_.size() >= waiting_bytes_max) return true;
  const std::string first = broker_.take_first_bytes();
  if (!first.empty() && !take(first)) return false;
  std::array<char, piece_bytes> piece{};
  const auto got = broker_.read(piece.data(), piece.size());
  if (!got.ok()) {
    static_cast<void>(write_both());
    return end("the connection was lost: " + got.error().text);
  }
  return take({piece.data(), *got});
}

bool WebSocketRelay::Pump::take(std::string_view bytes) {
  const Result<void> taken = frames_.feed(bytes, to_client_, to_broker_);
  if (taken.ok() && !frames_.is_closed()) return true;
  static_cast<void>(write_both());
  return end(taken.ok() ? frames_.close_text() : taken.error().text);
}

bool WebSocketRelay::Pump::write_both() {
  if (client_.is_open() && !to_client_.empty()) {
    const auto written = write_now(client_.get(), to_client_);
    to_client_.erase(0, written.ok() ? *written : to_client_.size());
  }
  if (to_broker_.empty()) return true;
  const auto written = broker_.write(to_broker_);
  if (!written.ok()) return end("the connection was lost: " + written.error().text);
  to_broker_.erase(0, *written);
  return true;
}

Result<std::unique_ptr<WebSocketRelay>> WebSocketRelay::open(const ConnectOptions& options,
                                                             const std::string& address,
                                                             const std::stop_token& stop) {
  PENSTOCK_TRY_ASSIGN(UniqueFd socket, connect_to(address, options, stop));
  WebSocketStream broker(std::move(socket));
  if (options.broker.uses_tls()) {
    PENSTOCK_TRY(broker.secure(options, stop));
  }
  send_at_once(broker.fd());
  PENSTOCK_TRY(broker.upgrade(options, stop));
  std::unique_ptr<WebSocketRelay> relay(new WebSocketRelay(std::move(broker)));
  PENSTOCK_TRY(relay->listen());
  relay->thread_ = std::jthread([self = relay.get()] { self->run(); });
  return relay;
}

WebSocketRelay::WebSocketRelay(WebSocketStream broker) : broker_(std::move(broker)) {}

WebSocketRelay::~WebSocketRelay() {
  if (stop_.is_open()) ::eventfd_write(stop_.get(), 1);
}

Result<void> WebSocketRelay::listen() {
  stop_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  listener_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in local{};
  local.sin_family = AF_INET;
  local.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(local);
  auto* const any = reinterpret_cast<sockaddr*>(&local);
  if (!stop_.is_open() || !listener_.is_open() || ::bind(listener_.get(), any, size) != 0 ||
      ::listen(listener_.get(), 4) != 0 || ::getsockname(listener_.get(), any, &size) != 0) {
    return errno_error("a WebSocket needs a port on 127.0.0.1");
  }
  port_ = ntohs(local.sin_port);
  return {};
}

config::BrokerAddress WebSocketRelay::address() const {
  config::BrokerAddress out;
  out.scheme = "mqtt";
  out.host = "127.0.0.1";
  out.port = port_;
  return out;
}

std::string WebSocketRelay::end_text() const {
  const std::lock_guard lock(mutex_);
  return end_text_;
}

void WebSocketRelay::run() {
  ::pthread_setname_np(::pthread_self(), "websocket");
  UniqueFd client = accept_client();
  if (!client.is_open()) return;
  listener_.reset();
  Pump pump(broker_, std::move(client), stop_.get());
  std::string text = pump.run();
  const std::lock_guard lock(mutex_);  // before the client sees the end
  end_text_ = std::move(text);
}

/// Not open: the owner goes away.
UniqueFd WebSocketRelay::accept_client() const {
  for (;;) {
    std::array<pollfd, 2> all{{{listener_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}}};
    ::poll(all.data(), all.size(), -1);
    if (all[1].revents != 0) return {};
    sockaddr_in peer{};
    socklen_t size = sizeof(peer);
    UniqueFd client(::accept4(listener_.get(), reinterpret_cast<sockaddr*>(&peer), &size,
                              SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!client.is_open() && errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) return {};
    if (!client.is_open() || !is_ours(peer)) continue;
    send_at_once(client.get());
    return client;
  }
}

}  // namespace penstock::forward
