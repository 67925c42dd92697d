// Messages: turns a stored row into the MQTT messages that the wire contract asks for.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.hpp"
#include "agent/base/wire.hpp"
#include "agent/forward/mqtt_options.hpp"
#include "agent/forward/payload.hpp"
#include "buffer/store.hpp"

namespace penstock::forward {

/// A topic with {prefix} {device} {kind} {stream} in it, or {properties}: what MQTT 5 says beside
/// the payload, and the stream, in the form that Azure IoT Hub reads (`$.ct=…&v=1&…`).
class TopicTemplate {
 public:
  /// invalid: an unknown or unclosed placeholder, or a text that is no topic.
  static Result<TopicTemplate> parse(std::string_view text, std::string_view prefix,
                                     std::string_view device);

  /// kind: as topic_kind() has it. message: for {properties}.
  std::string topic(std::string_view kind, std::string_view stream,
                    const OutgoingMessage& message = {}) const;

 private:
  struct Piece {
    enum class Kind : std::uint8_t { text, kind, stream, properties };
    Kind kind = Kind::text;
    std::string text;
  };
  std::vector<Piece> pieces_;
};

/// Whether a broker takes it for publishing: not empty, at most 512 bytes of printable ASCII,
/// neither + nor #, no leading $, no empty level.
bool is_valid_topic(std::string_view topic);

/// The bytes of a QoS 1 PUBLISH with its header and, in MQTT 5, its properties.
std::uint64_t packet_bytes(const OutgoingMessage& message, Protocol protocol);

struct MessageSettings {
  std::string prefix;
  std::string device;
  std::string epoch;
  std::string topic;  ///< template
  Compression compression = Compression::none;
  Format format = Format::json;
  TagNames tags{};  ///< for Format::influx
};

struct EncodedRow {
  std::vector<OutgoingMessage> messages;  ///< in order, never empty
  std::uint64_t refused_events = 0;       ///< sent as loss records: too large for any broker
  /// Nothing is to be sent: an event is too large for this broker, and another may take it.
  bool waits = false;
  bool is_damaged = false;  ///< sent as a loss record: the stored bytes are
};

/// Pure but for the time of a loss record that has none. Move-only. Thread: const, any.
class MessageEncoder {
 public:
  /// invalid: the template.
  static Result<MessageEncoder> make(const MessageSettings& settings);

  /// stream: its name. wall_us: for the loss record of a damaged row.
  EncodedRow encode(const buffer::Row& row, std::string_view stream, const Limits& limits,
                    std::int64_t wall_us) const;

  /// {prefix}/{device}/status
  const std::string& status_topic() const { return status_topic_; }
  const std::string& epoch() const { return settings_.epoch; }

 private:
  struct Part;
  MessageEncoder(const MessageSettings& settings, TopicTemplate topic);
  /// payload: encoded and compressed.
  OutgoingMessage message(std::string payload, const Part& part) const;
  Result<OutgoingMessage> message_of(std::span<const std::string_view> events,
                                     const Part& part) const;
  /// corrupt: an event cannot be read; what `out` got meanwhile is void.
  Result<void> encode_content(const buffer::Row& row, const Part& part, EncodedRow& out) const;
  Result<void> split(std::span<const std::string_view> events, const Part& part,
                     EncodedRow& out) const;
  void encode_loss(const buffer::Row& row, std::string_view stream, LossReason reason,
                   bool is_exact, std::int64_t time_unix_us, EncodedRow& out) const;

  MessageSettings settings_;
  TopicTemplate topic_;
  std::string status_topic_;
  std::unique_ptr<const Encoder> encoder_;
};

/// The elements of a JSON array, as views into it; empty if it is no array of objects.
std::vector<std::string_view> split_array(std::string_view array);

}  // namespace penstock::forward
