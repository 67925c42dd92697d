// The receiver's state as text: one line a stream, a hole or a run of hashes; a count at the end.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "agent/cli/receiver_rule.hpp"

namespace penstock::cli {
namespace {

constexpr std::string_view title = "penstock-receiver\t1";
constexpr std::size_t recent_max = 4096;

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

template <typename T>
bool read_number(std::string_view text, T& value, int base = 10) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  return error == std::errc() && end == text.data() + text.size();
}

Error not_a_state(std::size_t line) {
  return Error{Errc::corrupt, fmt::format("line {} is not of a receiver's state", line + 1)};
}

}  // namespace

std::string ReceiverRule::save() const {
  std::vector<const Stream*> ordered;
  for (const auto& [key, stream] : streams_) ordered.push_back(stream.get());
  std::sort(ordered.begin(), ordered.end(), [](const Stream* a, const Stream* b) {
    return std::tie(a->device, a->stream, a->epoch) < std::tie(b->device, b->stream, b->epoch);
  });
  std::string out(title);
  out += '\n';
  std::size_t lines = 1;
  for (const Stream* stream : ordered) {
    out += fmt::format("stream\t{}\t{}\t{}\t{}\n", stream->device, stream->stream, stream->epoch,
                       stream->next);
    ++lines;
    if (stream->given_up_below != 0) {
      out += fmt::format("given_up\t{}\n", stream->given_up_below);
      ++lines;
    }
    for (const auto& [first, hole] : stream->holes) {
      out += fmt::format("hole\t{}\t{}\t{}\t{}\n", first, hole.end, hole.is_required ? 1 : 0,
                         hole.was_reported ? 1 : 0);
      ++lines;
    }
    if (stream->recent.empty()) continue;
    out += fmt::format("hashes\t{}", stream->recent.size());
    for (const Remembered& slot : stream->recent) {
      out += fmt::format("\t{:x}:{:x}", slot.seq_low, slot.hash);
    }
    out += '\n';
    ++lines;
  }
  out += fmt::format("end\t{}\n", lines);
  return out;
}

Result<void> ReceiverRule::load(std::string_view text, std::int64_t now_us) {
  std::vector<std::string_view> lines = split(text, '\n');
  if (lines.size() < 3 || lines[0] != title) return not_a_state(0);
  if (!lines.back().empty() ||
      lines[lines.size() - 2] != fmt::format("end\t{}", lines.size() - 2)) {
    return Error{Errc::corrupt, "the end is missing"};
  }
  Streams streams;
  std::size_t hashes = 0;
  Stream* stream = nullptr;
  for (std::size_t i = 1; i + 2 < lines.size(); ++i) {
    const std::vector<std::string_view> parts = split(lines[i], '\t');
    if (parts[0] == "stream" && parts.size() == 5) {
      auto added = std::make_unique<Stream>();
      added->device = parts[1];
      added->stream = parts[2];
      added->epoch = parts[3];
      added->is_new = false;
      stream = added.get();
      std::string key = key_of(parts[1], parts[2], parts[3]);
      if (!read_number(parts[4], added->next) || streams.size() >= settings_.streams_max ||
          !streams.emplace(std::move(key), std::move(added)).second) {
        return not_a_state(i);
      }
    } else if (stream == nullptr || !read_part(*stream, parts, now_us)) {
      return not_a_state(i);
    }
    if (parts[0] == "hashes") hashes += stream->recent.size();
  }
  streams_ = std::move(streams);
  hashes_ = hashes;
  last_ = nullptr;
  given_up_.clear();
  counts_.streams = streams_.size();
  return {};
}

bool ReceiverRule::read_part(Stream& stream, const std::vector<std::string_view>& parts,
                             std::int64_t now_us) {
  if (parts[0] == "given_up" && parts.size() == 2) {
    return read_number(parts[1], stream.given_up_below) && stream.given_up_below <= stream.next;
  }
  if (parts[0] == "hole" && parts.size() == 5) {
    std::uint64_t first = 0;
    Hole hole{0, now_us, parts[3] == "1", parts[4] == "1"};
    if (!read_number(parts[1], first) || !read_number(parts[2], hole.end)) return false;
    const std::uint64_t free_from = stream.holes.empty() ? 0 : stream.holes.rbegin()->second.end;
    if (first < free_from || first >= hole.end || hole.end > stream.next) return false;
    stream.holes.emplace(first, hole);
    return true;
  }
  std::size_t size = 0;
  if (parts[0] != "hashes" || parts.size() < 2 || !read_number(parts[1], size)) return false;
  if (size == 0 || size > recent_max || (size & (size - 1)) != 0) return false;
  if (parts.size() != size + 2 || !stream.recent.empty()) return false;
  stream.recent = empty_recent(size);
  for (std::size_t i = 0; i < size; ++i) {
    const std::vector<std::string_view> pair = split(parts[i + 2], ':');
    Remembered& slot = stream.recent[i];
    if (pair.size() != 2 || !read_number(pair[0], slot.seq_low, 16) ||
        !read_number(pair[1], slot.hash, 16)) {
      return false;
    }
  }
  return true;
}

}  // namespace penstock::cli
