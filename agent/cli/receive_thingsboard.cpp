// ThingsBoard's device API back to events: times are cut to milliseconds, members without a value
// and the name of the device are not in it.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <limits>

#include "agent/base/text.hpp"
#include "agent/cli/receive_formats.hpp"

namespace penstock::cli {
namespace {

constexpr std::int64_t us_per_ms = 1'000;

/// What has to be understood is taken apart; values are copied as they are, and checked with the
/// whole afterwards.
class EntryReader {
 public:
  EntryReader(std::string_view payload, std::string_view device, std::string& out)
      : payload_(payload), device_(device), out_(out) {}

  /// False: wrong() says why.
  bool batch();
  const char* wrong() const { return wrong_; }
  std::size_t position() const { return at_; }

 private:
  bool fail(const char* what) {
    wrong_ = what;
    return false;
  }
  bool take(std::string_view word) {
    if (payload_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }
  bool entry();
  bool time(std::int64_t& time_us);
  bool member();
  bool string(std::string_view& inside);
  std::string_view value();

  std::string_view payload_;
  std::string_view device_;
  std::string& out_;
  std::size_t at_ = 0;
  const char* wrong_ = "not ThingsBoard's JSON";

  // Of the present entry; as they stand in the payload.
  std::string_view stream_, epoch_, seq_;
  std::string members_;
};

bool EntryReader::batch() {
  if (!take("[")) return false;
  out_ += '[';
  do {
    if (out_.back() == '}') out_ += ',';
    if (!entry()) return false;
  } while (take(","));
  if (!take("]") || at_ != payload_.size()) return fail("not the end of the array");
  out_ += ']';
  return true;
}

bool EntryReader::entry() {
  stream_ = epoch_ = seq_ = {};
  members_.clear();
  std::int64_t time_us = 0;
  if (!take("{\"ts\":") || !time(time_us) || !take(",\"values\":{")) return false;
  do {
    if (!member()) return false;
  } while (take(","));
  if (!take("}}")) return fail("not the end of an entry");
  if (epoch_.empty() || seq_.empty()) return fail("no epoch or number: not an event of penstock");
  out_ += "{\"time\":\"";
  append_time(out_, time_us);
  out_ += "\",\"device\":";
  append_json_string(out_, device_);
  out_ += fmt::format(",\"stream\":\"{}\",\"epoch\":{},\"seq\":{}{}}}", stream_, epoch_, seq_,
                      members_);
  return true;
}

bool EntryReader::time(std::int64_t& time_us) {
  std::int64_t time_ms = 0;
  const auto read =
      std::from_chars(payload_.data() + at_, payload_.data() + payload_.size(), time_ms);
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max() / us_per_ms;
  if (read.ec != std::errc() || time_ms > most || time_ms < -most) return fail("no time");
  at_ = static_cast<std::size_t>(read.ptr - payload_.data());
  time_us = time_ms * us_per_ms;
  return true;
}

/// "stream.name":value, where no stream holds a dot.
bool EntryReader::member() {
  std::string_view key;
  if (!string(key) || !take(":")) return fail("expected a key and its value");
  const std::size_t dot = key.find('.');
  if (dot == 0 || dot == std::string_view::npos) return fail("a key without a stream");
  if (stream_.empty()) stream_ = key.substr(0, dot);
  if (key.substr(0, dot) != stream_) return fail("keys of several streams in one entry");
  const std::string_view name = key.substr(dot + 1);
  const std::string_view given = value();
  if (given.empty()) return fail("expected a value");
  if (name == "seq" && seq_.empty()) {
    seq_ = given;
  } else if (name == "epoch" && epoch_.empty()) {
    epoch_ = given;
  } else {
    members_ += fmt::format(",\"{}\":{}", name, given);
  }
  return true;
}

bool EntryReader::string(std::string_view& inside) {
  if (!take("\"")) return false;
  const std::size_t first = at_;
  while (at_ < payload_.size() && payload_[at_] != '"') at_ += payload_[at_] == '\\' ? 2 : 1;
  if (at_ >= payload_.size()) return fail("a string without end");
  inside = payload_.substr(first, at_ - first);
  ++at_;
  return true;
}

/// With its quotes if it is a text.
std::string_view EntryReader::value() {
  const std::size_t first = at_;
  std::string_view text;
  if (string(text)) return payload_.substr(first, at_ - first);
  at_ = std::min(payload_.find_first_of(",}\"", first), payload_.size());
  return payload_.substr(first, at_ - first);
}

}  // namespace

Result<void> thingsboard_to_json(std::string_view payload, std::string_view device,
                                 std::string& out) {
  EntryReader reader(payload, device, out);
  if (reader.batch()) return {};
  return Error{Errc::invalid, fmt::format("{} at byte {}", reader.wrong(), reader.position())};
}

}  // namespace penstock::cli
