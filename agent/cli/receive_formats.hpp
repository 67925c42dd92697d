// What a broker may hand out, back to the one form that is verified: the JSON array of the wire
// contract. Format and compression are told by the first bytes, since MQTT 3.1.1 says nothing else.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "agent/base/result.hpp"

namespace penstock::cli {

/// Unpacks and translates payloads, in buffers that are used again. Thread: owner only.
class PayloadReader {
 public:
  explicit PayloadReader(std::size_t size_max) : size_max_(size_max) {}

  /// JSON array, JSON lines, CBOR, line protocol or ThingsBoard's JSON, plain or packed with zstd
  /// or gzip; at most size_max bytes unpacked. `device` is for the last, which does not have it.
  /// The view is of `payload` or of this reader, valid until the next call. The same payload always
  /// gives the same text. invalid: says what is wrong. The text itself has still to be checked by
  /// read_batch().
  Result<std::string_view> as_json(std::string_view payload, std::string_view device);

 private:
  const std::size_t size_max_;
  std::string unpacked_;
  std::string translated_;
};

/// Appends what `payload` holds, at most size_max bytes in all. invalid: damaged, too large, or
/// more bytes behind it.
Result<void> unpack_zstd(std::string_view payload, std::size_t size_max, std::string& out);
Result<void> unpack_gzip(std::string_view payload, std::size_t size_max, std::string& out);

/// CBOR (RFC 8949), as far as an array of flat maps needs it. invalid: says what, at which byte.
Result<void> cbor_to_json(std::string_view payload, std::string& out);

/// InfluxDB's line protocol as penstock writes it: the tags stand before the fields, and members
/// that were null are absent. invalid: says what, at which byte.
Result<void> influx_to_json(std::string_view payload, std::string& out);

/// ThingsBoard's device API as penstock writes it: times have milliseconds, and members that were
/// null are absent. `device` is told for it. invalid: says what, at which byte.
Result<void> thingsboard_to_json(std::string_view payload, std::string_view device,
                                 std::string& out);

}  // namespace penstock::cli
