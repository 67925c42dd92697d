#include "agent/forward/resolve.hpp"

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
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

constexpr int attempt_ms_max = 3'000;
constexpr std::chrono::seconds patience_beyond{1};  // whoever waits gives up before, in its words

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

/// A connected socket that blocks again, or -1 and errno.
UniqueFd connected(const addrinfo& address) {
  UniqueFd socket(::socket(address.ai_family, address.ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                           address.ai_protocol));
  if (!socket.is_open()) return socket;
  int error = 0;
  if (::connect(socket.get(), address.ai_addr, address.ai_addrlen) != 0) error = errno;
  if (error == EINPROGRESS) {
    pollfd wait{socket.get(), POLLOUT, 0};
    const int ready = ::poll(&wait, 1, attempt_ms_max);
    error = ready < 0 ? errno : ETIMEDOUT;
    socklen_t size = sizeof(error);
    if (ready > 0) ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  }
  if (error != 0) {
    socket.reset();
    errno = error;
    return socket;
  }
  const timeval most{attempt_ms_max / 1'000, 0};
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
  if (options.broker.uses_tls()) {
    attempt.reached = Attempt::Step::tls;
    Result<void> made;
    {
      const StepTimer timer(attempt.tls_us);
      made = stream.secure(options.broker.host, options.tls);
    }
    attempt.is_too_late = attempt.tls_us >= std::int64_t{attempt_ms_max} * 1'000;
    PENSTOCK_TRY(std::move(made));
  }
  if (options.broker.is_websocket()) {
    attempt.reached = Attempt::Step::websocket;
    Result<void> made;
    ConnectOptions patient = options;
    patient.timeout += patience_beyond;
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
  Error error;
  for (const addrinfo* address = addresses.first; address != nullptr; address = address->ai_next) {
    attempt.address = in_digits(*address);
    UniqueFd socket;
    {
      const StepTimer timer(attempt.connect_us);
      socket = connected(*address);
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

Result<void> choose(const config::BrokerAddress& broker, std::size_t skip, Attempt& attempt) {
  Addresses addresses;
  const int rc = look_up(broker, 0, addresses);
  if (rc != 0) return resolve_error(broker.host, rc);
  std::vector<const addrinfo*> all;
  for (const addrinfo* at = addresses.first; at != nullptr; at = at->ai_next) all.push_back(at);
  Error error;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const addrinfo& address = *all[(skip + i) % all.size()];
    attempt.address = in_digits(address);
    if (all.size() == 1 || connected(address).is_open()) return {};
    error = errno_error("connect to " + attempt.address);
  }
  return error;
}

}  // namespace

Result<UniqueFd> connect_to(const std::string& digits, std::uint16_t port) {
  config::BrokerAddress address;
  address.host = digits;
  address.port = port;
  Addresses numeric;
  const int rc = look_up(address, AI_NUMERICHOST, numeric);
  if (rc != 0) return resolve_error(digits, rc).error();
  UniqueFd socket = connected(*numeric.first);
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

std::shared_ptr<Resolution> Resolution::begin(const config::BrokerAddress& broker, std::size_t skip,
                                              std::function<void()> done) {
  auto resolution = std::make_shared<Resolution>();
  Addresses numeric;
  if (look_up(broker, AI_NUMERICHOST, numeric) == 0) {
    resolution->shared_->attempt.address = in_digits(*numeric.first);
    resolution->shared_->is_done.store(true, std::memory_order_release);
    done();
    return resolution;
  }
  run(
      resolution, [broker, skip](Attempt& attempt) { return choose(broker, skip, attempt); },
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
