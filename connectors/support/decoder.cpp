#include "connectors/support/decoder.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <utility>
#include <vector>

#include "agent/base/text.hpp"
#include "connectors/support/decode_options.hpp"
#include "connectors/support/influx_decoder.hpp"
#include "connectors/support/json_decoder.hpp"

namespace penstock::connectors::support {
namespace {

constexpr TimeForm precisions[] = {TimeForm::unix_s, TimeForm::unix_ms, TimeForm::unix_us,
                                   TimeForm::unix_ns};

template <std::size_t n>
std::size_t index_of(const std::string_view (&names)[n], std::string_view name) {
  std::size_t index = 0;
  while (index < n && names[index] != name) ++index;
  return index;
}

class TextDecoder final : public Decoder {
 public:
  Decoded decode(std::string_view message, const Envelope& envelope, Chunk& out) override {
    fields_.clear();
    fields_.push_back({"message", message});
    if (!is_valid_utf8(message)) fields_.push_back({"invalid_utf8", true});
    fields_.insert(fields_.end(), envelope.extra.begin(), envelope.extra.end());
    out.add(envelope.time_unix_us, envelope.part, fields_);
    return {.events = 1};
  }

 private:
  std::vector<Field> fields_;
};

class BytesDecoder final : public Decoder {
 public:
  Decoded decode(std::string_view message, const Envelope& envelope, Chunk& out) override {
    fields_.clear();
    fields_.push_back({"message", Bytes{message}});
    fields_.insert(fields_.end(), envelope.extra.begin(), envelope.extra.end());
    out.add(envelope.time_unix_us, envelope.part, fields_);
    return {.events = 1};
  }

 private:
  std::vector<Field> fields_;
};

std::optional<Value> number_of(std::string_view text) {
  const char* const end = text.data() + text.size();
  const auto reads_as = [&](auto& value) {
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    return error == std::errc() && stop == end;
  };
  if (std::int64_t value = 0; reads_as(value)) return Value(value);
  if (std::uint64_t value = 0; reads_as(value)) return Value(value);
  if (double value = 0; reads_as(value) && std::isfinite(value)) return Value(value);
  return std::nullopt;
}

class NumberDecoder final : public Decoder {
 public:
  Decoded decode(std::string_view message, const Envelope& envelope, Chunk& out) override {
    constexpr std::string_view blanks = " \t\r\n";
    const std::size_t first = message.find_first_not_of(blanks);
    Decoded decoded;
    if (first == std::string_view::npos) {
      decoded.note("no number", 0);
      return decoded;
    }
    std::string_view text = message.substr(first, message.find_last_not_of(blanks) + 1 - first);
    if (text.front() == '+' && text.size() > 1 && text[1] != '-') text.remove_prefix(1);
    const auto value = number_of(text);
    if (!value) {
      decoded.note("no number", first);
      return decoded;
    }
    fields_.clear();
    fields_.push_back({"value", *value});
    fields_.insert(fields_.end(), envelope.extra.begin(), envelope.extra.end());
    out.add(envelope.time_unix_us, envelope.part, fields_);
    decoded.events = 1;
    return decoded;
  }

 private:
  std::vector<Field> fields_;
};

}  // namespace

std::optional<Format> parse_format(std::string_view text) {
  const std::size_t index = index_of(format_names, text);
  if (index == std::size(format_names)) return std::nullopt;
  return static_cast<Format>(index);
}

DecodeOptions read_decode_options(const config::Section& section, std::optional<Format> fixed) {
  constexpr std::pair<std::string_view, Format> uses[] = {{"time_key", Format::json},
                                                          {"time_format", Format::json},
                                                          {"stream_key", Format::json},
                                                          {"influx_precision", Format::influx}};
  const auto format = fixed ? fixed : parse_format(section.text("format"));
  for (const auto& [name, user] : uses) {
    if (!format || *format == user || !section.has_written(name)) continue;
    const std::string_view wanted = format_names[static_cast<std::size_t>(user)];
    section.warn(name, fmt::format("{} does nothing without format: {}", name, wanted));
  }
  DecodeOptions options;
  options.format = format.value_or(Format::text);
  options.time_key = section.text("time_key");
  options.time_form = static_cast<TimeForm>(index_of(time_form_names, section.text("time_format")));
  options.stream_key = section.text("stream_key");
  options.influx_precision =
      precisions[index_of(precision_names, section.text("influx_precision"))];
  return options;
}

std::unique_ptr<Decoder> make_decoder(const DecodeOptions& options) {
  switch (options.format) {
    case Format::text: return std::make_unique<TextDecoder>();
    case Format::number: return std::make_unique<NumberDecoder>();
    case Format::json: return make_json_decoder(options);
    case Format::influx: return make_influx_decoder(options);
    case Format::base64: return std::make_unique<BytesDecoder>();
  }
  return nullptr;
}

}  // namespace penstock::connectors::support
