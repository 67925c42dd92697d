// Transport: one outgoing TCP or TLS connection that never blocks once it is open.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "agent/base/result.hpp"
#include "agent/base/unique_fd.hpp"

struct ssl_ctx_st;
struct ssl_st;

namespace penstock::connectors::mqtt {

struct TlsClientFiles {
  std::string ca;    ///< PEM: authorities to trust; "" = the system's
  std::string cert;  ///< PEM: our chain, "" = none
  std::string key;   ///< PEM
  bool is_insecure = false;
};

/// Thread: one at a time.
class Transport {
 public:
  /// Tries the host's addresses in turn; with `tls` also shakes hands and checks the certificate
  /// and its name. stopped: stop_fd became readable (a name look-up is waited for).
  /// unavailable: what failed, for the address tried last.
  static Result<Transport> open(const std::string& host, std::uint16_t port,
                                const TlsClientFiles* tls, int stop_fd,
                                std::chrono::microseconds timeout);

  /// Bytes that were read into `buffer` (or written of `data`); 0 = not now. unavailable: the
  /// connection has ended, and how.
  Result<std::size_t> read(char* buffer, std::size_t size);
  Result<std::size_t> write(std::string_view data);

  int fd() const { return fd_.get(); }
  /// poll(2)'s events to wait for, if reading (and writing) is wanted.
  short events(bool reads, bool writes) const;
  /// Whether read() has more although the socket is silent.
  bool has_more() const;
  /// Ends TLS in good order, if that takes no wait.
  void close();

 private:
  Transport(UniqueFd fd, std::chrono::microseconds patience);
  Result<void> shake_hands(const std::string& host, const TlsClientFiles& files, int stop_fd,
                           std::int64_t deadline_us);
  Result<std::size_t> tls_result(int rc, std::size_t bytes);

  UniqueFd fd_;
  std::unique_ptr<ssl_ctx_st, void (*)(ssl_ctx_st*)> context_;
  std::unique_ptr<ssl_st, void (*)(ssl_st*)> tls_;
  bool wants_write_ = false;  // TLS has to write before it can read
};

}  // namespace penstock::connectors::mqtt
