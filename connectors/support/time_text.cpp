#include "connectors/support/time_text.hpp"

#include <charconv>
#include <cmath>

namespace penstock::connectors::support {
namespace {

/// A cursor over text whose reads fail by returning false.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : text_(text) {}

  bool digits(std::size_t count, unsigned& out) {
    if (text_.size() < count) return false;
    out = 0;
    for (std::size_t i = 0; i < count; ++i) {
      if (text_[i] < '0' || text_[i] > '9') return false;
      out = out * 10 + static_cast<unsigned>(text_[i] - '0');
    }
    text_.remove_prefix(count);
    return true;
  }
  bool one_of(std::string_view characters) {
    if (text_.empty() || characters.find(text_.front()) == std::string_view::npos) return false;
    last_ = text_.front();
    text_.remove_prefix(1);
    return true;
  }
  char last() const { return last_; }
  bool is_at_end() const { return text_.empty(); }

  /// The digits of a fraction as µs; further digits are passed over.
  std::int64_t fraction_us() {
    std::int64_t us = 0;
    std::int64_t unit = 100'000;
    while (!text_.empty() && text_.front() >= '0' && text_.front() <= '9') {
      us += unit * (text_.front() - '0');
      unit /= 10;
      text_.remove_prefix(1);
    }
    return us;
  }

 private:
  std::string_view text_;
  char last_ = 0;
};

bool is_in_range(std::int64_t time_us) { return time_us > 0 && time_us < time_end_us; }

/// Units of `form` in a second.
std::int64_t per_second(TimeForm form) {
  switch (form) {
    case TimeForm::unix_ms: return 1'000;
    case TimeForm::unix_us: return 1'000'000;
    case TimeForm::unix_ns: return 1'000'000'000;
    default: return 1;
  }
}

/// "Z", "+01:00", "+0100", "-08" or nothing, in µs to be subtracted.
bool read_zone(Cursor& cursor, std::int64_t& offset_us) {
  offset_us = 0;
  if (cursor.is_at_end() || cursor.one_of("Zz")) return true;
  if (!cursor.one_of("+-")) return false;
  const std::int64_t sign = cursor.last() == '-' ? -1 : 1;
  unsigned hours = 0;
  unsigned minutes = 0;
  if (!cursor.digits(2, hours) || hours > 23) return false;
  if (!cursor.is_at_end()) {
    cursor.one_of(":");
    if (!cursor.digits(2, minutes) || minutes > 59) return false;
  }
  offset_us = sign * (hours * 60 + minutes) * 60'000'000LL;
  return true;
}

}  // namespace

std::int64_t days_of(std::int64_t year, unsigned month, unsigned day) {
  // Years begin in March, so that the leap day is the last; an era has 400 of them.
  const std::int64_t y = month <= 2 ? year - 1 : year;
  const std::int64_t era = (y >= 0 ? y : y - 399) / 400;
  const auto year_of_era = static_cast<std::int64_t>(y - era * 400);
  const std::int64_t shifted = (month + 9) % 12;
  const std::int64_t day_of_year = (153 * shifted + 2) / 5 + day - 1;
  return era * 146'097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
         719'468;
}

std::optional<std::int64_t> parse_rfc3339(std::string_view text) {
  Cursor cursor(text);
  unsigned year = 0;
  unsigned month = 0;
  unsigned day = 0;
  unsigned hour = 0;
  unsigned minute = 0;
  unsigned second = 0;
  if (!cursor.digits(4, year) || !cursor.one_of("-") || !cursor.digits(2, month) ||
      !cursor.one_of("-") || !cursor.digits(2, day) || !cursor.one_of("Tt ") ||
      !cursor.digits(2, hour) || !cursor.one_of(":") || !cursor.digits(2, minute) ||
      !cursor.one_of(":") || !cursor.digits(2, second)) {
    return std::nullopt;
  }
  // 60 is a leap second: it becomes the first of the next minute.
  if (month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60) {
    return std::nullopt;
  }
  const std::int64_t fraction_us = cursor.one_of(".,") ? cursor.fraction_us() : 0;
  std::int64_t offset_us = 0;
  if (!read_zone(cursor, offset_us) || !cursor.is_at_end()) return std::nullopt;
  const std::int64_t seconds =
      days_of(year, month, day) * 86'400 + hour * 3'600 + minute * 60 + second;
  const std::int64_t time_us = seconds * 1'000'000 + fraction_us - offset_us;
  if (!is_in_range(time_us)) return std::nullopt;
  return time_us;
}

std::optional<std::int64_t> time_from(double value, TimeForm form) {
  if (form == TimeForm::rfc3339) return std::nullopt;
  const double us = value / static_cast<double>(per_second(form)) * 1e6;
  if (!(us >= 1.0 && us < static_cast<double>(time_end_us))) return std::nullopt;
  return static_cast<std::int64_t>(std::llround(us));
}

std::optional<std::int64_t> time_from(std::int64_t value, TimeForm form) {
  if (form == TimeForm::rfc3339 || value <= 0) return std::nullopt;
  const std::int64_t per = per_second(form);
  if (per >= 1'000'000) {
    const std::int64_t us = value / (per / 1'000'000);
    return is_in_range(us) ? std::optional(us) : std::nullopt;
  }
  const std::int64_t factor = 1'000'000 / per;
  if (value >= time_end_us / factor) return std::nullopt;
  return value * factor;
}

std::optional<std::int64_t> parse_time(std::string_view text, TimeForm form) {
  if (form == TimeForm::rfc3339) return parse_rfc3339(text);
  const char* const end = text.data() + text.size();
  std::int64_t whole = 0;
  if (const auto [stop, error] = std::from_chars(text.data(), end, whole);
      error == std::errc() && stop == end) {
    return time_from(whole, form);
  }
  double value = 0;
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end) return std::nullopt;
  return time_from(value, form);
}

}  // namespace penstock::connectors::support
