#include "agent/forward/message.hpp"

#include <algorithm>
#include <utility>

#include "agent/base/assert.hpp"
#include "agent/base/log.hpp"
#include "agent/base/text.hpp"

namespace penstock::forward {
namespace {

constexpr std::size_t topic_bytes_max = 512;

std::uint64_t varint_bytes(std::uint64_t value) {
  std::uint64_t bytes = 1;
  while (value >= 128) {
    value /= 128;
    ++bytes;
  }
  return bytes;
}

/// The event's opening members up to its number, then what makes it a loss record. Only a quote
/// that opens a name can stand before `seq":`, since quotes inside texts are escaped.
std::string as_refused(std::string_view event) {
  constexpr std::string_view member = "\"seq\":";
  const std::size_t at = event.find(member);
  if (at == std::string_view::npos) return {};
  std::size_t end = at + member.size();
  while (end < event.size() && event[end] >= '0' && event[end] <= '9') ++end;
  std::string out(event.substr(0, end));
  out += ",\"lost\":1,\"reason\":\"";
  out += to_string(LossReason::refused);
  out += "\"}";
  return out;
}

/// As a query string; names that begin with "$." are Azure IoT Hub's own: content type, encoding.
void append_properties(std::string& out, std::string_view stream, const OutgoingMessage& message) {
  if (!message.content_type.empty()) {
    out += "$.ct=" + percent_encoded(message.content_type) + '&';
  }
  if (message.is_text) out += "$.ce=utf-8&";
  for (const auto& [name, value] : message.properties) {
    out += percent_encoded(name) + '=' + percent_encoded(value) + '&';
  }
  out += "stream=" + percent_encoded(stream);
}

}  // namespace

Result<TopicTemplate> TopicTemplate::parse(std::string_view text, std::string_view prefix,
                                           std::string_view device) {
  TopicTemplate result;
  const auto add_text = [&result](std::string_view more) {
    if (result.pieces_.empty() || result.pieces_.back().kind != Piece::Kind::text) {
      result.pieces_.emplace_back();
    }
    result.pieces_.back().text += more;
  };
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::size_t open = rest.find('{');
    add_text(rest.substr(0, open));
    if (open == std::string_view::npos) break;
    const std::size_t close = rest.find('}', open);
    if (close == std::string_view::npos) {
      return Error{Errc::invalid, "topic " + penstock::quoted(text) + ": a { without its }"};
    }
    const std::string_view name = rest.substr(open + 1, close - open - 1);
    rest.remove_prefix(close + 1);
    if (name == "prefix") {
      add_text(prefix);
    } else if (name == "device") {
      add_text(device);
    } else if (name == "kind") {
      result.pieces_.push_back({Piece::Kind::kind, {}});
    } else if (name == "stream") {
      result.pieces_.push_back({Piece::Kind::stream, {}});
    } else if (name == "properties") {
      result.pieces_.push_back({Piece::Kind::properties, {}});
    } else {
      return Error{Errc::invalid, "topic " + penstock::quoted(text) + ": there is no placeholder " +
                                      penstock::quoted(name) +
                                      "; there are prefix, device, kind, stream"};
    }
  }
  if (!is_valid_topic(result.topic("data", "s/p"))) {
    return Error{Errc::invalid,
                 "topic " + penstock::quoted(result.topic("data", "stream/part")) +
                     ": a broker takes only printable ASCII without + and #, without "
                     "empty levels, not beginning with $, of at most 512 bytes"};
  }
  return result;
}

std::string TopicTemplate::topic(std::string_view kind, std::string_view stream,
                                 const OutgoingMessage& message) const {
  std::string out;
  for (const Piece& piece : pieces_) {
    switch (piece.kind) {
      case Piece::Kind::text: out += piece.text; break;
      case Piece::Kind::kind: out += kind; break;
      case Piece::Kind::stream: out += stream; break;
      case Piece::Kind::properties: append_properties(out, stream, message); break;
    }
  }
  return out;
}

