// Decoder: turns one message from outside (text, JSON, influx lines, a number) into events.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "connectors/api/event.hpp"

namespace penstock::connectors::support {

enum class Format { text, json, influx, number, base64 };

/// How a time is written.
enum class TimeForm { rfc3339, unix_s, unix_ms, unix_us, unix_ns };

struct DecodeOptions {
  Format format = Format::text;
  std::string time_key = {};  ///< JSON: the (flattened) key that holds the event's time; "" = none
  TimeForm time_form = TimeForm::rfc3339;
  std::string stream_key = {};  ///< JSON: the key whose value becomes the stream part; "" = none
  TimeForm influx_precision = TimeForm::unix_ns;  ///< of influx lines' times
};

/// What goes with every event of a message.
struct Envelope {
  std::string_view part = {};         ///< where the message itself does not choose one
  std::int64_t time_unix_us = 0;      ///< where it does not tell one; 0 = the agent stamps it
  std::span<const Field> extra = {};  ///< fields appended to each event
};

/// What became of a message.
struct Decoded {
  std::size_t events = 0;
  std::size_t bad = 0;           ///< lines, objects, or times in them that could not be understood
  std::string_view reason = {};  ///< why the first of them was bad: a literal
  std::size_t bad_offset = 0;    ///< where it is in the message

  void note(std::string_view why, std::size_t offset) {
    if (bad++ == 0) {
      reason = why;
      bad_offset = offset;
    }
  }
};

/// Never throws and never fails: what cannot be understood is counted, the rest is taken. An event
/// is appended whole or not at all. Not thread-safe; keeps its working memory for the next message.
class Decoder {
 public:
  virtual ~Decoder() = default;
  /// Appends the events of `message` to `out`. Views in `envelope` need to live for the call only.
  virtual Decoded decode(std::string_view message, const Envelope& envelope, Chunk& out) = 0;
};

/// text: one event with `message`; not valid UTF-8: also `invalid_utf8`. base64: one event with the
/// bytes as `message`, which are sent as `message_b64`. number: one event with `value`. json: one
/// object, an array of objects, or several of either one after the other; nested objects are
/// flattened with "_", arrays become JSON text. influx: any number of lines; the measurement is the
/// stream part, or the field `measurement` where the envelope has a part.
std::unique_ptr<Decoder> make_decoder(const DecodeOptions& options);

std::optional<Format> parse_format(std::string_view text);

/// Whether the front of a message that was cut still is one.
inline bool is_of_use_cut(Format format) {
  return format == Format::text || format == Format::base64;
}

/// At most so many fields in an event, and bytes in a (flattened) name.
inline constexpr std::size_t fields_max = 1024;
inline constexpr std::size_t name_bytes_max = 256;

}  // namespace penstock::connectors::support
