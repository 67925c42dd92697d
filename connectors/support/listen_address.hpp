// ListenAddress: where a connector waits for senders, as written in `listen`.
#pragma once

#include <sys/socket.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.hpp"
#include "agent/base/unique_fd.hpp"
#include "config/section.hpp"

namespace penstock::connectors::support {

enum class Transport { tcp, tls, udp, unix_stream, unix_datagram };

inline bool is_datagram(Transport transport) {
  return transport == Transport::udp || transport == Transport::unix_datagram;
}

/// "tcp://127.0.0.1:5140", "tls://[::]:6514", "udp://localhost:514", "unix:///run/x.sock",
/// "unix-datagram:///run/y.sock".
struct ListenAddress {
  Transport transport = Transport::tcp;
  std::string text;  ///< as written
  std::string path;  ///< of the two Unix transports
  sockaddr_storage address{};
  socklen_t address_size = 0;

  bool is_unix() const {
    return transport == Transport::unix_stream || transport == Transport::unix_datagram;
  }
  /// Whether only this machine can send there.
  bool is_local() const;
};

/// Hosts are numeric, or `localhost`. invalid: says what is wrong with it.
Result<ListenAddress> parse_listen_address(std::string_view text);

/// The list `listen` of a section that has `listen` and `allow_insecure` in its table. invalid,
/// already reported: an address that is none, or whose transport is not `allowed`, twice the same,
/// or one that others can reach without `allow_insecure` or TLS.
Result<std::vector<ListenAddress>> read_listen_addresses(const config::Section& section,
                                                         std::initializer_list<Transport> allowed);

/// A bound (and, for streams, listening) socket, non-blocking. A socket file that nobody listens on
/// is replaced. unavailable: in use, or not permitted.
Result<UniqueFd> open_listener(const ListenAddress& address, unsigned socket_mode);

/// "127.0.0.1" or "::1"; an IPv4 address in IPv6's clothes is shown as IPv4. "" for Unix sockets.
std::string host_text(const sockaddr_storage& address);

}  // namespace penstock::connectors::support