bool is_valid_topic(std::string_view topic) {
  if (topic.empty() || topic.size() > topic_bytes_max) return false;
  if (topic.front() == '$' || topic.front() == '/' || topic.back() == '/') return false;
  char before = '\0';
  for (const char c : topic) {
    if (c <= ' ' || c > '~' || c == '+' || c == '#') return false;
    if (c == '/' && before == '/') return false;
    before = c;
  }
  return true;
}

std::uint64_t packet_bytes(const OutgoingMessage& message, Protocol protocol) {
  std::uint64_t bytes = 2 + message.topic.size() + 2 + message.payload.size();
  if (protocol == Protocol::v5) {
    std::uint64_t properties = message.is_text ? 2 : 0;
    if (!message.content_type.empty()) properties += 3 + message.content_type.size();
    for (const auto& [name, value] : message.properties) {
      properties += 5 + name.size() + value.size();
    }
    bytes += varint_bytes(properties) + properties;
  }
  return 1 + varint_bytes(bytes) + bytes;
}

std::vector<std::string_view> split_array(std::string_view array) {
  std::vector<std::string_view> elements;
  if (array.size() < 2 || array.front() != '[' || array.back() != ']') return elements;
  std::size_t depth = 0;
  bool is_in_text = false;
  std::size_t begin = 0;
  for (std::size_t i = 1; i + 1 < array.size(); ++i) {
    const char c = array[i];
    if (is_in_text) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        is_in_text = false;
      }
    } else if (c == '"') {
      is_in_text = true;
    } else if (c == '{' || c == '[') {
      if (depth++ == 0) begin = i;
    } else if (c == '}' || c == ']') {
      if (depth == 0) return {};
      if (--depth == 0) elements.push_back(array.substr(begin, i + 1 - begin));
    }
  }
  if (depth != 0 || is_in_text) return {};
  return elements;
}

/// What a message is about.
struct MessageEncoder::Part {
  std::string_view stream;
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  const Limits& limits;

  bool takes(const OutgoingMessage& message) const {
    const std::uint64_t most = count == 1 ? limits.packet_bytes_max : limits.split_bytes;
    return packet_bytes(message, limits.protocol) <= std::min(most, limits.packet_bytes_max);
  }
  bool may_be_taken_elsewhere(const OutgoingMessage& message) const {
    return packet_bytes(message, limits.protocol) <= limits.elsewhere_bytes_max;
  }
};

Result<MessageEncoder> MessageEncoder::make(const MessageSettings& settings) {
  auto topic = TopicTemplate::parse(settings.topic, settings.prefix, settings.device);
  if (!topic) return topic.error();
  MessageEncoder encoder(settings, std::move(topic).value());
  if (!is_valid_topic(encoder.status_topic_)) {
    return Error{Errc::invalid,
                 penstock::quoted(encoder.status_topic_) + " cannot be the status topic"};
  }
  return encoder;
}

MessageEncoder::MessageEncoder(const MessageSettings& settings, TopicTemplate topic)
    : settings_(settings),
      topic_(std::move(topic)),
      status_topic_(settings.prefix + "/" + settings.device + "/status"),
      encoder_(make_encoder(settings.format, settings.tags)) {}

OutgoingMessage MessageEncoder::message(std::string payload, const Part& part) const {
  OutgoingMessage out;
  out.payload = std::move(payload);
  out.is_text = encoder_->is_text() && settings_.compression == Compression::none;
  out.events = static_cast<std::uint32_t>(part.count);
  out.content_type = encoder_->content_type();
  out.content_type += content_type_suffix(settings_.compression);
  out.properties = {{"v", "1"},
                    {"first", std::to_string(part.first)},
                    {"count", std::to_string(part.count)},
                    {"epoch", settings_.epoch}};
  out.topic = topic_.topic(topic_kind(settings_.compression), part.stream, out);
  return out;
}

