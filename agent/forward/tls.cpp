#include "agent/forward/tls.hpp"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <array>
#include <memory>
#include <string_view>
#include <utility>

#include "agent/base/log.hpp"
#include "agent/base/unique_fd.hpp"

namespace penstock::forward {
namespace {

using Context = std::unique_ptr<SSL_CTX, decltype(&::SSL_CTX_free)>;
using Session = std::unique_ptr<SSL, decltype(&::SSL_free)>;

/// The newest reason in OpenSSL's queue, which is emptied.
Error openssl_error(std::string_view what) {
  const unsigned long code = ::ERR_peek_last_error();
  const char* reason = code == 0 ? nullptr : ::ERR_reason_error_string(code);
  ::ERR_clear_error();
  std::string text(what);
  if (reason != nullptr) text += std::string(": ") + reason;
  return Error{Errc::unavailable, std::move(text)};
}

Result<void> load(SSL_CTX* context, const TlsFiles& files) {
  const bool has_authorities =
      files.ca.empty() ? ::SSL_CTX_set_default_verify_paths(context) == 1
                       : ::SSL_CTX_load_verify_locations(context, files.ca.c_str(), nullptr) == 1;
  if (!has_authorities) return openssl_error("tls.ca cannot be used");
  if (!files.cert.empty() &&
      ::SSL_CTX_use_certificate_chain_file(context, files.cert.c_str()) != 1) {
    return openssl_error("tls.cert cannot be used");
  }
  if (!files.key.empty() &&
      (::SSL_CTX_use_PrivateKey_file(context, files.key.c_str(), SSL_FILETYPE_PEM) != 1 ||
       ::SSL_CTX_check_private_key(context) != 1)) {
    return openssl_error("tls.key cannot be used, or does not belong to tls.cert");
  }
  return {};
}

}  // namespace

Result<void> check_tls_files(const TlsFiles& files) {
  const std::array<std::pair<const char*, const std::string*>, 3> named{
      {{"ca", &files.ca}, {"cert", &files.cert}, {"key", &files.key}}};
  for (const auto& [name, path] : named) {
    if (path->empty()) continue;
    const UniqueFd file(::open(path->c_str(), O_RDONLY | O_CLOEXEC));
    if (!file.is_open()) {
      return Error{Errc::invalid,
                   errno_error(std::string("tls.") + name + " " + penstock::quoted(*path)).text};
    }
  }
  return {};
}

Result<void> try_tls(int socket, const std::string& host, const TlsFiles& files) {
  const Context context(::SSL_CTX_new(::TLS_client_method()), &::SSL_CTX_free);
  if (!context) return openssl_error("TLS");
  ::SSL_CTX_set_verify(context.get(), files.is_insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER,
                       nullptr);
  if (const auto loaded = load(context.get(), files); !loaded) return loaded;
  const Session session(::SSL_new(context.get()), &::SSL_free);
  if (!session) return openssl_error("TLS");
  ::X509_VERIFY_PARAM* const checks = ::SSL_get0_param(session.get());
  if (::X509_VERIFY_PARAM_set1_ip_asc(checks, host.c_str()) != 1) {
    ::ERR_clear_error();
    ::SSL_set1_host(session.get(), host.c_str());
    ::SSL_set_tlsext_host_name(session.get(), host.c_str());
  }
  ::SSL_set_fd(session.get(), socket);
  if (::SSL_connect(session.get()) == 1) {
    ::SSL_shutdown(session.get());
    return {};
  }
  const long verdict = ::SSL_get_verify_result(session.get());
  if (verdict == X509_V_OK || files.is_insecure) return openssl_error("TLS handshake failed");
  ::ERR_clear_error();
  return Error{Errc::unavailable, std::string("the broker's certificate is not accepted: ") +
                                      ::X509_verify_cert_error_string(verdict)};
}

}  // namespace penstock::forward
