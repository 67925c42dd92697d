#include "connectors/support/tls_server.hpp"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/stat.h>

#include "agent/base/log.hpp"

namespace penstock::connectors::support {
namespace {

using Context = std::unique_ptr<SSL_CTX, decltype(&::SSL_CTX_free)>;

/// The newest reason in OpenSSL's queue, which is emptied.
std::string newest_reason() {
  const unsigned long code = ::ERR_peek_last_error();
  const char* reason = code == 0 ? nullptr : ::ERR_reason_error_string(code);
  ::ERR_clear_error();
  return reason == nullptr ? "the connection was broken off" : reason;
}

Error unusable(std::string_view option, const std::string& path) {
  return Error{Errc::unavailable,
               fmt::format("tls.{} {} cannot be used: {}", option, quoted(path), newest_reason())};
}

Result<void> load(SSL_CTX* context, const TlsServerFiles& files) {
  if (::SSL_CTX_use_certificate_chain_file(context, files.cert.c_str()) != 1) {
    return unusable("cert", files.cert);
  }
  if (::SSL_CTX_use_PrivateKey_file(context, files.key.c_str(), SSL_FILETYPE_PEM) != 1 ||
      ::SSL_CTX_check_private_key(context) != 1) {
    return unusable("key", files.key);
  }
  if (files.client_ca.empty()) return {};
  STACK_OF(X509_NAME)* const names = ::SSL_load_client_CA_file(files.client_ca.c_str());
  if (names == nullptr ||
      ::SSL_CTX_load_verify_locations(context, files.client_ca.c_str(), nullptr) != 1) {
    return unusable("client_ca", files.client_ca);
  }
  ::SSL_CTX_set_client_CA_list(context, names);  // takes the list
  ::SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  return {};
}

}  // namespace

Result<TlsServerFiles> read_tls_server(const config::Section& section, bool is_needed) {
  const config::Section tls = section.section("tls");
  TlsServerFiles files{tls.text("cert"), tls.text("key"), tls.text("client_ca")};
  if (files.cert.empty() != files.key.empty()) {
    return section.invalid("tls", "one of cert and key is missing", "write both");
  }
  if (is_needed && files.cert.empty()) {
    return section.invalid("tls", "TLS needs a certificate and its key",
                           "write tls: {cert: FILE, key: FILE}");
  }
  return files;
}

void TlsSession::free_session(ssl_st* session) { ::SSL_free(session); }
void TlsServer::free_context(ssl_ctx_st* context) { ::SSL_CTX_free(context); }

TlsSession::Read TlsSession::read(char* buffer, std::size_t size) {
  ::ERR_clear_error();
  std::size_t bytes = 0;
  if (::SSL_read_ex(session_.get(), buffer, size, &bytes) == 1) return {State::data, bytes};
  switch (::SSL_get_error(session_.get(), 0)) {
    case SSL_ERROR_WANT_READ: return {State::wants_read};
    case SSL_ERROR_WANT_WRITE: return {State::wants_write};
    case SSL_ERROR_ZERO_RETURN: return {State::ended};
    default: return {State::failed};
  }
}

bool TlsSession::has_more() const { return ::SSL_pending(session_.get()) > 0; }

std::string TlsSession::failure() { return newest_reason(); }

Result<void> TlsServer::load_if_changed() {
  struct stat found {};
  if (::stat(files_.cert.c_str(), &found) != 0) {
    return errno_error("tls.cert " + quoted(files_.cert));
  }
  if (context_ && found.st_mtim.tv_sec == loaded_change_.tv_sec &&
      found.st_mtim.tv_nsec == loaded_change_.tv_nsec) {
    return {};
  }
  loaded_change_ = found.st_mtim;
  ::ERR_clear_error();
  Context context(::SSL_CTX_new(::TLS_server_method()), ::SSL_CTX_free);
  if (!context) return Error{Errc::unavailable, newest_reason()};
  ::SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  ::SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
  ::SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS);
  PENSTOCK_TRY(load(context.get(), files_));
  context_.reset(context.release());
  return {};
}

Result<TlsSession> TlsServer::accept(int fd) {
  ::ERR_clear_error();
  SSL* session = ::SSL_new(context_.get());
  if (session == nullptr) return Error{Errc::unavailable, newest_reason()};
  TlsSession owned(session);
  if (::SSL_set_fd(session, fd) != 1) return Error{Errc::unavailable, newest_reason()};
  ::SSL_set_accept_state(session);
  return owned;
}

}  // namespace penstock::connectors::support