Result<OutgoingMessage> MessageEncoder::message_of(std::span<const std::string_view> events,
                                                   const Part& part) const {
  PENSTOCK_TRY_ASSIGN(std::string payload, encoder_->encode(events));
  return message(compressed(settings_.compression, std::move(payload)), part);
}

EncodedRow MessageEncoder::encode(const buffer::Row& row, std::string_view stream,
                                  const Limits& limits, std::int64_t wall_us) const {
  EncodedRow out;
  if (row.kind == buffer::RowKind::loss && !row.is_damaged) {
    encode_loss(row, stream, static_cast<LossReason>(row.loss_reason), row.loss_is_exact,
                row.time_unix_us, out);
    return out;
  }
  const Part part{stream, row.key.seq, row.key.count, limits};
  if (!row.is_damaged && encode_content(row, part, out).ok()) return out;
  out = {};
  out.is_damaged = true;
  encode_loss(row, stream, LossReason::corrupt, true, wall_us, out);
  return out;
}

/// The usual batch goes as it is stored: nothing is decompressed for JSON as zstd, nothing is
/// parsed for JSON.
Result<void> MessageEncoder::encode_content(const buffer::Row& row, const Part& part,
                                            EncodedRow& out) const {
  const bool is_json = settings_.format == Format::json;
  if (is_json && settings_.compression == Compression::zstd) {
    OutgoingMessage whole = message(row.stored, part);
    if (part.takes(whole)) {
      out.messages.push_back(std::move(whole));
      return {};
    }
  }
  PENSTOCK_TRY_ASSIGN(std::string content, buffer::content_of(row));
  if (is_json && settings_.compression == Compression::none) {
    OutgoingMessage whole = message(std::move(content), part);
    if (part.takes(whole)) {
      out.messages.push_back(std::move(whole));
      return {};
    }
    content = std::move(whole.payload);
  }
  const auto events = split_array(content);
  if (events.size() != row.key.count) {
    return Error{Errc::corrupt, "the batch has another number of events than its key says"};
  }
  return split(events, part, out);
}

Result<void> MessageEncoder::split(std::span<const std::string_view> events, const Part& part,
                                   EncodedRow& out) const {
  PENSTOCK_TRY_ASSIGN(OutgoingMessage whole, message_of(events, part));
  if (part.takes(whole)) {
    out.messages.push_back(std::move(whole));
    return {};
  }
  if (events.size() == 1 && part.may_be_taken_elsewhere(whole)) {
    out.waits = true;
    return {};
  }
  if (events.size() == 1) {
    const std::string refused = as_refused(events[0]);
    const std::string_view record = refused;
    PENSTOCK_TRY_ASSIGN(OutgoingMessage loss, message_of({&record, 1}, part));
    out.messages.push_back(std::move(loss));
    ++out.refused_events;
    return {};
  }
  const std::size_t middle = events.size() / 2;
  PENSTOCK_TRY(split(events.first(middle), {part.stream, part.first, middle, part.limits}, out));
  return split(events.subspan(middle),
               {part.stream, part.first + middle, events.size() - middle, part.limits}, out);
}

void MessageEncoder::encode_loss(const buffer::Row& row, std::string_view stream, LossReason reason,
                                 bool is_exact, std::int64_t time_unix_us, EncodedRow& out) const {
  const EventHead head(settings_.device, stream, settings_.epoch);
  std::string record;
  append_loss_record(record, head, time_unix_us, row.key.seq, row.key.count, reason, is_exact,
                     row.refusal_code);
  const std::string_view event = record;
  Result<OutgoingMessage> loss =
      message_of({&event, 1}, {stream, row.key.seq, row.key.count, Limits{}});
  PENSTOCK_ASSERT(loss.ok());  // our own text
  out.messages.push_back(std::move(loss).value());
}

}  // namespace penstock::forward
