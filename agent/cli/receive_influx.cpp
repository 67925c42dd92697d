// InfluxDB's line protocol back to events: what makes the verdict is in it, the order of members
// and members without a value are not.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <limits>

#include "agent/base/text.hpp"
#include "agent/cli/receive_formats.hpp"

namespace penstock::cli {
namespace {

// As the upstream's encoder has it: the number stands in the nanoseconds, docs/wire-format.md.
constexpr std::int64_t numbers_apart = 1'000'000;
constexpr std::int64_t ns_per_us = 1'000;

class LineReader {
 public:
  LineReader(std::string_view payload, std::string& out) : payload_(payload), out_(out) {}

  /// False: wrong() says why.
  bool batch();
  const char* wrong() const { return wrong_; }
  std::size_t position() const { return at_; }

 private:
  bool fail(const char* what) {
    wrong_ = what;
    return false;
  }
  bool is_at_end() const { return at_ == payload_.size(); }
  bool take(char c) {
    if (is_at_end() || payload_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool event();
  bool tags();
  bool fields();
  bool time(std::int64_t& time_us);
  void name(std::string& into, std::string_view ends);
  bool quoted(std::string& into);
  bool value();
  bool word();
  void add_member();

  std::string_view payload_;
  std::string& out_;
  std::size_t at_ = 0;
  const char* wrong_ = "not line protocol";

  // Of the present line.
  std::string measurement_, key_, text_;
  std::string device_, epoch_, seq_;  // JSON
  std::string members_;
  std::string value_;  // JSON
};

bool LineReader::batch() {
  out_ += '[';
  do {
    if (out_.back() == '}') out_ += ',';
    if (!event()) return false;
  } while (!is_at_end());
  out_ += ']';
  return true;
}

bool LineReader::event() {
  members_.clear();
  device_.clear();
  epoch_.clear();
  seq_.clear();
  name(measurement_, ", \n");
  std::int64_t time_us = 0;
  if (measurement_.empty() || !tags() || !fields() || !time(time_us)) return false;
  if (device_.empty() || epoch_.empty() || seq_.empty()) {
    return fail("no device, epoch or number: not a line of penstock");
  }
  out_ += "{\"time\":\"";
  append_time(out_, time_us);
  out_ += fmt::format("\",\"device\":{},\"stream\":", device_);
  append_json_string(out_, measurement_);
  out_ += fmt::format(",\"epoch\":{},\"seq\":{}{}}}", epoch_, seq_, members_);
  return true;
}

bool LineReader::tags() {
  while (take(',')) {
    name(key_, "=\n");
    if (!take('=')) return fail("a tag without a value");
    name(text_, ", \n");
    value_.clear();
    append_json_string(value_, text_);
    add_member();
  }
  return take(' ');
}

bool LineReader::fields() {
  do {
    name(key_, "=\n");
    if (!take('=') || !value()) return false;
    add_member();
  } while (take(','));
  return take(' ');
}

/// The number that was added to the nanoseconds is taken out again.
bool LineReader::time(std::int64_t& time_us) {
  std::int64_t time_ns = 0;
  const char* const end = payload_.data() + payload_.size();
  const auto read = std::from_chars(payload_.data() + at_, end, time_ns);
  if (read.ec != std::errc()) return fail("no time");
  at_ = static_cast<std::size_t>(read.ptr - payload_.data());
  std::uint64_t seq = 0;
  std::from_chars(seq_.data(), seq_.data() + seq_.size(), seq);
  if (time_ns < std::numeric_limits<std::int64_t>::min() + numbers_apart) return fail("no time");
  const std::int64_t exact_ns = time_ns - static_cast<std::int64_t>(seq % numbers_apart);
  if (exact_ns % ns_per_us != 0) return fail("a time that does not have its number in it");
  time_us = exact_ns / ns_per_us;
  return take('\n') || is_at_end();
}

/// Up to one of `ends` that has no backslash before it.
void LineReader::name(std::string& into, std::string_view ends) {
  into.clear();
  for (; !is_at_end() && ends.find(payload_[at_]) == std::string_view::npos; ++at_) {
    const bool is_escape =
        payload_[at_] == '\\' && at_ + 1 < payload_.size() &&
        std::string_view(", =").find(payload_[at_ + 1]) != std::string_view::npos;
    if (is_escape) ++at_;
    into += payload_[at_];
  }
}

bool LineReader::quoted(std::string& into) {
  into.clear();
  for (; !is_at_end(); ++at_) {
    if (payload_[at_] == '"') return take('"');
    const bool is_escape = payload_[at_] == '\\' && at_ + 1 < payload_.size() &&
                           (payload_[at_ + 1] == '"' || payload_[at_ + 1] == '\\');
    if (is_escape) ++at_;
    into += payload_[at_];
  }
  return fail("a text without an end");
}

bool LineReader::value() {
  value_.clear();
  if (!take('"')) return word();
  if (!quoted(text_)) return false;
  append_json_string(value_, text_);
  return true;
}

/// true, false, or a number, whose i says that it is whole.
bool LineReader::word() {
  const std::size_t end = std::min(payload_.find_first_of(", \n", at_), payload_.size());
  value_ = payload_.substr(at_, end - at_);
  at_ = end;
  if (value_ == "true" || value_ == "false") return true;
  if (value_.size() > 1 && value_.back() == 'i') value_.pop_back();
  const bool is_number =
      !value_.empty() && value_.find_first_not_of("+-.0123456789eE") == std::string::npos;
  return is_number || fail("a value that is neither text nor number");
}

void LineReader::add_member() {
  if (key_ == "device") {
    device_ = value_;
  } else if (key_ == "epoch") {
    epoch_ = value_;
  } else if (key_ == "seq") {
    seq_ = value_;
  } else {
    members_ += ',';
    append_json_string(members_, key_);
    members_ += ':';
    members_ += value_;
  }
}

}  // namespace

Result<void> influx_to_json(std::string_view payload, std::string& out) {
  LineReader reader(payload, out);
  if (reader.batch()) return {};
  return Error{Errc::invalid, fmt::format("{} at byte {}", reader.wrong(), reader.position())};
}

}  // namespace penstock::cli
