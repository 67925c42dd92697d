// Fuzz target: any bytes from a broker, whole and in pieces: the packets must be the same, and no
// more than one packet's front may be held.
#include <string>
#include <vector>

#include "agent/base/assert.hpp"
#include "connectors/mqtt/packet.hpp"

using namespace penstock::connectors::mqtt;

namespace {

constexpr std::size_t payload_bytes_max = 24;

/// All that a packet says, as text; reads every view.
struct Shown {
  std::string operator()(const Answered&) const { return "answered"; }
  std::string operator()(const Connack& p) const {
    return "connack " + std::to_string(p.code) + (p.has_session ? "+" : "-") +
           std::to_string(p.keep_alive_s.value_or(0)) + " " +
           std::to_string(p.session_expiry_s.value_or(0)) + std::string(p.reason);
  }
  std::string operator()(const Publish& p) const {
    PENSTOCK_ASSERT(!p.topic.empty() && p.qos <= 2 && (p.qos == 0) == (p.id == 0));
    PENSTOCK_ASSERT(p.payload.size() <= payload_bytes_max);
    return "publish " + std::to_string(p.id) + (p.is_again ? "+" : "-") +
           (p.is_retained ? "+" : "-") + (p.is_cut ? "+" : "-") + std::string(p.topic) + " " +
           std::string(p.payload);
  }
  std::string operator()(const Pubrel& p) const {
    PENSTOCK_ASSERT(p.id != 0);
    return "pubrel " + std::to_string(p.id);
  }
  std::string operator()(const Suback& p) const {
    PENSTOCK_ASSERT(!p.codes.empty());
    return "suback " + std::string(p.codes) + std::string(p.reason);
  }
  std::string operator()(const Disconnect& p) const {
    PENSTOCK_ASSERT(!reason_words(Version::v5, p.code).empty());
    return "disconnect " + std::to_string(p.code) + std::string(p.reason);
  }
};

std::vector<std::string> packets_of(Version version, std::string_view data, std::size_t piece) {
  PacketReader reader(version, payload_bytes_max);
  std::vector<std::string> out;
  while (!data.empty()) {
    const std::string front(data.substr(0, piece));
    data.remove_prefix(front.size());
    reader.feed(front);
    for (;;) {
      const auto packet = reader.next();
      if (!packet.ok()) {
        out.emplace_back("broken");
        return out;
      }
      if (!packet.value()) break;
      out.push_back(std::visit(Shown(), *packet.value()));
    }
    PENSTOCK_ASSERT(reader.held_bytes() <= payload_bytes_max + PacketReader::head_bytes_max + 5);
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  const Version version = (data[0] & 1) != 0 ? Version::v5 : Version::v311;
  const std::size_t piece = 1 + (data[0] >> 1) % 11;
  const std::string_view stream(reinterpret_cast<const char*>(data) + 1, size - 1);
  PENSTOCK_ASSERT(packets_of(version, stream, stream.size() + 1) ==
                  packets_of(version, stream, piece));
  return 0;
}
