// The line protocol of InfluxDB: measurement,tag=value field=1i,other="text" 1700000000000000000
#include "connectors/support/influx_decoder.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <vector>

#include "connectors/support/time_text.hpp"

namespace penstock::connectors::support {
namespace {

/// What ends a run of characters, as a table.
class CharacterSet {
 public:
  constexpr explicit CharacterSet(std::string_view characters) {
    for (const char c : characters) has_[static_cast<unsigned char>(c)] = true;
  }
  constexpr bool has(char c) const { return has_[static_cast<unsigned char>(c)]; }

 private:
  std::array<bool, 256> has_{};
};

constexpr CharacterSet measurement_ends(", \n\\");
constexpr CharacterSet key_ends(",= \n\\");
constexpr CharacterSet value_ends(", \n\r");
constexpr CharacterSet string_ends("\"\\");
constexpr CharacterSet measurement_escapes(", ");
constexpr CharacterSet key_escapes(",= ");
constexpr CharacterSet string_escapes("\"\\");

class InfluxDecoder final : public Decoder {
 public:
  explicit InfluxDecoder(const DecodeOptions& options) : precision_(options.influx_precision) {}

  Decoded decode(std::string_view message, const Envelope& envelope, Chunk& out) override {
    Decoded decoded;
    text_ = message;
    at_ = 0;
    while (at_ < text_.size()) {
      skip("\r\n \t");
      if (at_ == text_.size()) break;
      if (peek() == '#') {
        skip_line();
        continue;
      }
      const std::size_t line = at_;
      arena_.clear();
      if (const std::string_view why = decode_line(envelope, out); !why.empty()) {
        decoded.note(why, line);
        skip_line();
      } else {
        ++decoded.events;
      }
    }
    if (decoded.events + decoded.bad == 0) decoded.note("no line", 0);
    return decoded;
  }

 private:
  char peek() const { return at_ < text_.size() ? text_[at_] : '\n'; }
  void skip(std::string_view characters) {
    const std::size_t next = text_.find_first_not_of(characters, at_);
    at_ = next == std::string_view::npos ? text_.size() : next;
  }
  void skip_line() {
    const std::size_t newline = text_.find('\n', at_);
    at_ = newline == std::string_view::npos ? text_.size() : newline + 1;
  }
  bool take(char c) {
    if (peek() != c || at_ == text_.size()) return false;
    ++at_;
    return true;
  }

  /// Text up to one of `ends` (which hold the backslash), with the escapes taken out. A backslash
  /// in front of anything else is itself.
  std::string_view run(const CharacterSet& ends, const CharacterSet& escapes) {
    const std::size_t begin = at_;
    bool is_escaped = false;
    while (at_ < text_.size()) {
      if (!ends.has(text_[at_])) {
        ++at_;
      } else if (text_[at_] == '\\') {
        const bool escapes_next = at_ + 1 < text_.size() && escapes.has(text_[at_ + 1]);
        is_escaped = is_escaped || escapes_next;
        at_ += escapes_next ? 2 : 1;
      } else {
        break;
      }
    }
    const std::string_view raw = text_.substr(begin, at_ - begin);
    return is_escaped ? without_escapes(raw, escapes) : raw;
  }
  std::string_view without_escapes(std::string_view raw, const CharacterSet& escapes) {
    plain_.clear();
    for (std::size_t i = 0; i < raw.size(); ++i) {
      if (raw[i] == '\\' && i + 1 < raw.size() && escapes.has(raw[i + 1])) ++i;
      plain_ += raw[i];
    }
    return arena_.copy(plain_);
  }

  /// "" or why not.
  std::string_view decode_line(const Envelope& envelope, Chunk& out) {
    fields_.clear();
    const std::string_view measurement = run(measurement_ends, measurement_escapes);
    if (measurement.empty()) return "a line without a measurement";
    if (!envelope.part.empty()) fields_.push_back({"measurement", measurement});
    while (take(',')) {
      if (const auto why = read_tag(); !why.empty()) return why;
    }
    if (!take(' ')) return "a line without a field";
    skip(" ");
    do {
      if (const auto why = read_field(); !why.empty()) return why;
    } while (take(','));
    std::int64_t time_unix_us = envelope.time_unix_us;
    skip(" ");
    if (at_ < text_.size() && peek() != '\n' && peek() != '\r') {
      if (!read_time(time_unix_us)) return "no time of the configured precision";
    }
    skip(" \r");
    if (at_ < text_.size() && peek() != '\n') return "text behind the time";
    fields_.insert(fields_.end(), envelope.extra.begin(), envelope.extra.end());
    out.add(time_unix_us, envelope.part.empty() ? measurement : envelope.part, fields_);
    return {};
  }

  std::string_view read_key(std::string_view& key) {
    if (fields_.size() == fields_max) return "too many fields";
    key = run(key_ends, key_escapes);
    if (key.empty()) return "a key is missing";
    if (key.size() > name_bytes_max) return "a name is too long";
    if (!take('=')) return "no = behind a key";
    return {};
  }
  std::string_view read_tag() {
    std::string_view key;
    if (const auto why = read_key(key); !why.empty()) return why;
    const std::string_view value = run(key_ends, key_escapes);
    if (value.empty()) return "a tag without a value";
    if (peek() == '=') return "an = in a tag's value";
    fields_.push_back({key, value});
    return {};
  }
  std::string_view read_field() {
    std::string_view key;
    if (const auto why = read_key(key); !why.empty()) return why;
    if (take('"')) {
      const std::string_view value = run(string_ends, string_escapes);
      if (!take('"')) return "a string is not closed";
      fields_.push_back({key, value});
      return {};
    }
    const std::size_t begin = at_;
    while (at_ < text_.size() && !value_ends.has(text_[at_])) ++at_;
    Value value;
    if (!parse_value(text_.substr(begin, at_ - begin), value)) {
      return "no number, boolean or quoted text";
    }
    fields_.push_back({key, value});
    return {};
  }

  template <typename Number>
  static bool parse_whole(std::string_view text, Value& out) {
    Number number = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, number);
    out = number;
    return error == std::errc() && stop == end;
  }
  static bool parse_value(std::string_view text, Value& out) {
    if (text.empty()) return false;
    const char first = text.front();
    if (first == 't' || first == 'T' || first == 'f' || first == 'F') {
      const bool is_true =
          text == "t" || text == "T" || text == "true" || text == "True" || text == "TRUE";
      out = is_true;
      return is_true || text == "f" || text == "F" || text == "false" || text == "False" ||
             text == "FALSE";
    }
    const std::string_view front = text.substr(0, text.size() - 1);
    if (text.back() == 'i') return parse_whole<std::int64_t>(front, out);
    if (text.back() == 'u') return parse_whole<std::uint64_t>(front, out);
    if (first == '+') text.remove_prefix(1);
    double number = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, number);
    out = number;
    return error == std::errc() && stop == end && std::isfinite(number);
  }

  bool read_time(std::int64_t& time_unix_us) {
    std::int64_t value = 0;
    const auto [stop, error] =
        std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
    if (error != std::errc()) return false;
    at_ = static_cast<std::size_t>(stop - text_.data());
    const auto time = time_from(value, precision_);
    if (!time) return false;
    time_unix_us = *time;
    return true;
  }

  const TimeForm precision_;
  std::string_view text_;
  std::size_t at_ = 0;
  std::string plain_;
  TextArena arena_;
  std::vector<Field> fields_;
};

}  // namespace

std::unique_ptr<Decoder> make_influx_decoder(const DecodeOptions& options) {
  return std::make_unique<InfluxDecoder>(options);
}

}  // namespace penstock::connectors::support
