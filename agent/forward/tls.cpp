#include "agent/forward/tls.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <memory>
#include <string_view>
#include <utility>

#include "agent/base/log.hpp"
#include "agent/base/unique_fd.hpp"

namespace penstock::forward {
namespace {

using Context = std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)>;

/// The newest reason in OpenSSL's queue, which is emptied.
Error openssl_error(std::string_view what) {
  const unsigned long code = ::ERR_peek_last_error();
  const char* reason = code == 0 ? nullptr : ::ERR_reason_error_string(code);
  ::ERR_clear_error();
  std::string text(what);
  if (reason != nullptr) text += std::string(": ") + reason;
  return Error{Errc::unavailable, std::move(text)};
}

/// Without it OpenSSL would ask for the password of an encrypted key on the terminal.
int give_password(char* out, int size, int, void* files) {
  const std::string& password = static_cast<const TlsFiles*>(files)->key_password;
  if (password.size() > static_cast<std::size_t>(size)) return 0;
  std::copy(password.begin(), password.end(), out);
  return static_cast<int>(password.size());
}

/// `files` must outlive the context's use of it: the callback is called in here only.
Result<void> load(SSL_CTX* context, const TlsFiles& files) {
  ::SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  ::SSL_CTX_set_default_passwd_cb(context, &give_password);
  ::SSL_CTX_set_default_passwd_cb_userdata(context, const_cast<TlsFiles*>(&files));
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
    return openssl_error(files.key_password.empty()
                             ? "tls.key cannot be used (encrypted? give tls.key_password), or does "
                               "not belong to tls.cert"
                             : "tls.key cannot be used (is tls.key_password right?), or does not "
                               "belong to tls.cert");
  }
  std::string protocols;  // as in the packet: each behind its length
  for (const std::string& name : files.alpn) {
    protocols += static_cast<char>(name.size());
    protocols += name;
  }
  if (!protocols.empty()) {
    ::SSL_CTX_set_alpn_protos(context, reinterpret_cast<const unsigned char*>(protocols.data()),
                              static_cast<unsigned>(protocols.size()));
  }
  return {};
}

Result<Context> make_context(const TlsFiles& files) {
  Context context(::SSL_CTX_new(::TLS_client_method()), &::SSL_CTX_free);
  if (!context) return openssl_error("TLS");
  PENSTOCK_TRY(load(context.get(), files));
  return context;
}

/// kind: of SSL_get_error. A port without TLS says nothing, hangs up, or answers in other words.
Error handshake_error(int kind) {
  const bool is_silent = kind == SSL_ERROR_WANT_READ;  // the socket's own time has run out
  const int reason = ERR_GET_REASON(::ERR_peek_last_error());
  const bool may_be_plain = is_silent || reason == 0 || reason == SSL_R_WRONG_VERSION_NUMBER ||
                            reason == SSL_R_UNEXPECTED_EOF_WHILE_READING;
  Error error =
      openssl_error(is_silent ? "no answer to the TLS handshake" : "TLS handshake failed");
  if (may_be_plain) error.text += "; is it a port without TLS (mqtt:// or ws://)?";
  return error;
}

/// What a device that starts with its clock at 1970 has to be told.
std::string clock_question() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  return fmt::format("; this device's clock says {:04}-{:02}-{:02} {:02}:{:02} UTC: is it right?",
                     utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min);
}

/// OpenSSL's words say what failed, not which of our settings it is about.
std::string what_to_do(long verdict, const std::string& host, const TlsFiles& files) {
  switch (verdict) {
    case X509_V_ERR_CERT_NOT_YET_VALID:
    case X509_V_ERR_CERT_HAS_EXPIRED: return clock_question();
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
      return files.ca.empty()
                 ? std::string("; its authority is none of the system's: give the file of its CA")
                 : "; its authority is not in " + penstock::quoted(files.ca);
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH: return "; it is not for " + penstock::quoted(host);
    default: return {};
  }
}

}  // namespace

void keep_tls_at_exit() { ::OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, nullptr); }

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
  PENSTOCK_TRY(make_context(files));
  return {};
}

