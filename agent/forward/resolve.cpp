#include "agent/forward/resolve.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "agent/base/clock.hpp"
#include "agent/base/log.hpp"
#include "agent/base/unique_fd.hpp"
#include "agent/forward/websocket_stream.hpp"

namespace penstock::forward {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds attempt_time_max{3'000};  // while other addresses are left; of a read
constexpr milliseconds look_every{50};           // at a stop token while waiting

/// Whoever waits for a step gives up before, in its own words.
std::chrono::seconds patience(const ConnectOptions& options) {
  return options.timeout + std::chrono::seconds(1);
}

struct Addresses {
  addrinfo* first = nullptr;
  Addresses() = default;
  Addresses(const Addresses&) = delete;
  Addresses& operator=(const Addresses&) = delete;
  ~Addresses() {
    if (first != nullptr) ::freeaddrinfo(first);
  }
};

int look_up(const config::BrokerAddress& broker, int flags, Addresses& out) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  return ::getaddrinfo(broker.host.c_str(), std::to_string(broker.port).c_str(), &hints,
                       &out.first);
}

/// Whether the connection was made or refused in time; 0 or -1: as poll.
int wait_for_connection(int fd, milliseconds time_max, const std::stop_token& stop) {
  const auto deadline = std::chrono::steady_clock::now() + time_max;
  for (;;) {
    const auto left = std::chrono::ceil<milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0 || stop.stop_requested()) return 0;
    pollfd wait{fd, POLLOUT, 0};
    const milliseconds most = stop.stop_possible() ? std::min(left, look_every) : left;
    const int ready = ::poll(&wait, 1, static_cast<int>(most.count()));
    if (ready != 0) return ready;
  }
}

/// A connected socket that blocks again, or -1 and errno.
UniqueFd connected(const addrinfo& address, milliseconds time_max,
                   const std::stop_token& stop = {}) {
  UniqueFd socket(::socket(address.ai_family, address.ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                           address.ai_protocol));
  if (!socket.is_open()) return socket;
  int error = 0;
  if (::connect(socket.get(), address.ai_addr, address.ai_addrlen) != 0) error = errno;
  if (error == EINPROGRESS) {
    const int ready = wait_for_connection(socket.get(), time_max, stop);
    error = ready < 0 ? errno : ETIMEDOUT;
    socklen_t size = sizeof(error);
    if (ready > 0) ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  }
  if (error != 0) {
    socket.reset();
    errno = error;
    return socket;
  }
  const timeval most{attempt_time_max / std::chrono::seconds(1), 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &most, sizeof(most));
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &most, sizeof(most));
  ::fcntl(socket.get(), F_SETFL, ::fcntl(socket.get(), F_GETFL) & ~O_NONBLOCK);
  return socket;
}

std::string in_digits(const addrinfo& address) {
  std::array<char, 64> host{};
  const int rc = ::getnameinfo(address.ai_addr, address.ai_addrlen, host.data(), host.size(),
                               nullptr, 0, NI_NUMERICHOST);
  return rc == 0 ? std::string(host.data()) : std::string();
}

/// Adds the time that has passed to `to`.
class StepTimer {
 public:
  explicit StepTimer(std::int64_t& to) : to_(to) {}
  StepTimer(const StepTimer&) = delete;
  StepTimer& operator=(const StepTimer&) = delete;
  ~StepTimer() { to_ += system_clock().steady_us() - began_us_; }

 private:
  std::int64_t& to_;
  const std::int64_t began_us_ = system_clock().steady_us();
};

Result<void> resolve_error(const std::string& host, int rc) {
  return Error{Errc::unavailable,
               "cannot resolve " + penstock::quoted(host) + ": " +
                   (rc == EAI_SYSTEM ? errno_error("getaddrinfo").text : ::gai_strerror(rc))};
}

/// TLS and WebSocket, as far as the broker has them.
Result<void> attempt_beyond_tcp(UniqueFd socket, const ConnectOptions& options, Attempt& attempt) {
  WebSocketStream stream(std::move(socket));
  ConnectOptions patient = options;
  patient.timeout = patience(options);
  if (options.broker.uses_tls()) {
    attempt.reached = Attempt::Step::tls;
    Result<void> made;
    {
      const StepTimer timer(attempt.tls_us);
      made = stream.secure(patient);
    }
    PENSTOCK_TRY(std::move(made));
  }
  if (options.broker.is_websocket()) {
    attempt.reached = Attempt::Step::websocket;
    Result<void> made;
    {
      const StepTimer timer(attempt.websocket_us);
      made = stream.upgrade(patient);
    }
    PENSTOCK_TRY(std::move(made));
  }
  stream.close();
  attempt.reached = Attempt::Step::done;
  return {};
}

