#include "agent/pipeline/encoder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "agent/base/text.hpp"

namespace penstock::pipeline {
namespace {

using connectors::Field;
using connectors::Value;

constexpr std::string_view cut_member = ",\"cut\":true";

std::string json_string(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

void append_integer(std::string& out, auto value) {
  const fmt::format_int digits(value);
  out.append(digits.data(), digits.size());
}

constexpr std::size_t base64_size(std::size_t size) { return (size + 2) / 3 * 4; }

void append_base64(std::string& out, std::string_view bytes) {
  constexpr char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const auto byte = [&](std::size_t i) -> std::uint32_t {
    return i < bytes.size() ? static_cast<unsigned char>(bytes[i]) : 0;
  };
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::uint32_t group = byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2);
    out += letters[group >> 18];
    out += letters[group >> 12 & 63];
    out += i + 1 < bytes.size() ? letters[group >> 6 & 63] : '=';
    out += i + 2 < bytes.size() ? letters[group & 63] : '=';
  }
}

/// Numbers, booleans and null; text and bytes whole.
void append_value(std::string& out, const Value& value) {
  if (const auto* text = std::get_if<std::string_view>(&value)) {
    append_json_string(out, *text);
  } else if (const auto* real = std::get_if<double>(&value)) {
    append_json_double(out, *real);
  } else if (const auto* integer = std::get_if<std::int64_t>(&value)) {
    append_integer(out, *integer);
  } else if (const auto* natural = std::get_if<std::uint64_t>(&value)) {
    append_integer(out, *natural);
  } else if (const auto* truth = std::get_if<bool>(&value)) {
    out += *truth ? "true" : "false";
  } else if (const auto* bytes = std::get_if<Bytes>(&value)) {
    out += '"';
    append_base64(out, bytes->data);
    out += '"';
  } else {
    out += "null";
  }
}

/// Bytes that the value has at least when it is written.
std::size_t least_size(const Value& value) {
  if (const auto* text = std::get_if<std::string_view>(&value)) return text->size();
  if (const auto* bytes = std::get_if<Bytes>(&value)) return base64_size(bytes->data.size());
  return 1;
}

/// The longest length that `sizes` may be cut to so that their sum is at most `sum_max`.
std::size_t common_length(std::span<const std::size_t> sizes, std::size_t sum_max) {
  std::size_t low = 0;
  std::size_t high = sum_max;
  while (low < high) {
    const std::size_t middle = low + (high - low + 1) / 2;
    std::size_t sum = 0;
    for (const std::size_t size : sizes) sum += std::min(size, middle);
    if (sum <= sum_max) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

}  // namespace

EventFormat::EventFormat(const Tags& tags) {
  for (const auto& [name, value] : tags) {
    // The configuration refuses reserved names; the contract holds here all the same.
    const bool is_free = !name.empty() && !is_reserved_member(name);
    std::string quoted = json_string(is_free ? name : name + "_");
    tags_text_ += ',';
    tags_text_ += quoted;
    tags_text_ += ':';
    append_json_string(tags_text_, value);
    tags_quoted_.push_back(std::move(quoted));
  }
}

std::string_view EventFormat::member(std::size_t index, const Field& field) {
  const bool is_bytes = std::holds_alternative<Bytes>(field.value);
  if (index < keys_used_) {
    const Key& known = keys_[index];
    if (known.is_bytes == is_bytes && known.name == field.name) return known.member;
  }
  make_key(index, field.name, is_bytes);
  return keys_[index].member;
}

void EventFormat::make_key(std::size_t index, std::string_view name, bool is_bytes) {
  if (index == keys_.size()) {
    keys_.emplace_back();
    hashes_.emplace_back();
  }
  keys_used_ = index + 1;  // a later name was made unique beside the one that is replaced here
  Key& key = keys_[index];
  key.name = name;
  key.is_bytes = is_bytes;
  key.quoted.clear();
  append_json_string(key.quoted, name);
  if (is_bytes) key.quoted.insert(key.quoted.size() - 1, "_b64");
  const bool is_reserved =
      is_reserved_member(std::string_view(key.quoted).substr(1, key.quoted.size() - 2));
  if (is_reserved || key.quoted.size() == 2) key.quoted.insert(key.quoted.size() - 1, 1, '_');
  while (is_taken(key.quoted, index)) key.quoted.insert(key.quoted.size() - 1, 1, '_');
  hashes_[index] = std::hash<std::string_view>()(key.quoted);
  key.member = ',';
  key.member += key.quoted;
  key.member += ':';
}

bool EventFormat::is_taken(std::string_view quoted, std::size_t index) const {
  if (std::find(tags_quoted_.begin(), tags_quoted_.end(), quoted) != tags_quoted_.end()) {
    return true;
  }
  // Comparing hashes first keeps an event of thousands of fields at a few milliseconds.
  const std::size_t hash = std::hash<std::string_view>()(quoted);
  for (std::size_t i = 0; i < index; ++i) {
    if (hashes_[i] == hash && keys_[i].quoted == quoted) return true;
  }
  return false;
}

Encoder::Encoder(std::string_view boot, std::size_t event_bytes_max)
    : boot_member_(",\"boot\":" + json_string(boot) + ",\"up_us\":"),
      event_bytes_max_(event_bytes_max) {}

bool Encoder::append(std::string& out, const EventHead& head, EventFormat& format,
                     const EventView& event) {
  const std::size_t start = out.size();
  const std::size_t end_max = start + event_bytes_max_ - 1;  // room for '}'
  bool is_cut = event.is_cut || event.part.size() > part_bytes_max;
  append_opening(out, head, format, event, is_cut);
  if (!append_fields(out, end_max, format, event.fields)) {
    is_cut = true;
    out.resize(start);
    append_opening(out, head, format, event, is_cut);
    append_cut_fields(out, end_max, format, event.fields);
  }
  out += '}';
  return is_cut;
}

void Encoder::append_opening(std::string& out, const EventHead& head, const EventFormat& format,
                             const EventView& event, bool is_cut) {
  head.append(out, event.time_unix_us, event.seq);
  if (!event.part.empty()) {
    out += ",\"part\":";
    append_json_string(out, cut_at_character(event.part, part_bytes_max));
  }
  if (is_cut) out += cut_member;
  if (event.clock != ClockMembers::none) {
    if (event.clock == ClockMembers::unsynced) out += ",\"clock\":\"unsynced\"";
    out += boot_member_;
    append_integer(out, event.up_us);
  }
  out += format.tags_text_;
}

/// false: does not fit below end_max; then `out` has an unusable tail.
bool Encoder::append_fields(std::string& out, std::size_t end_max, EventFormat& format,
                            std::span<const Field> fields) {
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const std::string_view member = format.member(i, fields[i]);
    // Looked at before it is written, so that a huge text does not make the buffer huge.
    if (out.size() + member.size() + least_size(fields[i].value) > end_max) return false;
    out += member;
    append_value(out, fields[i].value);
  }
  return out.size() <= end_max;
}

void Encoder::append_cut_fields(std::string& out, std::size_t end_max, EventFormat& format,
                                std::span<const Field> fields) {
  // First what cannot be cut: names, numbers, quotes. Fields that do not even fit empty are left
  // out.
  std::size_t room = end_max > out.size() ? end_max - out.size() : 0;
  text_sizes_.clear();
  for (const Field& field : fields) {
    std::size_t fixed = format.member(text_sizes_.size(), field).size();
    std::size_t text_size = 0;
    if (const auto* text = std::get_if<std::string_view>(&field.value)) {
      fixed += 2;
      text_size = encoded_text_size(*text, room);
    } else if (const auto* bytes = std::get_if<Bytes>(&field.value)) {
      fixed += 2;
      text_size = std::min(base64_size(bytes->data.size()), room);
    } else {
      scratch_.clear();
      append_value(scratch_, field.value);
      fixed += scratch_.size();
    }
    if (fixed > room) break;
    room -= fixed;
    text_sizes_.push_back(text_size);
  }
  const std::size_t length_max = common_length(text_sizes_, room);
  for (std::size_t i = 0; i < text_sizes_.size(); ++i) {
    out += format.member(i, fields[i]);
    std::size_t size = 0;
    if (const auto* text = std::get_if<std::string_view>(&fields[i].value)) {
      append_json_string(out, fitting_prefix(*text, length_max, size));
    } else if (const auto* bytes = std::get_if<Bytes>(&fields[i].value)) {
      append_value(out, Bytes{bytes->data.substr(0, length_max / 4 * 3)});
    } else {
      append_value(out, fields[i].value);
    }
  }
}

/// Bytes of `text` as a JSON string without its quotes; counting ends at size_max + 1.
std::size_t Encoder::encoded_text_size(std::string_view text, std::size_t size_max) {
  std::size_t size = 0;
  return fitting_prefix(text, size_max, size).size() == text.size() ? size : size_max + 1;
}

/// The longest front of `text` that takes at most size_max bytes as a JSON string without quotes;
/// `size` receives how many it takes.
std::string_view Encoder::fitting_prefix(std::string_view text, std::size_t size_max,
                                         std::size_t& size) {
  std::size_t end = 0;
  size = 0;
  for (std::size_t step = 4096; step > 0;) {
    const std::string_view piece = cut_at_character(text.substr(end), step);
    scratch_.clear();
    append_json_string(scratch_, piece);
    const std::size_t piece_size = scratch_.size() - 2;
    if (!piece.empty() && size + piece_size <= size_max) {
      end += piece.size();
      size += piece_size;
      if (end == text.size()) break;
    } else {
      step /= 2;
    }
  }
  return text.substr(0, end);
}

}  // namespace penstock::pipeline
