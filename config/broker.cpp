#include "config/broker.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <charconv>

#include "agent/base/log.hpp"

namespace penstock::config {
namespace {

constexpr std::string_view letters_and_digits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// 0: no such scheme.
std::uint16_t default_port(std::string_view scheme) {
  if (scheme == "mqtt") return 1883;
  if (scheme == "mqtts") return 8883;
  if (scheme == "ws") return 80;
  return scheme == "wss" ? 443 : 0;
}

std::optional<Fault> scheme_fault(std::string_view scheme, std::string_view rest) {
  const bool has_host = rest.find('@') == std::string_view::npos;
  const auto meant = [&](std::string_view right) {
    return has_host ? fmt::format("did you mean {}://{}?", right, rest)
                    : fmt::format("write {}://host:port", right);
  };
  if (default_port(scheme) != 0) return std::nullopt;
  const std::string part = fmt::format("{}://", scheme);
  const std::string message =
      fmt::format("a broker cannot have the scheme {}", penstock::quoted(scheme));
  if (scheme == "tcp") return Fault{message, meant("mqtt"), part};
  if (scheme == "ssl" || scheme == "tls") return Fault{message, meant("mqtts"), part};
  return Fault{
      message,
      "write mqtt://host:port, or mqtts://host:port for TLS; ws:// and wss:// are WebSocket", part};
}

bool is_host(std::string_view host) {
  if (host.empty() || host.size() > 253) return false;
  if (host.front() == '.' || host.front() == '-') return false;
  return host.find_first_not_of(std::string(letters_and_digits) + ".-_") == std::string_view::npos;
}

bool is_path(std::string_view path) {
  return path.front() == '/' && path.size() <= 1024 &&
         path.find_first_not_of(std::string(letters_and_digits) + "/._~%-?=&$") ==
             std::string_view::npos;
}

bool is_ipv6(std::string_view host) {
  in6_addr ignored{};
  const std::string address(host.substr(0, host.find('%')));
  return ::inet_pton(AF_INET6, address.c_str(), &ignored) == 1;
}

}  // namespace

std::optional<BrokerAddress> parse_broker(std::string_view url, Fault& fault) {
  const auto fail = [&](std::string message, std::string help, std::string_view part = {}) {
    fault = {std::move(message), std::move(help), std::string(part)};
    return std::nullopt;
  };
  const std::size_t colon = url.find("://");
  if (colon == std::string_view::npos) {
    const bool has_user = url.find('@') != std::string_view::npos;
    return fail("a broker must begin with mqtt://, mqtts://, ws:// or wss://",
                has_user ? "write mqtt://host:port" : fmt::format("did you mean mqtt://{}?", url));
  }
  BrokerAddress broker;
  broker.scheme = url.substr(0, colon);
  std::string_view rest = url.substr(colon + 3);
  if (auto bad_scheme = scheme_fault(broker.scheme, rest)) {
    fault = *std::move(bad_scheme);
    return std::nullopt;
  }
  if (rest.find('@') != std::string_view::npos) {
    return fail("a broker's URL must not hold a user or a password",
                "write them as user: NAME and password: {file: PATH}, beside brokers");
  }
  const std::string_view path = rest.substr(std::min(rest.find_first_of("/?#"), rest.size()));
  rest.remove_suffix(path.size());
  if (broker.is_websocket()) {
    broker.path = path.empty() ? "/mqtt" : path;
    if (!is_path(broker.path)) {
      return fail("this is not the path of a WebSocket",
                  "write letters, digits and / . _ ~ % - ? = & $", path);
    }
  } else if (path.size() > 1) {
    return fail("a broker's URL ends with its port", "remove the path", path);
  }
  std::string_view port;
  if (!rest.empty() && rest.front() == '[') {
    const std::size_t end = rest.find(']');
    broker.host = rest.substr(1, end == std::string_view::npos ? end : end - 1);
    if (end == std::string_view::npos || !is_ipv6(broker.host)) {
      return fail("this is not an IPv6 address in brackets", "write mqtt://[::1]:1883", rest);
    }
    port = rest.substr(end + 1);
  } else {
    const std::size_t end = std::min(rest.find(':'), rest.size());
    broker.host = rest.substr(0, end);
    port = rest.substr(end);
    if (port.find(':', 1) != std::string_view::npos) {
      return fail("an IPv6 address must be in brackets", "write mqtt://[::1]:1883", rest);
    }
    if (!is_host(broker.host)) {
      return fail(fmt::format("{} is not a host name", penstock::quoted(broker.host)),
                  "write mqtt://host:port", broker.host);
    }
  }
  broker.port = default_port(broker.scheme);
  if (!port.empty()) {
    const std::string_view digits = port.substr(1);
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), broker.port);
    const bool is_whole = read.ec == std::errc{} && read.ptr == digits.data() + digits.size();
    if (port.front() != ':' || !is_whole || broker.port == 0) {
      return fail(fmt::format("{} is not a port", penstock::quoted(digits)), "ports are 1 to 65535",
                  port);
    }
  }
  broker.url = url;
  return broker;
}

Result<BrokerAddress> parse_broker(std::string_view url) {
  Fault fault;
  auto broker = parse_broker(url, fault);
  if (broker) return *std::move(broker);
  return Error{Errc::invalid, fault.help.empty()
                                  ? fault.message
                                  : fmt::format("{} ({})", fault.message, fault.help)};
}

bool is_loopback(const BrokerAddress& broker) {
  return broker.host == "localhost" || broker.host == "::1" || broker.host.substr(0, 4) == "127.";
}

}  // namespace penstock::config
