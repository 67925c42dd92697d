#include "connectors/support/json_decoder.hpp"

#include <rapidjson/error/error.h>
#include <rapidjson/reader.h>

#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "agent/base/text.hpp"
#include "connectors/support/time_text.hpp"

namespace penstock::connectors::support {
namespace {

/// Nesting beyond this is refused: rapidjson's reader descends by recursion.
constexpr std::size_t depth_max = 32;

constexpr unsigned parse_flags = rapidjson::kParseInsituFlag | rapidjson::kParseStopWhenDoneFlag |
                                 rapidjson::kParseNumbersAsStringsFlag;

/// Makes events of what rapidjson's reader finds. Views of keys and strings live in the buffer
/// that is parsed in place; what has to be put together lives in an arena.
class EventBuilder {
 public:
  explicit EventBuilder(const DecodeOptions& options) : options_(options) {}

  /// For a new message.
  void begin(const Envelope& envelope, Chunk& out, Decoded& decoded) {
    envelope_ = &envelope;
    out_ = &out;
    decoded_ = &decoded;
  }
  /// For a new document in it. offset: where it begins.
  void begin_document(std::size_t offset) {
    offset_ = offset;
    depth_ = 0;
    list_depth_ = 0;
    skip_depth_ = 0;
    array_depth_ = 0;
    reason_ = {};
    arena_.clear();
  }
  /// Why the handler ended the parse; "" if it did not.
  std::string_view reason() const { return reason_; }

  // What rapidjson calls; false ends the parse.
  bool Null() { return value(std::monostate{}); }
  bool Bool(bool v) { return value(v); }
  // Numbers come as text: rapidjson's own exact reading of doubles shifts by wild exponents.
  bool Int(int) { return false; }
  bool Uint(unsigned) { return false; }
  bool Int64(std::int64_t) { return false; }
  bool Uint64(std::uint64_t) { return false; }
  bool Double(double) { return false; }
  bool RawNumber(const char* text, rapidjson::SizeType size, bool);
  bool String(const char* text, rapidjson::SizeType size, bool) {
    return value(std::string_view(text, size));
  }
  bool Key(const char* text, rapidjson::SizeType size, bool);
  bool StartObject();
  bool EndObject(rapidjson::SizeType member_count);
  bool StartArray();
  bool EndArray(rapidjson::SizeType);

 private:
  struct Level {
    std::string_view name;  ///< of the object itself, flattened; "" for the event
  };

  bool fail(std::string_view why) {
    reason_ = why;
    return false;
  }
  bool is_in_event() const { return depth_ > 0; }
  bool value(const Value& value);
  bool add(const Value& value);
  bool take_special(const Value& value);
  void append_to_array(const Value& value);
  void separate();
  void emit();

  const DecodeOptions& options_;
  const Envelope* envelope_ = nullptr;
  Chunk* out_ = nullptr;
  Decoded* decoded_ = nullptr;
  std::size_t offset_ = 0;

  std::size_t depth_ = 0;        // of objects, from the event on
  std::size_t list_depth_ = 0;   // 1: inside the list of events
  std::size_t skip_depth_ = 0;   // inside a list in the list, which cannot be an event
  std::size_t array_depth_ = 0;  // inside a field's array: written to array_text_
  bool needs_comma_ = false;
  std::string array_text_;
  std::string_view reason_;

