#include "connectors/support/datagrams.hpp"

#include <cstring>
#include <string>

#include "agent/base/text.hpp"
#include "connectors/support/listen_address.hpp"

namespace penstock::connectors::support {
namespace {

constexpr std::size_t control_bytes = CMSG_SPACE(sizeof(std::uint32_t));

/// The kernel's count of drops that came with a datagram.
bool read_drops(msghdr& header, std::uint32_t& drops) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SO_RXQ_OVFL) continue;
    std::memcpy(&drops, CMSG_DATA(part), sizeof(drops));
    return true;
  }
  return false;
}

}  // namespace

Datagrams::Datagrams(std::size_t message_bytes_max)
    : bytes_max_(message_bytes_max),
      bytes_(std::make_unique_for_overwrite<char[]>(message_bytes_max * count_max)) {}

std::uint64_t Datagrams::receive(int fd, const Take& take) {
  if (headers_.empty()) make_headers();
  for (std::size_t i = 0; i < count_max; ++i) {
    pieces_[i] = {bytes_.get() + i * bytes_max_, bytes_max_};
    msghdr& header = headers_[i].msg_hdr;
    header = {};
    header.msg_name = &senders_[i];
    header.msg_namelen = sizeof(sockaddr_storage);
    header.msg_iov = &pieces_[i];
    header.msg_iovlen = 1;
    header.msg_control = control_.get() + i * control_bytes;
    header.msg_controllen = control_bytes;
  }
  const int count = ::recvmmsg(fd, headers_.data(), count_max, MSG_DONTWAIT, nullptr);
  std::uint64_t dropped = 0;
  std::string host;
  for (int i = 0; i < count; ++i) {
    mmsghdr& received = headers_[static_cast<std::size_t>(i)];
    if (std::uint32_t drops = 0; read_drops(received.msg_hdr, drops)) {
      dropped += static_cast<std::uint32_t>(drops - dropped_before_);
      dropped_before_ = drops;
    }
    const sockaddr_storage& sender = senders_[static_cast<std::size_t>(i)];
    const bool is_same = i > 0 && received.msg_hdr.msg_namelen > 0 &&
                         std::memcmp(&sender, &senders_[static_cast<std::size_t>(i) - 1],
                                     received.msg_hdr.msg_namelen) == 0;
    if (!is_same) host = received.msg_hdr.msg_namelen > 0 ? host_text(sender) : std::string();
    const bool is_cut = (received.msg_hdr.msg_flags & MSG_TRUNC) != 0;
    std::string_view message(
        pieces_[static_cast<std::size_t>(i)].iov_base
            ? static_cast<const char*>(pieces_[static_cast<std::size_t>(i)].iov_base)
            : nullptr,
        received.msg_len);
    if (is_cut) message = cut_at_character(message, message.size() - 1);
    if (!message.empty()) take(message, is_cut, host);
  }
  return dropped;
}

void Datagrams::make_headers() {
  headers_.resize(count_max);
  pieces_.resize(count_max);
  senders_.resize(count_max);
  control_ = std::make_unique<char[]>(control_bytes * count_max);
}

}  // namespace penstock::connectors::support
