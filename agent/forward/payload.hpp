// Payloads: the events of a batch in the format and the compression that the upstream asks for.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "agent/base/result.hpp"

namespace penstock::forward {

enum class Format : std::uint8_t { json, ndjson, influx, cbor, thingsboard };
enum class Compression : std::uint8_t { none, zstd, gzip };

/// "json", "ndjson", "influx", "cbor", "thingsboard"; anything else is json.
Format parse_format(std::string_view text);
/// "none", "zstd", "gzip"; anything else is none.
Compression parse_compression(std::string_view text);

/// Names of the configured tags by connector: line protocol tells tags from fields.
using TagNames = std::map<std::string, std::set<std::string, std::less<>>, std::less<>>;

/// Turns stored events into the payload of one message. A pure function: the same events give the
/// same bytes at every attempt. Thread: const, any.
class Encoder {
 public:
  virtual ~Encoder() = default;

  /// events: JSON objects as stored, of one stream, in order, at least one.
  /// corrupt: one of them is no flat JSON object.
  virtual Result<std::string> encode(std::span<const std::string_view> events) const = 0;
  /// MIME type of the uncompressed payload.
  virtual std::string_view content_type() const = 0;
  /// Whether the payload is UTF-8 text.
  virtual bool is_text() const { return true; }
};

std::unique_ptr<const Encoder> make_encoder(Format format, TagNames tags);
/// One each in a file of its own.
std::unique_ptr<const Encoder> make_influx_encoder(TagNames tags);
std::unique_ptr<const Encoder> make_cbor_encoder();
std::unique_ptr<const Encoder> make_thingsboard_encoder();

/// The payload packed; as it is for Compression::none.
std::string compressed(Compression compression, std::string payload);
/// The level of the topic that says so: "data", "zstd", "gzip".
std::string_view topic_kind(Compression compression);
/// What a content type gets appended: "", "+zstd", "+gzip".
std::string_view content_type_suffix(Compression compression);

}  // namespace penstock::forward
