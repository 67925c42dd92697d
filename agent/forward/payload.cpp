#include "agent/forward/payload.hpp"

#include <zlib.h>
#include <zstd.h>

#include <utility>

#include "agent/base/assert.hpp"

namespace penstock::forward {
namespace {

constexpr int zstd_level = 1;
constexpr int gzip_level = 6;
constexpr int gzip_window_bits = 15 + 16;  // zlib: 16 more asks for the gzip format
constexpr int gzip_memory_level = 8;

/// Events with something between them.
std::string joined(std::span<const std::string_view> events, std::string_view open, char between,
                   std::string_view close) {
  std::size_t size = open.size() + close.size();
  for (const std::string_view event : events) size += event.size() + 1;
  std::string out;
  out.reserve(size);
  out += open;
  for (std::size_t i = 0; i < events.size(); ++i) {
    if (i != 0) out += between;
    out += events[i];
  }
  out += close;
  return out;
}

class JsonEncoder final : public Encoder {
 public:
  Result<std::string> encode(std::span<const std::string_view> events) const override {
    return joined(events, "[", ',', "]");
  }
  std::string_view content_type() const override { return "application/json"; }
};

class NdjsonEncoder final : public Encoder {
 public:
  Result<std::string> encode(std::span<const std::string_view> events) const override {
    return joined(events, "", '\n', "\n");
  }
  std::string_view content_type() const override { return "application/x-ndjson"; }
};

std::string zstd_frame(std::string_view payload) {
  std::string out(ZSTD_compressBound(payload.size()), '\0');
  const std::size_t size =
      ZSTD_compress(out.data(), out.size(), payload.data(), payload.size(), zstd_level);
  PENSTOCK_ASSERT(ZSTD_isError(size) == 0);
  out.resize(size);
  return out;
}

std::string gzip_member(std::string_view payload) {
  z_stream stream = {};
  int rc = deflateInit2(&stream, gzip_level, Z_DEFLATED, gzip_window_bits, gzip_memory_level,
                        Z_DEFAULT_STRATEGY);
  PENSTOCK_ASSERT(rc == Z_OK);
  std::string out(deflateBound(&stream, payload.size()), '\0');
  // zlib only reads it.
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(payload.data()));
  stream.avail_in = static_cast<uInt>(payload.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  rc = deflate(&stream, Z_FINISH);
  PENSTOCK_ASSERT(rc == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

}  // namespace

Format parse_format(std::string_view text) {
  if (text == "ndjson") return Format::ndjson;
  if (text == "influx") return Format::influx;
  if (text == "cbor") return Format::cbor;
  if (text == "thingsboard") return Format::thingsboard;
  return Format::json;
}

Compression parse_compression(std::string_view text) {
  if (text == "zstd") return Compression::zstd;
  if (text == "gzip") return Compression::gzip;
  return Compression::none;
}

std::unique_ptr<const Encoder> make_encoder(Format format, TagNames tags) {
  switch (format) {
    case Format::json: break;
    case Format::ndjson: return std::make_unique<NdjsonEncoder>();
    case Format::influx: return make_influx_encoder(std::move(tags));
    case Format::cbor: return make_cbor_encoder();
    case Format::thingsboard: return make_thingsboard_encoder();
  }
  return std::make_unique<JsonEncoder>();
}

std::string compressed(Compression compression, std::string payload) {
  switch (compression) {
    case Compression::none: break;
    case Compression::zstd: return zstd_frame(payload);
    case Compression::gzip: return gzip_member(payload);
  }
  return payload;
}

std::string_view topic_kind(Compression compression) {
  switch (compression) {
    case Compression::none: break;
    case Compression::zstd: return "zstd";
    case Compression::gzip: return "gzip";
  }
  return "data";
}

std::string_view content_type_suffix(Compression compression) {
  switch (compression) {
    case Compression::none: break;
    case Compression::zstd: return "+zstd";
    case Compression::gzip: return "+gzip";
  }
  return "";
}

}  // namespace penstock::forward
