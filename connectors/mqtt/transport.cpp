#include "connectors/mqtt/transport.hpp"

#include <fmt/format.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>

#include "agent/base/clock.hpp"
#include "agent/base/log.hpp"

namespace penstock::connectors::mqtt {
namespace {

using Addresses = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

const char* const ended_text = "the broker closed the connection";

/// The newest reason in OpenSSL's queue, which is emptied.
Error tls_error(std::string_view what) {
  const unsigned long code = ::ERR_peek_last_error();
  const char* reason = code == 0 ? nullptr : ::ERR_reason_error_string(code);
  ::ERR_clear_error();
  return Error{Errc::unavailable,
               reason == nullptr ? std::string(what) : fmt::format("{}: {}", what, reason)};
}

Result<Addresses> resolve(const std::string& host, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int rc = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (rc != 0) return Error{Errc::unavailable, fmt::format("{}: {}", host, ::gai_strerror(rc))};
  return Addresses(found, ::freeaddrinfo);
}

Result<void> wait(int fd, short events, int stop_fd, std::int64_t deadline_us) {
  for (;;) {
    const std::int64_t left_us = deadline_us - system_clock().steady_us();
    if (left_us <= 0) return Error{Errc::unavailable, "no answer in time"};
    pollfd waits[] = {{fd, events, 0}, {stop_fd, POLLIN, 0}};
    ::poll(waits, 2, static_cast<int>(left_us / 1000 + 1));  // an interruption: an early look
    if (waits[1].revents != 0) return Error{Errc::stopped, "stop was asked for"};
    if (waits[0].revents != 0) return {};
  }
}

Result<UniqueFd> connect_to(const addrinfo& address, int stop_fd, std::int64_t deadline_us) {
  UniqueFd fd(::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.is_open()) return errno_error("socket");
  if (::connect(fd.get(), address.ai_addr, address.ai_addrlen) != 0) {
    if (errno != EINPROGRESS) return errno_error("connect");
    PENSTOCK_TRY(wait(fd.get(), POLLOUT, stop_fd, deadline_us));
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return errno_error("connect", error);
  }
  return fd;
}

Result<void> load(SSL_CTX* context, const TlsClientFiles& files) {
  const bool has_authorities =
      files.ca.empty() ? ::SSL_CTX_set_default_verify_paths(context) == 1
                       : ::SSL_CTX_load_verify_locations(context, files.ca.c_str(), nullptr) == 1;
  if (!has_authorities) {
    return tls_error(fmt::format("tls.ca {} cannot be used", penstock::quoted(files.ca)));
  }
  if (files.cert.empty()) return {};
  if (::SSL_CTX_use_certificate_chain_file(context, files.cert.c_str()) != 1) {
    return tls_error(fmt::format("tls.cert {} cannot be used", penstock::quoted(files.cert)));
  }
  if (::SSL_CTX_use_PrivateKey_file(context, files.key.c_str(), SSL_FILETYPE_PEM) != 1 ||
      ::SSL_CTX_check_private_key(context) != 1) {
    return tls_error(fmt::format("tls.key {} cannot be used", penstock::quoted(files.key)));
  }
  return {};
}

}  // namespace

Transport::Transport(UniqueFd fd, std::chrono::microseconds patience)
    : fd_(std::move(fd)), context_(nullptr, ::SSL_CTX_free), tls_(nullptr, ::SSL_free) {
  const int yes = 1;
  ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  // A peer that is gone is noticed by what we send, also while we do not read.
  const auto patience_ms = static_cast<unsigned>(patience.count() / 1000);
  ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_USER_TIMEOUT, &patience_ms, sizeof patience_ms);
}

Result<Transport> Transport::open(const std::string& host, std::uint16_t port,
                                  const TlsClientFiles* tls, int stop_fd,
                                  std::chrono::microseconds timeout) {
  PENSTOCK_TRY_ASSIGN(const Addresses addresses, resolve(host, port));
  const std::int64_t deadline_us = system_clock().steady_us() + timeout.count();
  Error last{Errc::unavailable, "no address"};
  for (const addrinfo* address = addresses.get(); address; address = address->ai_next) {
    Result<UniqueFd> fd = connect_to(*address, stop_fd, deadline_us);
    if (!fd.ok()) {
      last = fd.error();
      if (last.code == Errc::stopped) break;
      continue;
    }
    Transport transport(*std::move(fd), timeout);
    if (tls != nullptr) PENSTOCK_TRY(transport.shake_hands(host, *tls, stop_fd, deadline_us));
    return transport;
  }
  return last;
}

