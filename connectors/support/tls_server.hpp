// TlsServer: the server's half of TLS on sockets that are read without blocking.
#pragma once

#include <ctime>
#include <memory>
#include <string>
#include <string_view>

#include "agent/base/result.hpp"
#include "config/option.hpp"
#include "config/section.hpp"

struct ssl_ctx_st;
struct ssl_st;

namespace penstock::connectors::support {

struct TlsServerFiles {
  std::string cert;       ///< PEM: the chain, own certificate first
  std::string key;        ///< PEM
  std::string client_ca;  ///< PEM: clients must show a certificate of one of these; "" = none asked
};

inline constexpr config::Option tls_server_options[] = {
    {.name = "cert",
     .type = config::OptionType::text,
     .doc = "PEM file with this server's certificate and its chain; a changed file is used for new "
            "connections",
     .example = "/etc/penstock/tls/server.pem"},
    {.name = "key",
     .type = config::OptionType::text,
     .doc = "PEM file with its private key",
     .example = "/etc/penstock/tls/server.key"},
    {.name = "client_ca",
     .type = config::OptionType::text,
     .doc = "PEM file of authorities: only clients with a certificate of one of them are served",
     .example = "/etc/penstock/tls/clients.pem"},
};
inline constexpr config::Option tls_server_option{
    .name = "tls",
    .type = config::OptionType::section,
    .doc = "certificate and key of addresses that begin with tls://",
    .children = tls_server_options};

/// The section `tls` of a section that has it in its table. invalid, already reported: needed but
/// incomplete. Opens no file.
Result<TlsServerFiles> read_tls_server(const config::Section& section, bool is_needed);

/// One connection's session. Thread: owner only.
class TlsSession {
 public:
  enum class State { data, wants_read, wants_write, ended, failed };
  struct Read {
    State state = State::failed;
    std::size_t bytes = 0;
  };
  explicit TlsSession(ssl_st* session) : session_(session, free_session) {}

  /// Shakes hands first. data: bytes > 0. failed: no further call.
  Read read(char* buffer, std::size_t size);
  /// Whether read() would give more although the socket has nothing.
  bool has_more() const;
  /// Of the last failure.
  static std::string failure();

 private:
  static void free_session(ssl_st* session);
  std::unique_ptr<ssl_st, void (*)(ssl_st*)> session_;
};

/// Keeps the loaded certificate, and loads it anew when its file has changed. TLS 1.2 at least.
/// Thread: owner only.
class TlsServer {
 public:
  explicit TlsServer(TlsServerFiles files) : files_(std::move(files)) {}
  /// unavailable: a file cannot be used; what was loaded before stays in use.
  Result<void> load_if_changed();
  /// After load_if_changed has succeeded once.
  Result<TlsSession> accept(int fd);

 private:
  static void free_context(ssl_ctx_st* context);
  TlsServerFiles files_;
  std::unique_ptr<ssl_ctx_st, void (*)(ssl_ctx_st*)> context_{nullptr, free_context};
  timespec loaded_change_{};
};

}  // namespace penstock::connectors::support