  std::array<Level, depth_max + 1> levels_;
  std::string_view name_;  // of the next value
  std::string joined_;
  TextArena arena_;
  std::vector<Field> fields_;
  std::int64_t time_unix_us_ = 0;
  std::string_view part_;
};

bool EventBuilder::RawNumber(const char* text, rapidjson::SizeType size, bool) {
  const auto reads_as = [&](auto& number) {
    const auto [stop, error] = std::from_chars(text, text + size, number);
    return error == std::errc() && stop == text + size;
  };
  // Signed first, so that a series whose numbers grow keeps its type for as long as it can.
  if (std::int64_t number = 0; reads_as(number)) return value(number);
  if (std::uint64_t number = 0; reads_as(number)) return value(number);
  if (double number = 0; reads_as(number)) return value(number);
  return fail("a number is too big or too small");
}

bool EventBuilder::Key(const char* text, rapidjson::SizeType size, bool) {
  const std::string_view key(text, size);
  if (skip_depth_ > 0) return true;
  if (array_depth_ > 0) {
    separate();
    append_json_string(array_text_, key);
    array_text_ += ':';
    needs_comma_ = false;
    return true;
  }
  const std::string_view outer = levels_[depth_].name;
  if (outer.size() + key.size() >= name_bytes_max) return fail("a name is too long");
  if (outer.empty()) {
    name_ = key;
    return true;
  }
  joined_.assign(outer).append("_").append(key);
  name_ = arena_.copy(joined_);
  return true;
}

bool EventBuilder::StartObject() {
  if (skip_depth_ > 0) return ++skip_depth_ <= depth_max || fail("nested too deep");
  if (array_depth_ > 0) {
    if (++array_depth_ + depth_ > depth_max) return fail("nested too deep");
    separate();
    array_text_ += '{';
    needs_comma_ = false;
    return true;
  }
  if (depth_ == depth_max) return fail("nested too deep");
  if (depth_ == 0) {
    fields_.clear();
    time_unix_us_ = envelope_->time_unix_us;
    part_ = envelope_->part;
    name_ = {};
  }
  levels_[++depth_].name = name_;
  return true;
}

bool EventBuilder::EndObject(rapidjson::SizeType member_count) {
  if (skip_depth_ > 0) {
    --skip_depth_;
    return true;
  }
  if (array_depth_ > 0) {
    --array_depth_;
    array_text_ += '}';
    needs_comma_ = true;
    return true;
  }
  const std::string_view name = levels_[depth_--].name;
  if (depth_ == 0) {
    emit();
    return true;
  }
  name_ = name;
  return member_count > 0 || add(std::string_view("{}"));
}

bool EventBuilder::StartArray() {
  if (skip_depth_ > 0) return ++skip_depth_ <= depth_max || fail("nested too deep");
  if (!is_in_event()) {
    if (list_depth_ == 0) {
      list_depth_ = 1;
    } else {
      decoded_->note("a list in the list of events", offset_);
      skip_depth_ = 1;
    }
    return true;
  }
  if (array_depth_ == 0) {
    array_text_.clear();
  } else {
    separate();
  }
  if (++array_depth_ + depth_ > depth_max) return fail("nested too deep");
  array_text_ += '[';
  needs_comma_ = false;
  return true;
}

bool EventBuilder::EndArray(rapidjson::SizeType) {
  if (skip_depth_ > 0) {
    --skip_depth_;
    return true;
  }
  if (!is_in_event()) {
    list_depth_ = 0;
    return true;
  }
  array_text_ += ']';
  needs_comma_ = true;
  if (--array_depth_ > 0) return true;
  return add(arena_.copy(array_text_));
}

bool EventBuilder::value(const Value& value) {
  if (skip_depth_ > 0) return true;
  if (!is_in_event()) {
    decoded_->note("no object", offset_);
    return true;
  }
  if (array_depth_ > 0) {
    separate();
    append_to_array(value);
    needs_comma_ = true;
    return true;
  }
  return add(value);
}

bool EventBuilder::add(const Value& value) {
  if (take_special(value)) return true;
  if (fields_.size() == fields_max) return fail("too many fields");
  fields_.push_back({name_, value});
  return true;
}

/// The time, or what picks the stream. A time that cannot be read stays a field.
bool EventBuilder::take_special(const Value& value) {
  if (!options_.time_key.empty() && name_ == options_.time_key) {
    std::optional<std::int64_t> time;
    if (const auto* text = std::get_if<std::string_view>(&value)) {
      time = parse_time(*text, options_.time_form);
    } else if (const auto* whole = std::get_if<std::int64_t>(&value)) {
      time = time_from(*whole, options_.time_form);
    } else if (const auto* number = std::get_if<double>(&value)) {
      time = time_from(*number, options_.time_form);
    }
    if (time) {
      time_unix_us_ = *time;
      return true;
    }
    decoded_->note("no time of the configured form", offset_);
    return false;
  }
  if (options_.stream_key.empty() || name_ != options_.stream_key) return false;
  if (const auto* text = std::get_if<std::string_view>(&value)) {
    part_ = *text;
    return true;
  }
  if (const auto* whole = std::get_if<std::int64_t>(&value)) {
    part_ = arena_.copy(std::to_string(*whole));
    return true;
  }
  return false;
}

void EventBuilder::separate() {
  if (needs_comma_) array_text_ += ',';
}

void EventBuilder::append_to_array(const Value& value) {
  struct Writer {
    std::string& out;
    void operator()(std::monostate) { out += "null"; }
    void operator()(bool v) { out += v ? "true" : "false"; }
    void operator()(std::int64_t v) { out += std::to_string(v); }
    void operator()(std::uint64_t v) { out += std::to_string(v); }
    void operator()(double v) { append_json_double(out, v); }
    void operator()(std::string_view v) { append_json_string(out, v); }
    void operator()(Bytes v) { append_json_string(out, v.data); }
  };
  std::visit(Writer{array_text_}, value);
}

void EventBuilder::emit() {
  if (fields_.empty()) {
    decoded_->note("an object without a field", offset_);
    return;
  }
  fields_.insert(fields_.end(), envelope_->extra.begin(), envelope_->extra.end());
  out_->add(time_unix_us_, part_, fields_);
  ++decoded_->events;
}

std::string_view reason_of(rapidjson::ParseErrorCode code) {
  switch (code) {
    case rapidjson::kParseErrorDocumentEmpty: return "no JSON";
    case rapidjson::kParseErrorValueInvalid: return "no JSON value";
    case rapidjson::kParseErrorObjectMissName: return "a member has no name";
    case rapidjson::kParseErrorObjectMissColon: return "no colon behind a name";
    case rapidjson::kParseErrorObjectMissCommaOrCurlyBracket: return "an object is not closed";
    case rapidjson::kParseErrorArrayMissCommaOrSquareBracket: return "a list is not closed";
    case rapidjson::kParseErrorStringMissQuotationMark: return "a string is not closed";
    case rapidjson::kParseErrorNumberTooBig: return "a number is too big";
    case rapidjson::kParseErrorNumberMissFraction:
    case rapidjson::kParseErrorNumberMissExponent: return "a number is not complete";
    default: return "a string has a bad escape";
  }
}

class JsonDecoder final : public Decoder {
 public:
  explicit JsonDecoder(const DecodeOptions& options) : options_(options), builder_(options_) {}

