// TLS said plainly: whether its files can be read, and why a handshake fails. Paho tells neither.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

#include "agent/base/result.hpp"
#include "agent/forward/mqtt_options.hpp"

struct ssl_ctx_st;
struct ssl_st;

namespace penstock::forward {

/// OpenSSL is not taken down when the process ends: an attempt to connect that was given up may
/// still use it, in a thread of its own. Before anything else uses it. Thread: main.
void keep_tls_at_exit();

/// invalid: names the option and the file that cannot be read. unavailable: what is in them cannot
/// be used, or the key's password is wrong.
Result<void> check_tls_files(const TlsFiles& files);

/// The end of the first certificate in a PEM file, in µs since 1970.
Result<std::int64_t> certificate_end(const std::string& file);

/// TLS on a socket that somebody else owns and closes. Thread: one at a time.
class TlsStream {
 public:
  /// A handshake on a connected, blocking socket; certificate and host name are checked unless
  /// `files` says otherwise. Blocks for `time_max` and one of the socket's own timeouts at most, or
  /// for one of these after `stop` was asked for. unavailable: says what is wrong.
  static Result<TlsStream> open(int socket, const std::string& host, const TlsFiles& files,
                                std::chrono::milliseconds time_max,
                                const std::stop_token& stop = {});

  /// Bytes that were read (or written of `data`); 0: not now. The same bytes have to be given to
  /// write() until it takes some. unavailable: the connection has ended.
  Result<std::size_t> read(char* buffer, std::size_t size);
  Result<std::size_t> write(std::string_view data);
  /// Whether read() has more although the socket is silent.
  bool has_more() const;
  /// Says goodbye, if the socket takes it.
  void close();

 private:
  using Context = std::unique_ptr<ssl_ctx_st, void (*)(ssl_ctx_st*)>;
  using Session = std::unique_ptr<ssl_st, void (*)(ssl_st*)>;
  TlsStream(Context context, Session session);
  Result<std::size_t> result_of(int rc, std::size_t bytes);

  Context context_;
  Session session_;
};

}  // namespace penstock::forward