Result<void> attempt_all(const ConnectOptions& options, Attempt& attempt) {
  const config::BrokerAddress& broker = options.broker;
  Addresses addresses;
  {
    const StepTimer timer(attempt.resolve_us);
    const int rc = look_up(broker, 0, addresses);
    if (rc != 0) return resolve_error(broker.host, rc);
  }
  attempt.reached = Attempt::Step::connect;
  const milliseconds last_time_max = patience(options);
  Error error;
  for (const addrinfo* address = addresses.first; address != nullptr; address = address->ai_next) {
    attempt.address = in_digits(*address);
    UniqueFd socket;
    {
      const StepTimer timer(attempt.connect_us);
      socket = connected(*address, address->ai_next != nullptr ? attempt_time_max : last_time_max);
    }
    if (!socket.is_open()) {
      attempt.is_too_late = errno == ETIMEDOUT;
      error = errno_error(attempt.address);
      continue;
    }
    return attempt_beyond_tcp(std::move(socket), options, attempt);
  }
  return error;
}

Result<void> choose(const ConnectOptions& options, std::size_t skip, Attempt& attempt) {
  Addresses addresses;
  const int rc = look_up(options.broker, 0, addresses);
  if (rc != 0) return resolve_error(options.broker.host, rc);
  std::vector<const addrinfo*> all;
  for (const addrinfo* at = addresses.first; at != nullptr; at = at->ai_next) all.push_back(at);
  Error error;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const addrinfo& address = *all[(skip + i) % all.size()];
    attempt.address = in_digits(address);
    const milliseconds time_max = i + 1 < all.size() ? attempt_time_max : patience(options);
    if (all.size() == 1 || connected(address, time_max).is_open()) return {};
    error = errno_error("connect to " + attempt.address);
  }
  return error;
}

}  // namespace

std::string UnfinishedStep::text(std::chrono::seconds time) const {
  return fmt::format("{} within {} s{}", what, time.count(), question);
}

UnfinishedStep unfinished(Attempt::Step step) {
  switch (step) {
    case Attempt::Step::resolve: return {"resolve", "no answer from the name service", ""};
    case Attempt::Step::connect: return {"connect", "no connection", ""};
    case Attempt::Step::tls:
      return {"tls", "no answer to the TLS handshake",
              "; is it a port without TLS (mqtt:// or ws://)?"};
    case Attempt::Step::websocket:
    case Attempt::Step::done: break;
  }
  return {"websocket", "no answer to the WebSocket request", "; is it a port for WebSocket?"};
}

Result<UniqueFd> connect_to(const std::string& digits, const ConnectOptions& options,
                            const std::stop_token& stop) {
  config::BrokerAddress address;
  address.host = digits;
  address.port = options.broker.port;
  Addresses numeric;
  const int rc = look_up(address, AI_NUMERICHOST, numeric);
  if (rc != 0) return resolve_error(digits, rc).error();
  UniqueFd socket = connected(*numeric.first, options.timeout, stop);
  if (!socket.is_open()) return errno_error("connect to " + digits);
  return socket;
}

void Resolution::run(const std::shared_ptr<Resolution>& resolution, Work work,
                     std::function<void()> done) {
  std::thread thread(
      [shared = resolution->shared_, work = std::move(work), done = std::move(done)] {
        ::pthread_setname_np(::pthread_self(), "resolve");
        shared->result = work(shared->attempt);
        shared->is_done.store(true, std::memory_order_release);
        done();
      });
  thread.detach();
}

std::shared_ptr<Resolution> Resolution::begin(const ConnectOptions& options, std::size_t skip,
                                              std::function<void()> done) {
  auto resolution = std::make_shared<Resolution>();
  Addresses numeric;
  if (look_up(options.broker, AI_NUMERICHOST, numeric) == 0) {
    resolution->shared_->attempt.address = in_digits(*numeric.first);
    resolution->shared_->is_done.store(true, std::memory_order_release);
    done();
    return resolution;
  }
  run(
      resolution, [options, skip](Attempt& attempt) { return choose(options, skip, attempt); },
      std::move(done));
  return resolution;
}

std::shared_ptr<Resolution> Resolution::begin_attempt(const ConnectOptions& options,
                                                      std::function<void()> done) {
  auto resolution = std::make_shared<Resolution>();
  run(
      resolution, [options](Attempt& attempt) { return attempt_all(options, attempt); },
      std::move(done));
  return resolution;
}

}  // namespace penstock::forward
