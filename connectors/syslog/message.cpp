#include "connectors/syslog/message.hpp"

#include <algorithm>
#include <cstdlib>
#include <ctime>

#include "connectors/support/decoder.hpp"
#include "connectors/support/time_text.hpp"

namespace penstock::connectors::syslog {
namespace {

constexpr std::string_view nil = "-";
constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
constexpr unsigned priority_max = 191;
constexpr std::size_t tag_bytes_max = 64;
/// The year of an old time is the one nearest to now; asked anew this often.
constexpr std::int64_t minute_valid_us = 3'600'000'000;

constexpr std::string_view facilities[] = {
    "kern",   "user",   "mail",     "daemon", "auth",   "syslog", "lpr",    "news",
    "uucp",   "cron",   "authpriv", "ftp",    "ntp",    "audit",  "alert",  "clock",
    "local0", "local1", "local2",   "local3", "local4", "local5", "local6", "local7"};
constexpr std::string_view severities[] = {"emerg",   "alert",  "crit", "err",
                                           "warning", "notice", "info", "debug"};
constexpr std::string_view months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool take(std::string_view& text, std::string_view front) {
  if (!text.starts_with(front)) return false;
  text.remove_prefix(front.size());
  return true;
}

/// Up to a blank, which goes too.
std::string_view take_word(std::string_view& text) {
  const std::size_t end = std::min(text.find(' '), text.size());
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return word;
}

void skip_blanks(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
}

/// From `least` to `most` digits.
bool take_number(std::string_view& text, std::size_t least, std::size_t most, unsigned& out) {
  std::size_t count = 0;
  out = 0;
  while (count < text.size() && count < most && is_digit(text[count])) {
    out = out * 10 + static_cast<unsigned>(text[count++] - '0');
  }
  if (count < least) return false;
  text.remove_prefix(count);
  return true;
}

std::optional<unsigned> take_priority(std::string_view& text) {
  std::string_view rest = text;
  unsigned priority = 0;
  if (!take(rest, "<") || !take_number(rest, 1, 3, priority) || !take(rest, ">") ||
      priority > priority_max) {
    return std::nullopt;
  }
  text = rest;
  return priority;
}

std::string_view unless_nil(std::string_view word) {
  return word == nil ? std::string_view() : word;
}

/// "name[pid]: " or "name: ".
bool take_tag(std::string_view& text, std::string_view& app, std::string_view& pid) {
  const std::size_t end = text.substr(0, tag_bytes_max + 1).find_first_of(" :[");
  if (end == std::string_view::npos || end == 0 || text[end] == ' ') return false;
  std::string_view rest = text.substr(end);
  std::string_view number;
  if (take(rest, "[")) {
    const std::size_t close = rest.find(']');
    if (close == std::string_view::npos || close > tag_bytes_max) return false;
    number = rest.substr(0, close);
    if (number.find(' ') != std::string_view::npos) return false;
    rest.remove_prefix(close + 1);
  }
  const bool has_colon = take(rest, ":");
  if (!has_colon && number.empty()) return false;
  if (!rest.empty() && rest.front() != ' ') return false;
  app = text.substr(0, end);
  pid = number;
  take(rest, " ");
  text = rest;
  return true;
}

/// A host stands alone; a word with a colon at its end or a bracket in it is a tag.
bool looks_like_host(std::string_view word) {
  return !word.empty() && word.back() != ':' && word.find('[') == std::string_view::npos;
}

}  // namespace

std::string_view facility_name(unsigned priority) {
  return facilities[std::min<std::size_t>(priority / 8, std::size(facilities) - 1)];
}
std::string_view severity_name(unsigned priority) { return severities[priority % 8]; }

const Message& SyslogParser::parse(std::string_view text, bool is_local) {
  arena_.clear();
  message_.structured_data.clear();
  message_.time_unix_us = 0;
  message_.host = message_.app = message_.pid = message_.message_id = {};
  const std::size_t last = text.find_last_not_of(std::string_view("\n\r\0", 3));
  text = text.substr(0, last == std::string_view::npos ? 0 : last + 1);
  message_.priority = take_priority(text);
  message_.text = text;
  if (!message_.priority || !parse_5424(text)) parse_3164(text, is_local);
  take(message_.text, byte_order_mark);
  return message_;
}

/// RFC 5424, 6: VERSION SP TIMESTAMP SP HOSTNAME SP APP-NAME SP PROCID SP MSGID SP SD [SP MSG]
bool SyslogParser::parse_5424(std::string_view rest) {
  unsigned version = 0;
  if (rest.empty() || rest.front() == '0' || !take_number(rest, 1, 2, version) ||
      !take(rest, " ")) {
    return false;
  }
  const std::string_view time = take_word(rest);
  const auto time_us = support::parse_rfc3339(time);
  if (!time_us && time != nil) return false;
  const std::string_view host = unless_nil(take_word(rest));
  const std::string_view app = unless_nil(take_word(rest));
  const std::string_view pid = unless_nil(take_word(rest));
  const std::string_view message_id = unless_nil(take_word(rest));
  message_.time_unix_us = time_us.value_or(0);
  message_.host = host;
  message_.app = app;
  message_.pid = pid;
  message_.message_id = message_id;
  const std::string_view before = rest;
  if (!take(rest, nil) && !parse_structured_data(rest)) {
    // Broken structured data is kept as text.
    message_.structured_data.clear();
    rest = before;
  }
  take(rest, " ");
  message_.text = rest;
  return true;
}

bool SyslogParser::parse_structured_data(std::string_view& rest) {
  if (!rest.starts_with('[')) return false;
  while (take(rest, "[")) {
    if (!parse_element(rest)) return false;
  }
  return rest.empty() || rest.front() == ' ';
}

/// What follows "[": ID *(SP NAME="VALUE") "]". A value escapes '"', '\' and ']' with '\'.
bool SyslogParser::parse_element(std::string_view& rest) {
  const std::size_t id_end = rest.find_first_of(" ]=\"");
  if (id_end == std::string_view::npos || id_end == 0 || rest[id_end] == '=') return false;
  const std::string_view id = rest.substr(0, id_end);
  rest.remove_prefix(id_end);
  bool is_empty = true;
  while (true) {
    skip_blanks(rest);
    if (take(rest, "]")) break;
    const std::size_t name_end = rest.find_first_of(" ]=\"");
    if (name_end == std::string_view::npos || name_end == 0) return false;
    const std::string_view name = rest.substr(0, name_end);
    rest.remove_prefix(name_end);
    if (!take(rest, "=\"")) return false;
    plain_.assign(id).append("_").append(name);
    if (plain_.size() > support::name_bytes_max) return false;
    if (message_.structured_data.size() == support::fields_max) return false;
    const std::string_view full_name = arena_.copy(plain_);
    plain_.clear();
    std::size_t at = 0;
    while (at < rest.size() && rest[at] != '"') {
      const bool is_escape = rest[at] == '\\' && at + 1 < rest.size() &&
                             (rest[at + 1] == '"' || rest[at + 1] == '\\' || rest[at + 1] == ']');
      if (is_escape) ++at;
      plain_ += rest[at++];
    }
    if (at == rest.size()) return false;
    rest.remove_prefix(at + 1);
    message_.structured_data.push_back({full_name, arena_.copy(plain_)});
    is_empty = false;
  }
  if (is_empty && id.size() <= support::name_bytes_max &&
      message_.structured_data.size() < support::fields_max) {
    message_.structured_data.push_back({id, true});
  }
  return true;
}

void SyslogParser::parse_3164(std::string_view rest, bool is_local) {
  // Cisco IOS: "45: host: *Nov 25 18:58:20.123 UTC: %SYS-5-CONFIG_I: text"
  std::string_view after_number = rest;
  unsigned number = 0;
  const bool has_number = take_number(after_number, 1, 9, number) && take(after_number, ": ");
  if (has_number) rest = after_number;
  bool has_time = take_old_time(rest);
  if (!has_time && has_number) {
    std::string_view after_host = rest;
    std::string_view host = take_word(after_host);
    if (host.size() > 1 && host.back() == ':' && take_old_time(after_host)) {
      host.remove_suffix(1);
      message_.host = host;
      rest = after_host;
      has_time = true;
    }
  }
  if (has_time && !is_local && message_.host.empty()) {
    std::string_view after_host = rest;
    const std::string_view word = take_word(after_host);
    if (looks_like_host(word) && word.size() < rest.size()) {
      message_.host = word;
      rest = after_host;
      take(rest, ": ");  // Cisco ASA writes "host : %ASA-…"
    }
  }
  take_tag(rest, message_.app, message_.pid);
  message_.text = rest;
}

/// "Nov  5 18:58:20 ", also with '*' or '.' in front, a year, a fraction, a zone's name, a colon;
/// or RFC 3339. Takes the blank behind it too.
bool SyslogParser::take_old_time(std::string_view& rest) {
  std::string_view text = rest;
  if (!text.empty() && is_digit(text.front())) {
    std::string_view word = take_word(text);
    if (word.ends_with(':')) word.remove_suffix(1);
    const auto time = support::parse_rfc3339(word);
    if (!time) return false;
    message_.time_unix_us = *time;
    rest = text;
    return true;
  }
  if (!take(text, "*")) take(text, ".");
  const std::string_view begin = text;
  const auto* month = std::find(std::begin(months), std::end(months), text.substr(0, 3));
  if (month == std::end(months)) return false;
  text.remove_prefix(3);
  unsigned day = 0;
  unsigned year = 0;
  unsigned hour = 0;
  unsigned minute = 0;
  unsigned second = 0;
  if (!take(text, " ")) return false;
  skip_blanks(text);
  if (!take_number(text, 1, 2, day) || !take(text, " ")) return false;
  if (text.size() > 4 && text[4] == ' ') {
    if (!take_number(text, 4, 4, year) || !take(text, " ")) return false;
  }
  if (!take_number(text, 2, 2, hour) || !take(text, ":") || !take_number(text, 2, 2, minute)) {
    return false;
  }
  const std::string_view minute_text = begin.substr(0, begin.size() - text.size());
  if (!take(text, ":") || !take_number(text, 2, 2, second)) return false;
  if (day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60) return false;
  std::int64_t fraction_us = 0;
  if (take(text, ".")) {
    for (std::int64_t unit = 100'000; !text.empty() && is_digit(text.front()); unit /= 10) {
      fraction_us += unit * (text.front() - '0');
      text.remove_prefix(1);
    }
  }
  for (const std::string_view zone : {" UTC:", " GMT:", " Z:", " UTC", ":"}) {
    if (take(text, zone)) break;
  }
  if (!text.empty() && !take(text, " ")) return false;
  const auto month_number = static_cast<unsigned>(month - std::begin(months)) + 1;
  const std::int64_t unix_s = time_of(minute_text, month_number, day, year, hour, minute) + second;
  message_.time_unix_us = unix_s > 0 ? unix_s * 1'000'000 + fraction_us : 0;
  rest = text;
  return true;
}

std::int64_t SyslogParser::time_of(std::string_view prefix, unsigned month, unsigned day,
                                   unsigned year, unsigned hour, unsigned minute) {
  const std::int64_t now_us = clock_.wall_us();
  if (prefix == minute_text_ && now_us < minute_valid_until_us_) return minute_unix_s_;
  const auto at = [&](std::int64_t in_year) {
    const std::int64_t utc =
        support::days_of(in_year, month, day) * 86'400 + hour * 3'600 + minute * 60;
    if (zone_ == Zone::utc) return utc;
    std::tm parts{};
    parts.tm_year = static_cast<int>(in_year) - 1900;
    parts.tm_mon = static_cast<int>(month) - 1;
    parts.tm_mday = static_cast<int>(day);
    parts.tm_hour = static_cast<int>(hour);
    parts.tm_min = static_cast<int>(minute);
    parts.tm_isdst = -1;
    return static_cast<std::int64_t>(::mktime(&parts));
  };
  const std::int64_t now_s = now_us / 1'000'000;
  std::int64_t best = 0;
  if (year != 0) {
    best = at(year);
  } else {
    const std::int64_t this_year = 1970 + now_s / 31'556'952;
    best = at(this_year);
    for (const std::int64_t other : {at(this_year - 1), at(this_year + 1)}) {
      if (std::abs(other - now_s) < std::abs(best - now_s)) best = other;
    }
  }
  minute_text_ = prefix;
  minute_unix_s_ = best;
  minute_valid_until_us_ = now_us + minute_valid_us;
  return best;
}

}  // namespace penstock::connectors::syslog
