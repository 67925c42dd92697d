#include "agent/base/wire.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "agent/base/text.hpp"

namespace penstock {

std::string_view to_string(LossReason reason) {
  switch (reason) {
    case LossReason::source: return "source";
    case LossReason::buffer_full: return "buffer_full";
    case LossReason::expired: return "expired";
    case LossReason::refused: return "refused";
    case LossReason::corrupt: return "corrupt";
    case LossReason::purged: return "purged";
  }
  return "unknown";
}

EventHead::EventHead(std::string_view device, std::string_view stream, std::string_view epoch) {
  middle_ = "\",\"device\":";
  append_json_string(middle_, device);
  middle_ += ",\"stream\":";
  append_json_string(middle_, stream);
  middle_ += ",\"epoch\":";
  append_json_string(middle_, epoch);
  middle_ += ",\"seq\":";
}

void EventHead::append(std::string& out, std::int64_t time_unix_us, std::uint64_t seq) const {
  out += "{\"time\":\"";
  append_time(out, time_unix_us);
  out += middle_;
  const fmt::format_int digits(seq);
  out.append(digits.data(), digits.size());
}

void append_loss_record(std::string& out, const EventHead& head, std::int64_t time_unix_us,
                        std::uint64_t seq, std::uint64_t count, LossReason reason, bool is_exact,
                        std::uint8_t code) {
  head.append(out, time_unix_us, seq);
  out += ",\"lost\":";
  out += fmt::format_int(count).str();
  if (!is_exact) out += ",\"exact\":false";
  out += ",\"reason\":\"";
  out += to_string(reason);
  out += '"';
  if (code != 0) {
    out += ",\"code\":";
    out += fmt::format_int(code).str();
  }
  out += '}';
}

bool is_reserved_member(std::string_view name) {
  constexpr std::array<std::string_view, 13> reserved{"time",  "device", "stream", "epoch", "seq",
                                                      "lost",  "exact",  "reason", "part",  "cut",
                                                      "clock", "boot",   "up_us"};
  return std::find(reserved.begin(), reserved.end(), name) != reserved.end();
}

}  // namespace penstock
