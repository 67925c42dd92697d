// InfluxDB's line protocol: a line per event. The measurement is the stream, tags are the device
// and the configured ones, all else are fields; the number is the field `seq`.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

#include "agent/forward/event_members.hpp"
#include "agent/forward/payload.hpp"

namespace penstock::forward {
namespace {

/// Two points with one time and the same tags are one to InfluxDB, and the later wins. Many events
/// may share a time: those of a chunk are stamped together, and some sources know seconds only. So
/// the number is added as nanoseconds, a millisecond at most, and they stay apart and in order.
constexpr std::uint64_t numbers_apart = 1'000'000;
constexpr std::int64_t ns_per_us = 1000;
/// Nanoseconds in 64 bits end in the year 2262.
constexpr std::int64_t time_us_max = std::numeric_limits<std::int64_t>::max() / ns_per_us - 1000;

/// With a backslash before each of `special`. Line breaks become blanks: no name can hold them. Nor
/// can one end in a backslash, which would escape what follows: it escapes a blank instead.
void append_name(std::string& out, std::string_view text, std::string_view special) {
  for (const char c : text) {
    const char kept = c == '\n' || c == '\r' ? ' ' : c;
    if (special.find(kept) != std::string_view::npos) out += '\\';
    out += kept;
  }
  if (text.ends_with('\\')) out += ' ';
}

void append_measurement(std::string& out, std::string_view text) { append_name(out, text, ", "); }
void append_key(std::string& out, std::string_view text) { append_name(out, text, ",= "); }

void append_text_field(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  out += '"';
}

/// InfluxDB has signed integers only; what is larger becomes a float.
void append_integer_field(std::string& out, std::string_view number) {
  std::int64_t value = 0;
  const auto read = std::from_chars(number.data(), number.data() + number.size(), value);
  out += number;
  if (read.ec == std::errc()) out += 'i';
}

class InfluxEncoder final : public Encoder {
 public:
  explicit InfluxEncoder(TagNames tags) : tags_(std::move(tags)) {}

  Result<std::string> encode(std::span<const std::string_view> events) const override {
    std::string out;
    std::vector<Member> members;
    for (const std::string_view event : events) {
      PENSTOCK_TRY(read_members(event, members));
      PENSTOCK_TRY(append_line(out, members));
    }
    return out;
  }
  std::string_view content_type() const override { return "text/plain; charset=utf-8"; }

 private:
  Result<void> append_line(std::string& out, const std::vector<Member>& members) const {
    PENSTOCK_TRY_ASSIGN(const std::int64_t time_us, time_of(members));
    const std::string& number = members[seq_at].text;
    std::uint64_t seq = 0;
    std::from_chars(number.data(), number.data() + number.size(), seq);

    append_measurement(out, members[stream_at].text);
    append_tag(out, members[device_at]);
    const auto tags = tags_.find(connector_of(members[stream_at].text));
    const auto is_tag = [&](const Member& member) {
      return tags != tags_.end() && member.kind == Member::Kind::text &&
             tags->second.count(member.name) != 0;
    };
    for (std::size_t i = opening_count; i < members.size(); ++i) {
      if (is_tag(members[i])) append_tag(out, members[i]);
    }
    out += " seq=";
    append_integer_field(out, number);
    append_field(out, members[epoch_at]);
    for (std::size_t i = opening_count; i < members.size(); ++i) {
      if (!is_tag(members[i])) append_field(out, members[i]);
    }
    const std::int64_t time_ns = std::clamp(time_us, -time_us_max, time_us_max) * ns_per_us +
                                 static_cast<std::int64_t>(seq % numbers_apart);
    const fmt::format_int time_text(time_ns);
    out += ' ';
    out.append(time_text.data(), time_text.size());
    out += '\n';
    return {};
  }

  static std::string_view connector_of(std::string_view stream) {
    return stream.substr(0, stream.find('/'));
  }

  /// A tag without a value is not allowed, and says nothing.
  static void append_tag(std::string& out, const Member& member) {
    if (member.text.empty()) return;
    out += ',';
    append_key(out, member.name);
    out += '=';
    append_key(out, member.text);
  }

  static void append_field(std::string& out, const Member& member) {
    if (member.kind == Member::Kind::null) return;  // line protocol has no null
    out += ',';
    append_key(out, member.name);
    out += '=';
    switch (member.kind) {
      case Member::Kind::null: break;
      case Member::Kind::boolean: out += member.is_true ? "true" : "false"; break;
      case Member::Kind::integer: append_integer_field(out, member.text); break;
      case Member::Kind::real: out += member.text; break;
      case Member::Kind::text: append_text_field(out, member.text); break;
    }
  }

  const TagNames tags_;
};

}  // namespace

std::unique_ptr<const Encoder> make_influx_encoder(TagNames tags) {
  return std::make_unique<InfluxEncoder>(std::move(tags));
}

}  // namespace penstock::forward
