#include "agent/cli/receive_formats.hpp"

#include <fmt/format.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <memory>

namespace penstock::cli {
namespace {

constexpr std::string_view zstd_magic = "\x28\xb5\x2f\xfd";
constexpr std::string_view gzip_magic = "\x1f\x8b";
constexpr std::string_view thingsboard_opening = "[{\"ts\":";
constexpr int gzip_window_bits = 15 + 16;  // zlib: 16 more asks for the gzip format
constexpr std::size_t first_room = std::size_t{64} * 1024;

/// Makes room for more output; false: there may be no more.
bool grow(std::string& out, std::size_t size_max) {
  if (out.size() >= size_max) return false;
  out.resize(std::min(size_max, std::max(first_room, out.size() * 2)));
  return true;
}

Error too_large() { return Error{Errc::invalid, "more than the allowed size unpacked"}; }

/// CBOR's array of maps begins so (RFC 8949, 3.1: major type 4); JSON and line protocol never do.
bool is_cbor_array(char first) { return (static_cast<unsigned char>(first) >> 5U) == 4; }

/// A line begins with the stream, whose name begins so.
bool is_line_protocol(char first) { return (first >= 'a' && first <= 'z') || first == '_'; }

std::string lines_to_array(std::string_view lines) {
  std::string out = "[";
  while (!lines.empty()) {
    const std::size_t end = std::min(lines.find('\n'), lines.size());
    if (out.size() > 1) out += ',';
    out += lines.substr(0, end);
    lines.remove_prefix(std::min(end + 1, lines.size()));
  }
  out += ']';
  return out;
}

}  // namespace

Result<std::string_view> PayloadReader::as_json(std::string_view payload, std::string_view device) {
  unpacked_.clear();
  if (payload.substr(0, zstd_magic.size()) == zstd_magic) {
    PENSTOCK_TRY(unpack_zstd(payload, size_max_, unpacked_));
    payload = unpacked_;
  } else if (payload.substr(0, gzip_magic.size()) == gzip_magic) {
    PENSTOCK_TRY(unpack_gzip(payload, size_max_, unpacked_));
    payload = unpacked_;
  }
  if (payload.empty()) return payload;
  if (payload.front() == '{') {
    translated_ = lines_to_array(payload);
    return std::string_view(translated_);
  }
  if (is_cbor_array(payload.front())) {
    translated_.clear();
    PENSTOCK_TRY(cbor_to_json(payload, translated_));
    return std::string_view(translated_);
  }
  if (is_line_protocol(payload.front())) {
    translated_.clear();
    PENSTOCK_TRY(influx_to_json(payload, translated_));
    return std::string_view(translated_);
  }
  if (payload.substr(0, thingsboard_opening.size()) == thingsboard_opening) {
    translated_.clear();
    PENSTOCK_TRY(thingsboard_to_json(payload, device, translated_));
    return std::string_view(translated_);
  }
  return payload;
}

Result<void> unpack_zstd(std::string_view payload, std::size_t size_max, std::string& out) {
  const std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context(ZSTD_createDCtx(),
                                                                     &ZSTD_freeDCtx);
  out.clear();
  ZSTD_inBuffer in{payload.data(), payload.size(), 0};
  std::size_t left = 1;
  while (in.pos < in.size || left != 0) {
    const std::size_t before = out.size();
    if (!grow(out, size_max)) return too_large();
    ZSTD_outBuffer room{out.data() + before, out.size() - before, 0};
    left = ZSTD_decompressStream(context.get(), &room, &in);
    if (ZSTD_isError(left) != 0) {
      return Error{Errc::invalid, fmt::format("zstd: {}", ZSTD_getErrorName(left))};
    }
    out.resize(before + room.pos);
    const bool is_stuck = in.pos == in.size && room.pos < room.size && left != 0;
    if (is_stuck) return Error{Errc::invalid, "zstd: the data ends in the middle"};
  }
  return {};
}

Result<void> unpack_gzip(std::string_view payload, std::size_t size_max, std::string& out) {
  z_stream stream = {};
  if (inflateInit2(&stream, gzip_window_bits) != Z_OK) return Error{Errc::invalid, "gzip"};
  const std::unique_ptr<z_stream, decltype(&inflateEnd)> end(&stream, &inflateEnd);
  out.clear();
  // zlib only reads it.
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(payload.data()));
  stream.avail_in = static_cast<uInt>(payload.size());
  for (;;) {
    const std::size_t before = out.size();
    // One byte more: the end is told only when there is room for what does not come.
    if (!grow(out, size_max + 1)) return too_large();
    stream.next_out = reinterpret_cast<Bytef*>(out.data()) + before;
    stream.avail_out = static_cast<uInt>(out.size() - before);
    const int rc = inflate(&stream, Z_NO_FLUSH);
    out.resize(out.size() - stream.avail_out);
    if (rc == Z_STREAM_END) break;
    if (rc != Z_OK) {
      return Error{Errc::invalid, rc == Z_BUF_ERROR ? "gzip: the data ends in the middle"
                                                    : "gzip: the data is damaged"};
    }
  }
  if (out.size() > size_max) return too_large();
  if (stream.avail_in != 0) return Error{Errc::invalid, "gzip: more bytes behind the data"};
  return {};
}

}  // namespace penstock::cli
