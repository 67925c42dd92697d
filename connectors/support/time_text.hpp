// Times as other programs write them, to µs since 1970.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "connectors/support/decoder.hpp"

namespace penstock::connectors::support {

/// Exclusive: the first µs of the year 10000.
inline constexpr std::int64_t time_end_us = 253'402'300'800'000'000;

/// Days since 1970-01-01 of a date in the Gregorian calendar; any month and day are taken as they
/// are.
std::int64_t days_of(std::int64_t year, unsigned month, unsigned day);

/// "2026-11-23T21:39:15.276123Z", also with a blank for the T, "+01:00", "+0100", any number of
/// fraction digits, and without a zone (then UTC). Nothing may follow it.
std::optional<std::int64_t> parse_rfc3339(std::string_view text);

/// A number of seconds … nanoseconds; seconds may have a fraction. Only times from 1970 to 9999.
std::optional<std::int64_t> time_from(double value, TimeForm form);
std::optional<std::int64_t> time_from(std::int64_t value, TimeForm form);
/// In any of the forms.
std::optional<std::int64_t> parse_time(std::string_view text, TimeForm form);

}  // namespace penstock::connectors::support
