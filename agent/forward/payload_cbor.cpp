// CBOR (RFC 8949): an array of maps, with the members of the JSON form.
#include <charconv>
#include <cstring>

#include "agent/forward/event_members.hpp"
#include "agent/forward/payload.hpp"

namespace penstock::forward {
namespace {

// RFC 8949, 3.1 and 3.3.
enum Major : std::uint8_t {
  unsigned_integer = 0,
  negative_integer = 1,
  text = 3,
  array = 4,
  map = 5
};
constexpr char simple_false = '\xf4';
constexpr char simple_true = '\xf5';
constexpr char simple_null = '\xf6';
constexpr char float64 = '\xfb';

void append_big_endian(std::string& out, std::uint64_t value, int bytes) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) {
    out += static_cast<char>(value >> static_cast<unsigned>(shift));
  }
}

void append_head(std::string& out, Major major, std::uint64_t value) {
  const auto first = static_cast<unsigned>(major) << 5U;
  if (value < 24) {
    out += static_cast<char>(first | value);
    return;
  }
  const int size_log2 = value < 1U << 8U ? 0 : value < 1U << 16U ? 1 : value < 1ULL << 32U ? 2 : 3;
  out += static_cast<char>(first | (24U + static_cast<unsigned>(size_log2)));
  append_big_endian(out, value, 1 << size_log2);
}

void append_text(std::string& out, std::string_view value) {
  append_head(out, Major::text, value.size());
  out += value;
}

void append_real(std::string& out, std::string_view number) {
  double value = 0;
  std::from_chars(number.data(), number.data() + number.size(), value);
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  out += float64;
  append_big_endian(out, bits, sizeof bits);
}

/// A whole number; a double where it fits into no 64 bits.
void append_integer(std::string& out, std::string_view number) {
  const bool is_negative = number.front() == '-';
  const std::string_view digits = number.substr(is_negative ? 1 : 0);
  std::uint64_t value = 0;
  const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (read.ec != std::errc()) return append_real(out, number);
  if (is_negative && value != 0) {
    append_head(out, Major::negative_integer, value - 1);
  } else {
    append_head(out, Major::unsigned_integer, value);
  }
}

class CborEncoder final : public Encoder {
 public:
  Result<std::string> encode(std::span<const std::string_view> events) const override {
    std::string out;
    std::vector<Member> members;
    append_head(out, Major::array, events.size());
    for (const std::string_view event : events) {
      PENSTOCK_TRY(read_members(event, members));
      append_head(out, Major::map, members.size());
      for (const Member& member : members) {
        append_text(out, member.name);
        append_value(out, member);
      }
    }
    return out;
  }
  std::string_view content_type() const override { return "application/cbor"; }
  bool is_text() const override { return false; }

 private:
  static void append_value(std::string& out, const Member& member) {
    switch (member.kind) {
      case Member::Kind::null: out += simple_null; break;
      case Member::Kind::boolean: out += member.is_true ? simple_true : simple_false; break;
      case Member::Kind::integer: append_integer(out, member.text); break;
      case Member::Kind::real: append_real(out, member.text); break;
      case Member::Kind::text: append_text(out, member.text); break;
    }
  }
};

}  // namespace

std::unique_ptr<const Encoder> make_cbor_encoder() { return std::make_unique<CborEncoder>(); }

}  // namespace penstock::forward
