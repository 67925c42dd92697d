#include "connectors/mqtt/packet.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "agent/base/bytes.hpp"
#include "agent/base/text.hpp"

namespace penstock::connectors::mqtt {
namespace {

// The upper half of a packet's first byte: MQTT 5.0, 2.1.2.
enum Kind : std::uint8_t {
  connack = 2,
  publish = 3,
  pubrel = 6,
  suback = 9,
  unsuback = 11,
  pingresp = 13,
  disconnect = 14,
};

constexpr std::size_t text_bytes_max = 65'535;

Error malformed(std::string_view what) {
  return Error{Errc::invalid, "the broker sent a packet that is not MQTT: " + std::string(what)};
}

/// Reads from the front of a packet's body. After the first read beyond the end all is zero.
class Cursor {
 public:
  explicit Cursor(std::string_view body) : rest_(body) {}

  std::string_view take(std::size_t size) {
    if (size > rest_.size()) {
      is_good_ = false;
      rest_ = {};
      return {};
    }
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }
  template <typename T>
  T number() {
    const std::string_view bytes = take(sizeof(T));
    return bytes.empty() ? T{0} : load_be<T>(bytes.data());
  }
  std::uint32_t variable() {
    std::uint32_t value = 0;
    for (unsigned shift = 0; shift < 28; shift += 7) {
      const auto byte = number<std::uint8_t>();
      value |= static_cast<std::uint32_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    is_good_ = false;
    return 0;
  }
  std::string_view text() { return take(number<std::uint16_t>()); }
  std::string_view rest() const { return rest_; }
  bool is_good() const { return is_good_; }
  bool is_done() const { return is_good_ && rest_.empty(); }

 private:
  std::string_view rest_;
  bool is_good_ = true;
};

/// Those that mean something to us; others are passed over.
struct Properties {
  std::optional<std::uint16_t> keep_alive_s = {};
  std::optional<std::uint32_t> session_expiry_s = {};
  std::string_view reason = {};
};

/// MQTT 5.0, 2.2.2.2. false: there is no such property.
bool read_property(std::uint32_t id, Cursor& in, Properties& out) {
  switch (id) {
    case 0x11: out.session_expiry_s = in.number<std::uint32_t>(); return true;
    case 0x13: out.keep_alive_s = in.number<std::uint16_t>(); return true;
    case 0x1F: out.reason = in.text(); return true;
    case 0x01:
    case 0x17:
    case 0x19:
    case 0x24:
    case 0x25:
    case 0x28:
    case 0x29:
    case 0x2A: in.take(1); return true;
    case 0x21:
    case 0x22: in.take(2); return true;
    case 0x02:
    case 0x18:
    case 0x27: in.take(4); return true;
    case 0x0B: in.variable(); return true;
    case 0x26: in.text(); [[fallthrough]];
    case 0x03:
    case 0x08:
    case 0x09:
    case 0x12:
    case 0x15:
    case 0x16:
    case 0x1A:
    case 0x1C: in.text(); return true;
    default: return false;  // 0x23, a topic's alias, too: we allow none
  }
}

/// false: they make no sense.
bool read_properties(Cursor& in, Properties& out) {
  const std::uint32_t size = in.variable();
  Cursor inside(in.take(size));
  while (in.is_good() && inside.is_good() && !inside.rest().empty()) {
    if (!read_property(inside.variable(), inside, out)) return false;
  }
  return in.is_good() && inside.is_good();
}

Result<Packet> parse_connack(std::string_view body) {
  Cursor in(body);
  Connack packet;
  packet.has_session = (in.number<std::uint8_t>() & 1) != 0;
  packet.code = in.number<std::uint8_t>();
  // A broker that does not know MQTT 5 says so in the form of 3.1.1: without properties.
  if (in.is_good() && !in.rest().empty()) {
    Properties properties;
    if (!read_properties(in, properties)) return malformed("CONNACK");
    packet.keep_alive_s = properties.keep_alive_s;
    packet.session_expiry_s = properties.session_expiry_s;
    packet.reason = properties.reason;
  }
  if (!in.is_done()) return malformed("CONNACK");
  return Packet(packet);
}

Result<Packet> parse_suback(Version version, std::string_view body) {
  Cursor in(body);
  in.take(2);
  Properties properties;
  if (version == Version::v5 && !read_properties(in, properties)) return malformed("SUBACK");
  if (!in.is_good() || in.rest().empty()) return malformed("SUBACK");
  return Packet(Suback{in.rest(), properties.reason});
}

Result<Packet> parse_pubrel(Version version, std::string_view body) {
  Cursor in(body);
  const Pubrel packet{in.number<std::uint16_t>()};
  Properties properties;
  if (version == Version::v5 && !in.rest().empty()) {
    in.take(1);
    if (!in.rest().empty() && !read_properties(in, properties)) return malformed("PUBREL");
  }
  if (!in.is_done() || packet.id == 0) return malformed("PUBREL");
  return Packet(packet);
}

Result<Packet> parse_disconnect(std::string_view body) {
  Cursor in(body);
  Properties properties;
  Disconnect packet;
  if (!body.empty()) packet.code = in.number<std::uint8_t>();
  if (!in.rest().empty() && !read_properties(in, properties)) return malformed("DISCONNECT");
  packet.reason = properties.reason;
  if (!in.is_done()) return malformed("DISCONNECT");
  return Packet(packet);
}

void append_number(std::string& out, std::uint16_t value) {
  char bytes[2];
  store_be(bytes, value);
  out.append(bytes, sizeof bytes);
}

void append_text(std::string& out, std::string_view text) {
  PENSTOCK_ASSERT(text.size() <= text_bytes_max);
  append_number(out, static_cast<std::uint16_t>(text.size()));
  out += text;
}

std::string packet_of(std::uint8_t first, std::string_view body) {
  std::string out(1, static_cast<char>(first));
  std::size_t size = body.size();
  do {
    const auto low = static_cast<unsigned char>(size & 0x7F);
    size >>= 7;
    out += static_cast<char>(size > 0 ? low | 0x80 : low);
  } while (size > 0);
  return out += body;
}

/// Packet identifier, and the properties, of which there are none.
std::string filters_head(Version version, std::uint16_t id) {
  std::string body;
  append_number(body, id);
  if (version == Version::v5) body += '\0';
  return body;
}

}  // namespace

PacketReader::PacketReader(Version version, std::size_t payload_bytes_max)
    : version_(version), payload_bytes_max_(payload_bytes_max) {}

void PacketReader::feed(std::string_view data) {
  const std::size_t skipped = std::min(skip_, data.size());
  skip_ -= skipped;
  data.remove_prefix(skipped);
  held_.erase(0, std::exchange(at_, 0));
  held_ += data;
}

Result<std::optional<Packet>> PacketReader::next() {
  const std::string_view data = std::string_view(held_).substr(at_);
  if (data.size() < 2) return std::optional<Packet>();
  std::size_t size = 0;
  std::size_t head = 1;
  for (;; ++head) {
    if (head == 5) return malformed("its length");
    if (head == data.size()) return std::optional<Packet>();
    const auto byte = static_cast<unsigned char>(data[head]);
    size |= static_cast<std::size_t>(byte & 0x7F) << (7 * (head - 1));
    if (byte < 0x80) break;
  }
  ++head;
  const auto first = static_cast<std::uint8_t>(data[0]);
  const std::size_t kept = std::min(size, payload_bytes_max_ + head_bytes_max);
  if (kept < size && first >> 4 != publish) return malformed("its length");
  if (data.size() < head + kept) return std::optional<Packet>();
  const std::size_t here = std::min(data.size() - head, size);
  skip_ = size - here;
  at_ += head + here;
  PENSTOCK_TRY_ASSIGN(Packet packet, parse(first, data.substr(head, kept), kept < size));
  return std::optional<Packet>(packet);
}

Result<Packet> PacketReader::parse(std::uint8_t first, std::string_view body, bool is_cut) const {
  const std::uint8_t kind = first >> 4;
  const std::uint8_t flags = first & 0x0F;
  if (kind == publish) return parse_publish(flags, body, is_cut);
  if (flags != (kind == pubrel ? 2 : 0)) return malformed("its flags");
  switch (kind) {
    case connack: return parse_connack(body);
    case pubrel: return parse_pubrel(version_, body);
    case suback: return parse_suback(version_, body);
    case disconnect: return parse_disconnect(body);
    case unsuback:
    case pingresp: return Packet(Answered{});
    default: return malformed("its kind is not for subscribers");
  }
}

Result<Packet> PacketReader::parse_publish(std::uint8_t flags, std::string_view body,
                                           bool is_cut) const {
  Cursor in(body);
  Publish packet;
  packet.qos = flags >> 1 & 3;
  packet.is_again = (flags & 8) != 0;
  packet.is_retained = (flags & 1) != 0;
  packet.topic = in.text();
  if (packet.qos > 0) packet.id = in.number<std::uint16_t>();
  Properties ignored;
  if (version_ == Version::v5 && !read_properties(in, ignored)) return malformed("PUBLISH");
  if (!in.is_good() || packet.qos == 3 || packet.topic.empty() ||
      (packet.qos > 0 && packet.id == 0)) {
    return malformed("PUBLISH");
  }
  packet.payload = cut_at_character(in.rest(), payload_bytes_max_);
  packet.is_cut = is_cut || packet.payload.size() < in.rest().size();
  return Packet(packet);
}

std::string connect_packet(Version version, const Connect& connect) {
  std::string body;
  append_text(body, "MQTT");
  body += static_cast<char>(version);
  body += static_cast<char>((connect.is_clean ? 0x02 : 0) | (connect.password ? 0x40 : 0) |
                            (connect.user ? 0x80 : 0));
  append_number(body, connect.keep_alive_s);
  if (version == Version::v5) {
    char expiry[4];
    store_be(expiry, connect.session_expiry_s);
    body += "\x08\x11";
    body.append(expiry, sizeof expiry) += '\x21';
    append_number(body, connect.receive_max);
  }
  append_text(body, connect.client_id);
  if (connect.user) append_text(body, *connect.user);
  if (connect.password) append_text(body, *connect.password);
  return packet_of(0x10, body);
}

std::string subscribe_packet(Version version, std::uint16_t id,
                             std::span<const std::string> filters, std::uint8_t qos,
                             RetainHandling retained) {
  std::string body = filters_head(version, id);
  const int handling = version == Version::v5 ? static_cast<int>(retained) << 4 : 0;
  for (const std::string& filter : filters) {
    append_text(body, filter);
    body += static_cast<char>(qos | handling);
  }
  return packet_of(0x82, body);
}

std::string unsubscribe_packet(Version version, std::uint16_t id,
                               std::span<const std::string> filters) {
  std::string body = filters_head(version, id);
  for (const std::string& filter : filters) append_text(body, filter);
  return packet_of(0xA2, body);
}

void append_ack(std::string& out, Ack ack, std::uint16_t id) {
  out += static_cast<char>(ack);
  out += '\x02';
  append_number(out, id);
}

std::string_view ping_packet() { return {"\xC0\x00", 2}; }
std::string_view disconnect_packet() { return {"\xE0\x00", 2}; }

}  // namespace penstock::connectors::mqtt