  Decoded decode(std::string_view message, const Envelope& envelope, Chunk& out) override {
    Decoded decoded;
    builder_.begin(envelope, out, decoded);
    // Parsed in place, which needs a NUL behind it.
    buffer_.assign(message);
    std::size_t at = after_blanks(0);
    if (at == buffer_.size()) decoded.note("no JSON", 0);
    while (at < buffer_.size()) at = after_blanks(decode_document(at, decoded));
    return decoded;
  }

 private:
  std::size_t after_blanks(std::size_t at) const {
    const std::size_t next = buffer_.find_first_not_of(" \t\r\n", at);
    return next == std::string::npos ? buffer_.size() : next;
  }

  /// Returns where it ends; behind the line, if it is not JSON.
  std::size_t decode_document(std::size_t at, Decoded& decoded) {
    builder_.begin_document(at);
    rapidjson::InsituStringStream stream(buffer_.data() + at);
    const auto result = reader_.Parse<parse_flags>(stream, builder_);
    if (!result.IsError()) return at + stream.Tell();
    const std::size_t where = std::min(at + result.Offset(), buffer_.size());
    const bool is_ended = result.Code() == rapidjson::kParseErrorTermination;
    decoded.note(is_ended ? builder_.reason() : reason_of(result.Code()), where);
    const std::size_t newline = buffer_.find('\n', where);
    return newline == std::string::npos ? buffer_.size() : newline + 1;
  }

  const DecodeOptions options_;
  EventBuilder builder_;
  std::string buffer_;
  rapidjson::Reader reader_;
};

}  // namespace

std::unique_ptr<Decoder> make_json_decoder(const DecodeOptions& options) {
  return std::make_unique<JsonDecoder>(options);
}

}  // namespace penstock::connectors::support
