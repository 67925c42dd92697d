// What a request's body is, and what it unpacks to.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "connectors/http/settings.hpp"

namespace penstock::connectors::http {

/// How a body is to be read; nothing: a content type that is not taken.
std::optional<support::DecodeOptions> body_options(const Settings& settings, std::string_view path,
                                                   std::string_view content_type);

/// Takes the unit of line protocol's times that a request names. False: no unit that we know, so
/// its times would be read wrong.
bool set_precision(std::string_view precision, support::DecodeOptions& options);

/// Whether requests to `path` are for us.
bool takes_path(const Settings& settings, std::string_view path);

/// What a Content-Encoding asks of us; nothing: one that is not taken.
enum class Packing { none, gzip_or_zlib };
std::optional<Packing> packing_of(std::string_view content_encoding);

enum class Unpacked { ok, too_long, broken };
/// gzip or zlib, one or more members.
Unpacked unpack(std::string_view packed, std::size_t bytes_max, std::string& out);

/// Appends the events of `body`; of text each line is one.
support::Decoded decode_body(support::Decoder& decoder, support::Format format,
                             std::string_view body, Chunk& out);

}  // namespace penstock::connectors::http
