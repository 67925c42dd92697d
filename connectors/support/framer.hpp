// Framer: finds the messages in a stream of bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "agent/base/text.hpp"

namespace penstock::connectors::support {

/// How messages follow each other in a stream.
enum class Framing {
  newline,  ///< each ends with LF; a CR in front of it does not count
  nul,      ///< each ends with a NUL byte
  u8,       ///< behind their length, an unsigned integer of so many bits
  u16_be,
  u16_le,
  u32_be,
  u32_le,
  octet_counted,  ///< behind their length as decimal text and a blank: RFC 6587, 3.4.1
  automatic,      ///< octet_counted where a message looks so ("123 <"), else newline
};

/// One for each connection. A message over the limit is handed over cut (at a character boundary),
/// and its rest is skipped; the messages behind it are whole again. Holds at most one unfinished
/// message. Thread: owner only.
class Framer {
 public:
  Framer(Framing framing, std::size_t message_bytes_max)
      : framing_(framing), bytes_max_(message_bytes_max) {}

  /// Calls on_message(std::string_view text, bool is_cut) for each message that is complete. Empty
  /// lines are no messages. false: the lengths make no sense, so no further message can be found;
  /// what remains of the stream has to be given up.
  template <typename OnMessage>
  bool feed(std::string_view data, OnMessage&& on_message);
  /// The stream has ended well: an unfinished line is a message too. Returns bytes that are none.
  template <typename OnMessage>
  std::size_t finish(OnMessage&& on_message);

  /// Whether part of a message has come, and its rest has not.
  bool is_inside() const { return !pending_.empty() || skip_ > 0 || is_skipping_line_; }
  /// What there is of it: fit for an excerpt.
  std::string_view pending() const { return pending_; }
  /// Bytes of messages that were cut.
  std::uint64_t skipped_bytes() const { return skipped_bytes_; }

  /// A length beyond this is not believed.
  static constexpr std::uint64_t believable_bytes_max = 64 * 1024 * 1024;

 private:
  /// What stands at the front of `data`.
  struct Head {
    enum class Kind { incomplete, broken, counted, line } kind = Kind::incomplete;
    std::size_t head_bytes = 0;
    std::uint64_t body_bytes = 0;
  };
  Head read_head(std::string_view data) const;
  Head read_decimal(std::string_view data) const;
  static Head read_binary(std::string_view data, std::size_t width, bool is_big_endian);
  char terminator() const { return framing_ == Framing::nul ? '\0' : '\n'; }

  /// Consumes from the front; returns bytes consumed, 0 if more are needed.
  template <typename OnMessage>
  std::size_t take_line(std::string_view data, OnMessage& on_message);
  template <typename OnMessage>
  std::size_t take_counted(std::string_view data, const Head& head, OnMessage& on_message);
  std::size_t skip(std::string_view data);
  template <typename OnMessage>
  std::size_t consume(std::string_view data, OnMessage& on_message);

  Framing framing_;
  std::size_t bytes_max_;
  std::string pending_;
  std::uint64_t skip_ = 0;         // bytes of a counted message that are still to be passed over
  bool is_skipping_line_ = false;  // up to the next newline
  bool is_broken_ = false;
  std::uint64_t skipped_bytes_ = 0;
};

template <typename OnMessage>
std::size_t Framer::take_line(std::string_view data, OnMessage& on_message) {
  const std::size_t end = data.find(terminator());
  std::string_view line = data.substr(0, end);
  if (end != std::string_view::npos && framing_ != Framing::nul && line.ends_with('\r')) {
    line.remove_suffix(1);
  }
  // One byte over may still be the CR of a line that just fits.
  if (end == std::string_view::npos && line.size() <= bytes_max_ + 1) return 0;
  if (line.size() <= bytes_max_) {
    if (!line.empty()) on_message(line, false);
    return end + 1;
  }
  const std::string_view front = cut_at_character(line, bytes_max_);
  on_message(front, true);
  skipped_bytes_ += line.size() - front.size();
  is_skipping_line_ = end == std::string_view::npos;
  return is_skipping_line_ ? data.size() : end + 1;
}

template <typename OnMessage>
std::size_t Framer::take_counted(std::string_view data, const Head& head, OnMessage& on_message) {
  const std::string_view body = data.substr(head.head_bytes);
  if (head.body_bytes <= bytes_max_) {
    if (body.size() < head.body_bytes) return 0;
    if (head.body_bytes > 0) on_message(body.substr(0, head.body_bytes), false);
    return head.head_bytes + head.body_bytes;
  }
  // One byte more tells whether the cut would split a character.
  if (body.size() <= bytes_max_) return 0;
  const std::string_view front = cut_at_character(body, bytes_max_);
  on_message(front, true);
  skipped_bytes_ += head.body_bytes - front.size();
  skip_ = head.body_bytes - front.size();
  return head.head_bytes + front.size();
}

template <typename OnMessage>
std::size_t Framer::consume(std::string_view data, OnMessage& on_message) {
  std::size_t at = 0;
  while (at < data.size()) {
    const std::string_view rest = data.substr(at);
    if (skip_ > 0 || is_skipping_line_) {
      at += skip(rest);
      continue;
    }
    const Head head = read_head(rest);
    if (head.kind == Head::Kind::broken) {
      is_broken_ = true;
      return data.size();
    }
    if (head.kind == Head::Kind::incomplete) break;
    const std::size_t taken = head.kind == Head::Kind::line ? take_line(rest, on_message)
                                                            : take_counted(rest, head, on_message);
    if (taken == 0) break;
    at += taken;
  }
  return at;
}

template <typename OnMessage>
bool Framer::feed(std::string_view data, OnMessage&& on_message) {
  if (is_broken_) return false;
  if (pending_.empty()) {
    pending_.assign(data.substr(consume(data, on_message)));
  } else {
    pending_.append(data);
    pending_.erase(0, consume(pending_, on_message));
  }
  return !is_broken_;
}

template <typename OnMessage>
std::size_t Framer::finish(OnMessage&& on_message) {
  const Head head = read_head(pending_);
  const bool is_line = !is_broken_ && !pending_.empty() &&
                       (head.kind == Head::Kind::line || framing_ == Framing::automatic) &&
                       head.kind != Head::Kind::counted;
  std::size_t lost = 0;
  if (is_line) {
    const std::string_view line = cut_at_character(pending_, bytes_max_);
    on_message(line, line.size() < pending_.size());
  } else {
    lost = pending_.size();
  }
  pending_.clear();
  return lost;
}

}  // namespace penstock::connectors::support
