// The options that choose and tune a decoder, to be put into a connector's table.
#pragma once

#include <optional>
#include <string_view>

#include "config/option.hpp"
#include "config/section.hpp"
#include "connectors/support/decoder.hpp"

namespace penstock::connectors::support {

inline constexpr std::string_view format_names[] = {"text", "json", "influx", "number", "base64"};
inline constexpr std::string_view time_form_names[] = {"rfc3339", "unix_s", "unix_ms", "unix_us",
                                                       "unix_ns"};
inline constexpr std::string_view precision_names[] = {"s", "ms", "us", "ns"};

inline constexpr config::Option format_option{
    .name = "format",
    .type = config::OptionType::choice,
    .doc =
        "what a message holds: `text` becomes the field `message`, `number` the field `value`, any "
        "bytes by `base64` the field `message_b64`; `json` and `influx` (line protocol) become one "
        "event for each object or line",
    .default_text = "text",
    .choices = format_names};
inline constexpr config::Option time_key_option{
    .name = "time_key",
    .type = config::OptionType::text,
    .doc =
        "`json`: the key that holds the event's time (nested keys joined with `_`); without it "
        "the agent stamps the events",
    .example = "ts"};
inline constexpr config::Option time_form_option{
    .name = "time_format",
    .type = config::OptionType::choice,
    .doc = "`json`: how the time under `time_key` is written",
    .default_text = "rfc3339",
    .choices = time_form_names};
inline constexpr config::Option stream_key_option{
    .name = "stream_key",
    .type = config::OptionType::text,
    .doc =
        "`json`: the key whose value names the stream's part (`<connector>/<value>`); it is not "
        "a field then",
    .example = "sensor"};
inline constexpr config::Option influx_precision_option{
    .name = "influx_precision",
    .type = config::OptionType::choice,
    .doc = "`influx`: the unit of the lines' times",
    .default_text = "ns",
    .choices = precision_names};

/// Of a section that has all five options in its table. Warns of those that are for another format.
/// fixed: the format where `format` does not say it.
DecodeOptions read_decode_options(const config::Section& section,
                                  std::optional<Format> fixed = std::nullopt);

}  // namespace penstock::connectors::support
