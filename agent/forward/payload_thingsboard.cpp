// The JSON of ThingsBoard's device API: an array of {"ts": milliseconds, "values": {key: value}}.
// ThingsBoard keeps a series for each key of a device, so a key is the stream, a dot, and the
// member: no stream's name holds a dot.
#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "agent/base/text.hpp"
#include "agent/forward/event_members.hpp"
#include "agent/forward/payload.hpp"

namespace penstock::forward {
namespace {

/// ThingsBoard keeps a number with more decimals than this, or in powers of ten, as a text.
constexpr int decimals_max = 16;
/// From here on rounding leaves at least thirteen digits.
constexpr double rounded_min = 1e-3;
/// The longest double without an exponent, with its decimals.
constexpr std::size_t plain_bytes_max = 384;

std::int64_t floored_ms(std::int64_t time_us) {
  return time_us / 1000 - (time_us % 1000 < 0 ? 1 : 0);
}

bool is_taken_as_number(std::string_view real) {
  const std::size_t dot = real.find('.');
  return real.find_first_of("eE") == std::string_view::npos && dot != std::string_view::npos &&
         real.size() - dot - 1 <= decimals_max;
}

/// As written where ThingsBoard takes it as a number, else rounded so that it does.
void append_real(std::string& out, std::string_view real) {
  double value = 0;
  std::from_chars(real.data(), real.data() + real.size(), value);
  if (is_taken_as_number(real) || std::abs(value) < rounded_min) {
    out += real;
    return;
  }
  char buffer[plain_bytes_max];
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::fixed, decimals_max);
  std::string_view plain(buffer, static_cast<std::size_t>(end.ptr - buffer));
  plain.remove_suffix(plain.size() - 1 - plain.find_last_not_of('0'));
  out += plain;
  if (plain.back() == '.') out += '0';
}

/// It has signed integers only, and refuses a message with a larger one.
void append_integer(std::string& out, std::string_view number) {
  std::int64_t value = 0;
  const auto read = std::from_chars(number.data(), number.data() + number.size(), value);
  out += number;
  if (read.ec != std::errc()) out += ".0";
}

class ThingsboardEncoder final : public Encoder {
 public:
  Result<std::string> encode(std::span<const std::string_view> events) const override {
    std::string out = "[";
    std::vector<Member> members;
    for (const std::string_view event : events) {
      PENSTOCK_TRY(read_members(event, members));
      if (out.size() > 1) out += ',';
      PENSTOCK_TRY(append_entry(out, members));
    }
    out += ']';
    return out;
  }
  std::string_view content_type() const override { return "application/json"; }

 private:
  static Result<void> append_entry(std::string& out, const std::vector<Member>& members) {
    PENSTOCK_TRY_ASSIGN(const std::int64_t time_us, time_of(members));
    const fmt::format_int ms(floored_ms(time_us));
    const std::string& stream = members[stream_at].text;
    out += "{\"ts\":";
    out.append(ms.data(), ms.size());
    out += ",\"values\":{";
    append_member(out, stream, members[seq_at]);
    out += ',';
    append_member(out, stream, members[epoch_at]);
    for (std::size_t i = opening_count; i < members.size(); ++i) {
      if (members[i].kind == Member::Kind::null) continue;  // it has no null
      out += ',';
      append_member(out, stream, members[i]);
    }
    out += "}}";
    return {};
  }

  static void append_member(std::string& out, const std::string& stream, const Member& member) {
    append_json_string(out, stream + '.' + member.name);
    out += ':';
    switch (member.kind) {
      case Member::Kind::null: break;
      case Member::Kind::boolean: out += member.is_true ? "true" : "false"; break;
      case Member::Kind::integer: append_integer(out, member.text); break;
      case Member::Kind::real: append_real(out, member.text); break;
      case Member::Kind::text: append_json_string(out, member.text); break;
    }
  }
};

}  // namespace

std::unique_ptr<const Encoder> make_thingsboard_encoder() {
  return std::make_unique<ThingsboardEncoder>();
}

}  // namespace penstock::forward
