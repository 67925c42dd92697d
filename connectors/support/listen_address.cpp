#include "connectors/support/listen_address.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <utility>

#include "agent/base/log.hpp"

namespace penstock::connectors::support {
namespace {

constexpr int backlog = 128;
constexpr std::string_view forms =
    "write tcp://127.0.0.1:5140, tls://[::]:6514, udp://127.0.0.1:514, unix:///run/x.sock or "
    "unix-datagram:///run/x.sock";

constexpr std::pair<std::string_view, Transport> schemes[] = {
    {"tcp://", Transport::tcp},
    {"tls://", Transport::tls},
    {"udp://", Transport::udp},
    {"unix://", Transport::unix_stream},
    {"unix-datagram://", Transport::unix_datagram},
};

Error bad(std::string text) { return Error{Errc::invalid, std::move(text)}; }

Result<void> set_path(ListenAddress& out, std::string_view path) {
  sockaddr_un address{};
  if (path.size() < 2 || path.front() != '/' || path.find('\0') != std::string_view::npos) {
    return bad(fmt::format("{} names no absolute path", quoted(out.text)));
  }
  if (path.size() >= sizeof(address.sun_path)) {
    return bad(fmt::format("{}: a socket's path has at most {} bytes", quoted(out.text),
                           sizeof(address.sun_path) - 1));
  }
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  std::memcpy(&out.address, &address, sizeof(address));
  out.address_size = sizeof(address);
  out.path = path;
  return {};
}

Result<void> set_host(ListenAddress& out, std::string_view rest) {
  const std::size_t colon = rest.rfind(':');
  if (colon == std::string_view::npos) return bad(fmt::format("{} has no port", quoted(out.text)));
  const std::string_view digits = rest.substr(colon + 1);
  unsigned port = 0;
  const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error != std::errc() || stop != digits.data() + digits.size() || port == 0 || port > 65535) {
    return bad(fmt::format("{} has no port from 1 to 65535", quoted(out.text)));
  }
  std::string host(rest.substr(0, colon));
  if (host == "localhost") host = "127.0.0.1";
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(static_cast<std::uint16_t>(port));
    if (::inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &address.sin6_addr) == 1) {
      std::memcpy(&out.address, &address, sizeof(address));
      out.address_size = sizeof(address);
      return {};
    }
  }
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  if (::inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1) {
    return bad(
        fmt::format("{} does not begin with a numeric address or localhost", quoted(out.text)));
  }
  std::memcpy(&out.address, &address, sizeof(address));
  out.address_size = sizeof(address);
  return {};
}

/// A file left behind by a socket that nobody serves any more stands in the way.
Result<void> remove_stale_socket(const ListenAddress& address) {
  struct stat found {};
  if (::lstat(address.path.c_str(), &found) != 0) return {};
  if (!S_ISSOCK(found.st_mode)) {
    return Error{Errc::unavailable,
                 fmt::format("{} exists and is no socket", quoted(address.path))};
  }
  const int kind = address.transport == Transport::unix_stream ? SOCK_STREAM : SOCK_DGRAM;
  const UniqueFd probe(::socket(AF_UNIX, kind | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address.address),
                address.address_size) == 0 ||
      errno == EAGAIN) {
    return Error{Errc::unavailable, fmt::format("{} is in use", quoted(address.path))};
  }
  if (::unlink(address.path.c_str()) != 0) return errno_error("unlink " + quoted(address.path));
  return {};
}

}  // namespace

bool ListenAddress::is_local() const {
  if (is_unix()) return true;
  if (address.ss_family == AF_INET) {
    sockaddr_in in{};
    std::memcpy(&in, &address, sizeof(in));
    return (ntohl(in.sin_addr.s_addr) >> 24) == 127;
  }
  sockaddr_in6 in{};
  std::memcpy(&in, &address, sizeof(in));
  return IN6_IS_ADDR_LOOPBACK(&in.sin6_addr);
}

Result<ListenAddress> parse_listen_address(std::string_view text) {
  ListenAddress out;
  out.text = text;
  for (const auto& [scheme, transport] : schemes) {
    if (!text.starts_with(scheme)) continue;
    out.transport = transport;
    const std::string_view rest = text.substr(scheme.size());
    PENSTOCK_TRY(out.is_unix() ? set_path(out, rest) : set_host(out, rest));
    return out;
  }
  return bad(
      fmt::format("{} does not begin with tcp://, tls://, udp://, unix:// or "
                  "unix-datagram://",
                  quoted(text)));
}

Result<std::vector<ListenAddress>> read_listen_addresses(const config::Section& section,
                                                         std::initializer_list<Transport> allowed) {
  std::vector<ListenAddress> addresses;
  for (const std::string& text : section.text_list("listen")) {
    auto address = parse_listen_address(text);
    if (!address.ok()) {
      return section.invalid("listen", address.error().text, std::string(forms));
    }
    if (std::find(allowed.begin(), allowed.end(), address->transport) == allowed.end()) {
      return section.invalid("listen", fmt::format("{}: not with this type", quoted(text)));
    }
    if (!address->is_local() && address->transport != Transport::tls &&
        !section.boolean("allow_insecure")) {
      return section.invalid(
          "listen", fmt::format("{} can be reached from other machines, by anyone", quoted(text)),
          "listen on 127.0.0.1 or by tls://, or write allow_insecure: true");
    }
    for (const ListenAddress& other : addresses) {
      if (other.text == text) {
        return section.invalid("listen", fmt::format("{} is there twice", quoted(text)));
      }
    }
    addresses.push_back(*std::move(address));
  }
  if (addresses.empty()) {
    return section.invalid("listen", "no address is given", std::string(forms));
  }
  return addresses;
}

Result<UniqueFd> open_listener(const ListenAddress& address, unsigned socket_mode) {
  const std::string what = "listen on " + quoted(address.text);
  const int kind = is_datagram(address.transport) ? SOCK_DGRAM : SOCK_STREAM;
  UniqueFd fd(::socket(address.address.ss_family, kind | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.is_open()) return errno_error(what);
  const int on = 1;
  if (address.is_unix()) {
    PENSTOCK_TRY(remove_stale_socket(address));
  } else if (kind == SOCK_STREAM) {
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  } else {
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof(on));
  }
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address.address), address.address_size) !=
      0) {
    return errno_error(what);
  }
  if (address.is_unix() && ::chmod(address.path.c_str(), socket_mode) != 0) {
    return errno_error("chmod " + quoted(address.path));
  }
  if (kind == SOCK_STREAM && ::listen(fd.get(), backlog) != 0) return errno_error(what);
  return fd;
}

std::string host_text(const sockaddr_storage& address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET) {
    sockaddr_in in{};
    std::memcpy(&in, &address, sizeof(in));
    ::inet_ntop(AF_INET, &in.sin_addr, text, sizeof(text));
  } else if (address.ss_family == AF_INET6) {
    sockaddr_in6 in{};
    std::memcpy(&in, &address, sizeof(in));
    if (IN6_IS_ADDR_V4MAPPED(&in.sin6_addr)) {
      ::inet_ntop(AF_INET, &in.sin6_addr.s6_addr[12], text, sizeof(text));
    } else {
      ::inet_ntop(AF_INET6, &in.sin6_addr, text, sizeof(text));
    }
  }
  return text;
}

}  // namespace penstock::connectors::support
