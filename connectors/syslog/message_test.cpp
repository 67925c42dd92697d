// The syslog parser on what senders really write; nothing of a message may get lost.
#include "connectors/syslog/message.hpp"

#include <fmt/format.h>

#include <catch2/catch.hpp>

#include "agent/base/text.hpp"
#include "tests/support/fake_clock.hpp"

namespace penstock::connectors::syslog {
namespace {

using namespace std::string_literals;

/// 2026-11-25T18:58:20Z
constexpr std::int64_t now_us = 1'795'633'100'000'000;

std::string shown(const Message& message) {
  std::string out;
  const auto add = [&](std::string_view name, std::string_view text) {
    if (!text.empty()) out += fmt::format("{}={} ", name, text);
  };
  if (message.priority) {
    add("pri",
        fmt::format("{}.{}", facility_name(*message.priority), severity_name(*message.priority)));
  }
  if (message.time_unix_us != 0) {
    std::string time;
    append_time(time, message.time_unix_us);
    add("time", time);
  }
  add("host", message.host);
  add("app", message.app);
  add("pid", message.pid);
  add("id", message.message_id);
  for (const Field& field : message.structured_data) {
    const auto* text = std::get_if<std::string_view>(&field.value);
    add(field.name, text ? *text : "true");
  }
  return out + "| " + std::string(message.text);
}

std::string parsed(std::string_view text, bool is_local = false) {
  tests::FakeClock clock;
  clock.step_wall(now_us);
  SyslogParser parser(clock, Zone::utc);
  const std::string first = shown(parser.parse(text, is_local));
  CHECK(shown(parser.parse(text, is_local)) == first);  // also with what it remembers
  return first;
}

struct Row {
  std::string text;
  std::string want;
};

TEST_CASE("RFC 5424: the header, structured data, and what may be missing") {
  const auto row = GENERATE(values<Row>({
      {R"(<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - )"
       "\xef\xbb\xbf'su root' failed",
       "pri=auth.crit time=2003-10-11T22:14:15.003000Z host=mymachine.example.com app=su id=ID47 "
       "| 'su root' failed"},
      {R"(<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time.)",
       "pri=local4.notice time=2003-08-24T12:14:15.000003Z host=192.0.2.1 app=myproc pid=8710 | "
       "%% It's time."},
      {R"(<165>1 2003-10-11T22:14:15.003Z h a - ID [ex@32473 iut="3" s="a\"\]\\\n"][p@1 x=""] text)",
       "pri=local4.notice time=2003-10-11T22:14:15.003000Z host=h app=a id=ID ex@32473_iut=3 "
       "ex@32473_s=a\"]\\\\n | text"},
      {"<13>1 - - - - - [only@1]", "pri=user.notice only@1=true | "},
      {"<13>1 - - - - - -", "pri=user.notice | "},
      {"<13>1 - h - - - - \n\0"s, "pri=user.notice host=h | "},
      {R"(<13>1 - h a - - [broken x="1] text)",
       R"(pri=user.notice host=h app=a | [broken x="1] text)"},
      {"<13>1 - h", "pri=user.notice host=h | "},
      {"<13>1 yesterday h a - - - x", "pri=user.notice | 1 yesterday h a - - - x"},
  }));
  CAPTURE(row.text);
  CHECK(parsed(row.text) == row.want);
}

TEST_CASE("RFC 3164 in its real-life forms") {
  const auto row = GENERATE(values<Row>({
      {"<34>Oct 11 22:14:15 mymachine su: 'su root' failed",
       "pri=auth.crit time=2026-10-11T22:14:15.000000Z host=mymachine app=su | 'su root' failed"},
      {"<30>Nov  5 01:02:03 gw systemd[1]: Started x.",
       "pri=daemon.info time=2026-11-05T01:02:03.000000Z host=gw app=systemd pid=1 | Started x."},
      {"<30>Jan  2 01:02:03 gw a: next year's clock",
       "pri=daemon.info time=2027-01-02T01:02:03.000000Z host=gw app=a | next year's clock"},
      {"<22>Nov 25 18:00:00 mail postfix/smtpd[77]: connect",
       "pri=mail.info time=2026-11-25T18:00:00.000000Z host=mail app=postfix/smtpd pid=77 | "
       "connect"},
      {"<13>Nov 25 18:00:00 root: no host",
       "pri=user.notice time=2026-11-25T18:00:00.000000Z app=root | no host"},
      {"<13>2026-11-25T18:00:00.5+01:00 gw app: ISO",
       "pri=user.notice time=2026-11-25T17:00:00.500000Z host=gw app=app | ISO"},
      {"<166>Nov 25 2026 18:00:00 fw : %ASA-6-302013: Built",
       "pri=local4.info time=2026-11-25T18:00:00.000000Z host=fw app=%ASA-6-302013 | Built"},
      {"<166>Nov 25 2026 18:00:00: %ASA-6-302013: Built",
       "pri=local4.info time=2026-11-25T18:00:00.000000Z app=%ASA-6-302013 | Built"},
      {"<189>45: *Nov 25 18:00:00.123: %SYS-5-CONFIG_I: Configured",
       "pri=local7.notice time=2026-11-25T18:00:00.123000Z app=%SYS-5-CONFIG_I | Configured"},
      {"<189>45: r1: .Nov 25 18:00:00.123 UTC: %SYS-5-X: y",
       "pri=local7.notice time=2026-11-25T18:00:00.123000Z host=r1 app=%SYS-5-X | y"},
      {"Nov 25 18:00:00 gw cron[9]: no PRI",
       "time=2026-11-25T18:00:00.000000Z host=gw app=cron pid=9 | no PRI"},
      {"no header at all", "| no header at all"},
      {"<13>plain: text", "pri=user.notice app=plain | text"},
      {"<13>\xef\xbb\xbfwith a mark", "pri=user.notice | with a mark"},
      {"<13>http://x.org is no tag", "pri=user.notice | http://x.org is no tag"},
      {"<192>too high", "| <192>too high"},
      {"<>x", "| <>x"},
      {"<13", "| <13"},
      {"<13>", "pri=user.notice | "},
      {"<13>Nov 25 18:00:00 single", "pri=user.notice time=2026-11-25T18:00:00.000000Z | single"},
      {"<13>Nov 31 99:00:00 gw x", "pri=user.notice | Nov 31 99:00:00 gw x"},
      {"<13>Feb 29 10:00:00 gw a: leap",
       "pri=user.notice time=2027-03-01T10:00:00.000000Z host=gw app=a | leap"},
      {"<13>Nov 25 18:00:00 gw " + std::string(100, 'x') + ": y",
       "pri=user.notice time=2026-11-25T18:00:00.000000Z host=gw | " + std::string(100, 'x') +
           ": y"},
  }));
  CAPTURE(row.text);
  CHECK(parsed(row.text) == row.want);
}

TEST_CASE("programs on this machine leave the host out") {
  CHECK(parsed("<13>Nov 25 18:00:00 word and more", true) ==
        "pri=user.notice time=2026-11-25T18:00:00.000000Z | word and more");
  CHECK(parsed("<13>Nov 25 18:00:00 me[5]: x", true) ==
        "pri=user.notice time=2026-11-25T18:00:00.000000Z app=me pid=5 | x");
}

}  // namespace
}  // namespace penstock::connectors::syslog
