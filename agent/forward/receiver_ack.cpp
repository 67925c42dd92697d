#include "agent/forward/receiver_ack.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace penstock::forward {
namespace {

constexpr std::size_t name_bytes_max = 512;
constexpr std::size_t streams_max = 16'384;

class AckReader {
 public:
  explicit AckReader(std::string_view text) : text_(text) {}

  bool read(ReceiverAck& out) {
    bool has_epoch = false;
    bool has_run = false;
    bool has_streams = false;
    const auto once = [](bool& seen) { return !seen && (seen = true); };
    const bool is_read = members('}', [&] {
      std::string name;
      if (!string(name) || !take(':')) return false;
      if (name == "epoch") return once(has_epoch) && string(out.epoch);
      if (name == "run") return once(has_run) && string(out.run);
      return name == "streams" && once(has_streams) && streams(out);
    });
    skip_space();
    return is_read && text_.empty() && has_epoch && has_run && has_streams && !out.epoch.empty() &&
           !out.run.empty();
  }

 private:
  void skip_space() {
    const std::size_t first = text_.find_first_not_of(" \t\r\n");
    text_.remove_prefix(std::min(first, text_.size()));
  }
  bool take(char wanted) {
    skip_space();
    if (text_.empty() || text_.front() != wanted) return false;
    text_.remove_prefix(1);
    return true;
  }
  template <typename Member>
  bool members(char end, Member member) {
    if (!take(end == '}' ? '{' : '[')) return false;
    if (take(end)) return true;
    do {
      if (!member()) return false;
    } while (take(','));
    return take(end);
  }
  bool string(std::string& out) {
    if (!take('"')) return false;
    const std::size_t end = text_.find('"');
    if (end == std::string_view::npos || end > name_bytes_max) return false;
    out = text_.substr(0, end);
    text_.remove_prefix(end + 1);
    return std::all_of(out.begin(), out.end(),
                       [](char c) { return c > ' ' && c < 0x7F && c != '\\'; });
  }
  bool streams(ReceiverAck& out) {
    const bool is_read = members('}', [&] {
      if (out.streams.size() == streams_max) return false;
      ReceiverAck::Stream stream;
      if (!string(stream.name) || !take(':') || !bounds(stream.bounds)) return false;
      out.streams.push_back(std::move(stream));
      return true;
    });
    std::sort(out.streams.begin(), out.streams.end(),
              [](const auto& a, const auto& b) { return a.name < b.name; });
    const auto same =
        std::adjacent_find(out.streams.begin(), out.streams.end(),
                           [](const auto& a, const auto& b) { return a.name == b.name; });
    return is_read && same == out.streams.end();
  }
  bool bounds(std::vector<std::uint64_t>& out) {
    const bool is_read = members(']', [&] {
      std::uint64_t bound = 0;
      if (out.size() == 2 * receiver_ack_ranges_max || !number(bound)) return false;
      if (!out.empty() && bound <= out.back()) return false;
      out.push_back(bound);
      return true;
    });
    return is_read && !out.empty() && out.size() % 2 == 0;
  }
  bool number(std::uint64_t& out) {
    skip_space();
    const auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), out);
    if (error != std::errc()) return false;
    const auto digits = static_cast<std::size_t>(end - text_.data());
    const bool has_zero_before = digits > 1 && text_.front() == '0';
    text_.remove_prefix(digits);
    return !has_zero_before;
  }

  std::string_view text_;
};

}  // namespace

Result<ReceiverAck> parse_receiver_ack(std::string_view json) {
  if (json.size() > receiver_ack_bytes_max) return Error{Errc::invalid, "it is too long"};
  ReceiverAck ack;
  if (!AckReader(json).read(ack)) {
    return Error{Errc::invalid,
                 R"(it is not {"epoch":…,"run":…,"streams":{name: [begin, end, …]}})"};
  }
  return ack;
}

std::string format_receiver_ack(const ReceiverAck& ack) {
  std::string out = fmt::format(R"({{"epoch":"{}","run":"{}","streams":{{)", ack.epoch, ack.run);
  const char* comma = "";
  for (const ReceiverAck::Stream& stream : ack.streams) {
    out += fmt::format(R"({}"{}":[{}])", comma, stream.name, fmt::join(stream.bounds, ","));
    comma = ",";
  }
  out += "}}";
  return out;
}

}  // namespace penstock::forward
