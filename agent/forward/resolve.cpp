#include "agent/forward/resolve.hpp"

#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

#include <cerrno>
#include <thread>
#include <utility>

#include "agent/base/log.hpp"
#include "agent/base/unique_fd.hpp"

namespace penstock::forward {
namespace {

constexpr int attempt_ms_max = 3'000;

struct Addresses {
  addrinfo* first = nullptr;
  Addresses() = default;
  Addresses(const Addresses&) = delete;
  Addresses& operator=(const Addresses&) = delete;
  ~Addresses() {
    if (first != nullptr) ::freeaddrinfo(first);
  }
};

int look_up(const std::string& host, std::uint16_t port, int flags, Addresses& out) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  return ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &out.first);
}

/// 0, or the errno of the attempt.
int attempt(const addrinfo& address) {
  const UniqueFd socket(::socket(
      address.ai_family, address.ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address.ai_protocol));
  if (!socket.is_open()) return errno;
  if (::connect(socket.get(), address.ai_addr, address.ai_addrlen) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  pollfd wait{socket.get(), POLLOUT, 0};
  const int ready = ::poll(&wait, 1, attempt_ms_max);
  if (ready == 0) return ETIMEDOUT;
  int error = ready < 0 ? errno : 0;
  socklen_t size = sizeof(error);
  if (ready > 0) ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  return error;
}

Result<void> attempt_all(const addrinfo* addresses) {
  int error = 0;
  for (const addrinfo* address = addresses; address != nullptr; address = address->ai_next) {
    error = attempt(*address);
    if (error == 0) return {};
  }
  return errno_error("connect", error);
}

Result<void> look_up_and_try(const std::string& host, std::uint16_t port, int flags,
                             Resolution::Depth depth) {
  Addresses addresses;
  const int rc = look_up(host, port, flags, addresses);
  if (rc != 0) {
    return Error{Errc::unavailable,
                 "cannot resolve " + penstock::quoted(host) + ": " +
                     (rc == EAI_SYSTEM ? errno_error("getaddrinfo").text : ::gai_strerror(rc))};
  }
  if (depth == Resolution::Depth::name) return {};
  return attempt_all(addresses.first);
}

}  // namespace

std::shared_ptr<Resolution> Resolution::begin(const std::string& host, std::uint16_t port,
                                              Depth depth, std::function<void()> done) {
  auto resolution = std::make_shared<Resolution>();
  auto work = [shared = resolution->shared_, host, port, depth, done = std::move(done)](int flags) {
    shared->result = look_up_and_try(host, port, flags, depth);
    shared->is_done.store(true, std::memory_order_release);
    done();
  };
  Addresses numeric;
  if (depth == Depth::name && look_up(host, port, AI_NUMERICHOST, numeric) == 0) {
    work(AI_NUMERICHOST);
    return resolution;
  }
  std::thread thread([work = std::move(work)] {
    ::pthread_setname_np(::pthread_self(), "resolve");
    work(0);
  });
  thread.detach();
  return resolution;
}

}  // namespace penstock::forward
