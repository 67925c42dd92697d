#include "tests/support/net.hpp"

#include <netinet/in.h>
#include <poll.h>
#include <sys/un.h>
#include <stdexcept>

#include <cstdlib>
#include <cstring>

namespace penstock::tests {
namespace {

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

UniqueFd connect_to(int family, int kind, const void* address, socklen_t size) {
  UniqueFd fd(::socket(family, kind | SOCK_CLOEXEC, 0));
  if (::connect(fd.get(), static_cast<const sockaddr*>(address), size) != 0) fd.reset();
  return fd;
}

}  // namespace

std::uint16_t free_port(int kind) {
  const UniqueFd fd(::socket(AF_INET, kind | SOCK_CLOEXEC, 0));
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof(address);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0 ||
      ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    std::abort();
  }
  return ntohs(address.sin_port);
}

bool wait_for(const std::function<bool()>& is_true) {
  const auto end = std::chrono::steady_clock::now() + net_patience;
  while (!is_true()) {
    if (std::chrono::steady_clock::now() > end) return false;
    ::poll(nullptr, 0, 1);
  }
  return true;
}

UniqueFd connect_tcp(std::uint16_t port) {
  const sockaddr_in address = loopback(port);
  return connect_to(AF_INET, SOCK_STREAM, &address, sizeof(address));
}

UniqueFd connected(std::uint16_t port) {
  UniqueFd fd;
  if (!wait_for([&] { return (fd = connect_tcp(port)).is_open(); })) {
    throw std::runtime_error("nobody listens on port " + std::to_string(port));
  }
  return fd;
}

UniqueFd connect_udp(std::uint16_t port) {
  const sockaddr_in address = loopback(port);
  return connect_to(AF_INET, SOCK_DGRAM, &address, sizeof(address));
}

UniqueFd connect_unix(const std::string& path, int kind) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) std::abort();
  std::memcpy(address.sun_path, path.data(), path.size());
  return connect_to(AF_UNIX, kind, &address, sizeof(address));
}

bool send_all(int fd, std::string_view data) {
  while (!data.empty()) {
    const ssize_t sent = ::send(fd, data.data(), data.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    data.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

bool send_one(int fd, std::string_view datagram) {
  return ::send(fd, datagram.data(), datagram.size(), MSG_NOSIGNAL) ==
         static_cast<ssize_t>(datagram.size());
}

std::string receive_all(int fd) {
  std::string out;
  char buffer[4096];
  ssize_t bytes = 0;
  while ((bytes = ::recv(fd, buffer, sizeof(buffer), 0)) > 0) {
    out.append(buffer, static_cast<std::size_t>(bytes));
  }
  return out;
}

}  // namespace penstock::tests
