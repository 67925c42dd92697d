#include "connectors/http/body.hpp"

#include <strings.h>
#include <zlib.h>

#include <algorithm>
#include <utility>

namespace penstock::connectors::http {
namespace {

using support::Format;
using support::TimeForm;

/// "text/plain; charset=utf-8" without what follows the type.
std::string_view media_type(std::string_view content_type) {
  const std::string_view type = content_type.substr(0, content_type.find(';'));
  return type.substr(0, type.find_last_not_of(' ') + 1);
}

// Names of types and encodings are compared without regard to case.
bool is_same_word(std::string_view a, std::string_view b) {
  return a.size() == b.size() && ::strncasecmp(a.data(), b.data(), a.size()) == 0;
}

std::optional<Format> format_of(std::string_view path, std::string_view content_type) {
  if (path.ends_with("/write")) return Format::influx;
  const std::string_view type = media_type(content_type);
  for (const std::string_view json :
       {"application/json", "application/x-ndjson", "application/ndjson", "application/jsonl"}) {
    if (is_same_word(type, json)) return Format::json;
  }
  if (is_same_word(type, "text/plain")) return Format::text;
  return std::nullopt;
}

}  // namespace

std::optional<support::DecodeOptions> body_options(const Settings& settings, std::string_view path,
                                                   std::string_view content_type) {
  support::DecodeOptions options = settings.decode;
  const auto format = settings.format ? settings.format : format_of(path, content_type);
  if (!format) return std::nullopt;
  options.format = *format;
  return options;
}

bool set_precision(std::string_view precision, support::DecodeOptions& options) {
  if (options.format != Format::influx || precision.empty()) return true;
  // Version 1 of InfluxDB has n and u for ns and us.
  constexpr std::pair<std::string_view, TimeForm> all[] = {
      {"s", TimeForm::unix_s},  {"ms", TimeForm::unix_ms}, {"us", TimeForm::unix_us},
      {"u", TimeForm::unix_us}, {"ns", TimeForm::unix_ns}, {"n", TimeForm::unix_ns}};
  for (const auto& [name, form] : all) {
    if (name != precision) continue;
    options.influx_precision = form;
    return true;
  }
  return false;
}

bool takes_path(const Settings& settings, std::string_view path) {
  if (!settings.path.ends_with('*')) return path == settings.path;
  return path.starts_with(std::string_view(settings.path).substr(0, settings.path.size() - 1));
}

std::optional<Packing> packing_of(std::string_view content_encoding) {
  if (content_encoding.empty() || is_same_word(content_encoding, "identity")) return Packing::none;
  if (is_same_word(content_encoding, "gzip") || is_same_word(content_encoding, "deflate")) {
    return Packing::gzip_or_zlib;
  }
  return std::nullopt;
}

Unpacked unpack(std::string_view packed, std::size_t bytes_max, std::string& out) {
  out.clear();
  z_stream stream{};
  constexpr int any_header = 15 + 32;  // zlib.h: gzip and zlib are told apart by their heads
  if (::inflateInit2(&stream, any_header) != Z_OK) return Unpacked::broken;
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  Unpacked result = Unpacked::broken;
  while (true) {
    const std::size_t had = out.size();
    out.resize(std::min(bytes_max + 1, std::max<std::size_t>(had * 2, 16 * 1024)));
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + had);
    stream.avail_out = static_cast<uInt>(out.size() - had);
    const int rc = ::inflate(&stream, Z_NO_FLUSH);
    out.resize(out.size() - stream.avail_out);
    if (out.size() > bytes_max) {
      result = Unpacked::too_long;
      break;
    }
    if (rc == Z_STREAM_END) {
      if (stream.avail_in == 0) {
        result = Unpacked::ok;
        break;
      }
      if (::inflateReset(&stream) != Z_OK) break;
    } else if (rc != Z_OK || (stream.avail_in == 0 && stream.avail_out > 0)) {
      break;
    }
  }
  ::inflateEnd(&stream);
  return result;
}

support::Decoded decode_body(support::Decoder& decoder, Format format, std::string_view body,
                             Chunk& out) {
  if (format != Format::text) return decoder.decode(body, {}, out);
  support::Decoded all;
  while (!body.empty()) {
    std::string_view line = body.substr(0, body.find('\n'));
    body.remove_prefix(std::min(line.size() + 1, body.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty()) all.events += decoder.decode(line, {}, out).events;
  }
  if (all.events == 0) all.note("no line", 0);
  return all;
}

}  // namespace penstock::connectors::http