Result<std::int64_t> certificate_end(const std::string& file) {
  const std::unique_ptr<BIO, decltype(&::BIO_free)> in(::BIO_new_file(file.c_str(), "r"),
                                                       &::BIO_free);
  if (!in) return openssl_error("tls.cert cannot be read");
  const std::unique_ptr<X509, decltype(&::X509_free)> certificate(
      ::PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr), &::X509_free);
  std::tm utc{};
  if (!certificate || ::ASN1_TIME_to_tm(::X509_get0_notAfter(certificate.get()), &utc) != 1) {
    return openssl_error("tls.cert is no certificate");
  }
  return std::int64_t{::timegm(&utc)} * 1'000'000;
}

TlsStream::TlsStream(Context context, Session session)
    : context_(std::move(context)), session_(std::move(session)) {}

Result<TlsStream> TlsStream::open(int socket, const std::string& host, const TlsFiles& files,
                                  std::chrono::milliseconds time_max, const std::stop_token& stop) {
  PENSTOCK_TRY_ASSIGN(auto context, make_context(files));
  ::SSL_CTX_set_verify(context.get(), files.is_insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER,
                       nullptr);
  ::SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION);
  ::SSL_CTX_set_mode(context.get(),
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  Session session(::SSL_new(context.get()), &::SSL_free);
  if (!session) return openssl_error("TLS");
  ::X509_VERIFY_PARAM* const checks = ::SSL_get0_param(session.get());
  if (::X509_VERIFY_PARAM_set1_ip_asc(checks, host.c_str()) != 1) {
    ::ERR_clear_error();
    ::SSL_set1_host(session.get(), host.c_str());
    ::SSL_set_tlsext_host_name(session.get(), host.c_str());
  }
  ::SSL_set_fd(session.get(), socket);
  const auto deadline = std::chrono::steady_clock::now() + time_max;
  int made = ::SSL_connect(session.get());
  // The socket's own time has run out, not ours.
  while (made != 1 && ::SSL_get_error(session.get(), made) == SSL_ERROR_WANT_READ &&
         !stop.stop_requested() && std::chrono::steady_clock::now() < deadline) {
    made = ::SSL_connect(session.get());
  }
  if (made == 1) return TlsStream(std::move(context), std::move(session));
  const long verdict = ::SSL_get_verify_result(session.get());
  if (verdict == X509_V_OK || files.is_insecure) {
    return handshake_error(::SSL_get_error(session.get(), made));
  }
  ::ERR_clear_error();
  return Error{Errc::unavailable, std::string("the broker's certificate is not accepted: ") +
                                      ::X509_verify_cert_error_string(verdict) +
                                      what_to_do(verdict, host, files)};
}

Result<std::size_t> TlsStream::read(char* buffer, std::size_t size) {
  std::size_t bytes = 0;
  ::ERR_clear_error();
  const int rc = ::SSL_read_ex(session_.get(), buffer, size, &bytes);
  return result_of(rc, bytes);
}

Result<std::size_t> TlsStream::write(std::string_view data) {
  std::size_t bytes = 0;
  ::ERR_clear_error();
  const int rc = ::SSL_write_ex(session_.get(), data.data(), data.size(), &bytes);
  return result_of(rc, bytes);
}

Result<std::size_t> TlsStream::result_of(int rc, std::size_t bytes) {
  if (rc == 1) return bytes;
  const int system_error = errno;
  const int kind = ::SSL_get_error(session_.get(), rc);
  if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE) return std::size_t{0};
  if (kind == SSL_ERROR_ZERO_RETURN) return Error{Errc::unavailable, "the server closed it"};
  if (kind == SSL_ERROR_SYSCALL && system_error != 0) return errno_error("TLS", system_error);
  return openssl_error("TLS");
}

bool TlsStream::has_more() const { return ::SSL_has_pending(session_.get()) == 1; }

void TlsStream::close() {
  ::SSL_shutdown(session_.get());
  ::ERR_clear_error();
}

}  // namespace penstock::forward
