// SyslogParser: a syslog message of any age, RFC 5424 or what programs and devices make of RFC
// 3164.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/clock.hpp"
#include "connectors/api/event.hpp"

namespace penstock::connectors::syslog {

/// Whose zone a time without one is in.
enum class Zone { local, utc };

/// What was found; views live as long as the text and until the next parse(). "" = not there.
struct Message {
  std::optional<unsigned> priority;  ///< facility * 8 + severity
  std::int64_t time_unix_us = 0;     ///< 0 = none that can be read
  std::string_view host;
  std::string_view app;
  std::string_view pid;
  std::string_view message_id;
  std::string_view text;
  std::vector<Field> structured_data;  ///< "<id>_<name>", or the id alone for an empty element
};

std::string_view facility_name(unsigned priority);
std::string_view severity_name(unsigned priority);

/// Takes everything: what is not understood stays in `text`. Thread: owner only.
class SyslogParser {
 public:
  SyslogParser(const Clock& clock, Zone zone) : clock_(clock), zone_(zone) {}

  /// is_local: from a Unix socket, where programs leave the host out.
  const Message& parse(std::string_view text, bool is_local);

 private:
  bool parse_5424(std::string_view rest);
  bool parse_structured_data(std::string_view& rest);
  bool parse_element(std::string_view& rest);
  void parse_3164(std::string_view rest, bool is_local);
  bool take_old_time(std::string_view& rest);
  std::int64_t time_of(std::string_view prefix, unsigned month, unsigned day, unsigned year,
                       unsigned hour, unsigned minute);

  const Clock& clock_;
  const Zone zone_;
  Message message_;
  TextArena arena_;
  std::string plain_;
  // The minute of the last old time, since a zone's rules are slow to ask.
  std::string minute_text_;
  std::int64_t minute_unix_s_ = 0;
  std::int64_t minute_valid_until_us_ = 0;
};

}  // namespace penstock::connectors::syslog