Result<void> Transport::shake_hands(const std::string& host, const TlsClientFiles& files,
                                    int stop_fd, std::int64_t deadline_us) {
  ::ERR_clear_error();
  context_.reset(::SSL_CTX_new(::TLS_client_method()));
  if (!context_) return tls_error("TLS");
  ::SSL_CTX_set_min_proto_version(context_.get(), TLS1_2_VERSION);
  ::SSL_CTX_set_options(context_.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
  ::SSL_CTX_set_mode(context_.get(),
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  ::SSL_CTX_set_verify(context_.get(), files.is_insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER,
                       nullptr);
  PENSTOCK_TRY(load(context_.get(), files));
  tls_.reset(::SSL_new(context_.get()));
  if (!tls_) return tls_error("TLS");
  if (::X509_VERIFY_PARAM_set1_ip_asc(::SSL_get0_param(tls_.get()), host.c_str()) != 1) {
    ::ERR_clear_error();
    if (::SSL_set1_host(tls_.get(), host.c_str()) != 1) return tls_error("TLS");
    ::SSL_set_tlsext_host_name(tls_.get(), host.c_str());
  }
  ::SSL_set_fd(tls_.get(), fd_.get());
  for (;;) {
    ::ERR_clear_error();
    const int rc = ::SSL_connect(tls_.get());
    if (rc == 1) return {};
    const int why = ::SSL_get_error(tls_.get(), rc);
    if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) break;
    PENSTOCK_TRY(
        wait(fd_.get(), why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, stop_fd, deadline_us));
  }
  const long verdict = ::SSL_get_verify_result(tls_.get());
  if (verdict == X509_V_OK || files.is_insecure) return tls_error("the TLS handshake failed");
  ::ERR_clear_error();
  return Error{Errc::unavailable, fmt::format("the broker's certificate is not accepted: {}",
                                              ::X509_verify_cert_error_string(verdict))};
}

Result<std::size_t> Transport::read(char* buffer, std::size_t size) {
  if (tls_) {
    ::ERR_clear_error();
    std::size_t bytes = 0;
    const int rc = ::SSL_read_ex(tls_.get(), buffer, size, &bytes);
    return tls_result(rc, bytes);
  }
  const ssize_t got = ::recv(fd_.get(), buffer, size, 0);
  if (got == 0) return Error{Errc::unavailable, ended_text};
  if (got > 0) return static_cast<std::size_t>(got);
  if (errno == EAGAIN || errno == EINTR) return std::size_t{0};
  return errno_error("the connection was lost");
}

Result<std::size_t> Transport::write(std::string_view data) {
  if (tls_) {
    ::ERR_clear_error();
    std::size_t bytes = 0;
    const int rc = ::SSL_write_ex(tls_.get(), data.data(), data.size(), &bytes);
    return tls_result(rc, bytes);
  }
  const ssize_t sent = ::send(fd_.get(), data.data(), data.size(), MSG_NOSIGNAL);
  if (sent >= 0) return static_cast<std::size_t>(sent);
  if (errno == EAGAIN || errno == EINTR) return std::size_t{0};
  return errno_error("the connection was lost");
}

Result<std::size_t> Transport::tls_result(int rc, std::size_t bytes) {
  wants_write_ = false;
  if (rc == 1) return bytes;
  switch (::SSL_get_error(tls_.get(), rc)) {
    case SSL_ERROR_WANT_WRITE: wants_write_ = true; return std::size_t{0};
    case SSL_ERROR_WANT_READ: return std::size_t{0};
    case SSL_ERROR_ZERO_RETURN: return Error{Errc::unavailable, ended_text};
    default: return tls_error("the connection was lost");
  }
}

short Transport::events(bool reads, bool writes) const {
  return static_cast<short>((reads ? POLLIN : 0) | (writes || wants_write_ ? POLLOUT : 0));
}

bool Transport::has_more() const { return tls_ && ::SSL_pending(tls_.get()) > 0; }

void Transport::close() {
  if (tls_) ::SSL_shutdown(tls_.get());
  fd_.reset();
}

}  // namespace penstock::connectors::mqtt
