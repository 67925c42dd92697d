// Datagrams: receives many datagrams with one system call, and what the kernel dropped before them.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

namespace penstock::connectors::support {

/// Takes memory from the first datagram on, and then only as far as datagrams fill its buffers.
/// Thread: owner only.
class Datagrams {
 public:
  explicit Datagrams(std::size_t message_bytes_max);

  using Take = std::function<void(std::string_view message, bool is_cut, std::string_view host)>;
  /// Takes what is there, up to a few dozen; never blocks. Returns how many datagrams the kernel
  /// has dropped since the last call, because the socket's buffer was full.
  std::uint64_t receive(int fd, const Take& take);

 private:
  static constexpr std::size_t count_max = 64;

  void make_headers();

  std::size_t bytes_max_;
  std::unique_ptr<char[]> bytes_;
  std::vector<mmsghdr> headers_;
  std::vector<iovec> pieces_;
  std::vector<sockaddr_storage> senders_;
  std::unique_ptr<char[]> control_;
  std::uint32_t dropped_before_ = 0;  // the kernel's counter, which wraps
};

}  // namespace penstock::connectors::support
