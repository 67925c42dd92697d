// The decoders: what each form becomes, and that nothing from outside stops or confuses them.
#include "connectors/support/decoder.hpp"

#include <fmt/format.h>

#include <catch2/catch.hpp>

#include "agent/base/text.hpp"
#include "connectors/support/bad_input.hpp"
#include "connectors/support/time_text.hpp"
#include "tests/support/fake_clock.hpp"

namespace penstock::connectors::support {
namespace {

/// "part@time name=value …", one line for each event.
std::string shown(const Chunk& chunk) {
  struct Writer {
    std::string operator()(std::monostate) const { return "null"; }
    std::string operator()(bool v) const { return v ? "true" : "false"; }
    std::string operator()(std::int64_t v) const { return fmt::format("{}", v); }
    std::string operator()(std::uint64_t v) const { return fmt::format("{}u", v); }
    std::string operator()(double v) const {
      std::string out;
      append_json_double(out, v);
      return out;
    }
    std::string operator()(std::string_view v) const { return fmt::format("\"{}\"", v); }
    std::string operator()(Bytes v) const { return "bytes:" + std::string(v.data); }
  };
  std::string out;
  for (const auto& event : chunk.events()) {
    if (!out.empty()) out += " | ";
    out += event.part;
    if (event.time_unix_us != 0) out += fmt::format("@{}", event.time_unix_us);
    for (const Field& field : chunk.fields(event)) {
      out += fmt::format(" {}={}", field.name, std::visit(Writer{}, field.value));
    }
  }
  return out;
}

struct Outcome {
  std::string events;
  Decoded decoded;
};

Outcome decoded(const DecodeOptions& options, std::string_view message,
                const Envelope& envelope = {}) {
  const auto decoder = make_decoder(options);
  Chunk chunk;
  const Decoded result = decoder->decode(message, envelope, chunk);
  CHECK(chunk.events().size() == result.events);
  return {shown(chunk), result};
}

TEST_CASE("text is one event, marked where it is no UTF-8") {
  CHECK(decoded({}, "a b").events == " message=\"a b\"");
  CHECK(decoded({}, "a\xff").events == " message=\"a\xff\" invalid_utf8=true");
  const Field extra[] = {{"peer", std::string_view("::1")}};
  CHECK(decoded({}, "x", {.part = "p", .time_unix_us = 5, .extra = extra}).events ==
        "p@5 message=\"x\" peer=\"::1\"");
}

TEST_CASE("any bytes are one event") {
  CHECK(decoded({.format = Format::base64}, "\x01\xff").events == " message=bytes:\x01\xff");
}

TEST_CASE("a number is a number") {
  struct Row {
    std::string_view text;
    std::string_view want;  // "" = refused
  };
  const auto row =
      GENERATE(as<Row>{}, Row{"21.5", "21.5"}, Row{" -3\n", "-3"}, Row{"+4", "4"},
               Row{"18446744073709551615", "18446744073709551615u"}, Row{"1e3", "1000.0"},
               Row{"", ""}, Row{"  ", ""}, Row{"nan", ""}, Row{"inf", ""}, Row{"1 2", ""},
               Row{"+-1", ""}, Row{"0x10", ""}, Row{"1e999", ""}, Row{"on", ""});
  CAPTURE(row.text);
  const Outcome outcome = decoded({.format = Format::number}, row.text);
  CHECK(outcome.decoded.bad == (row.want.empty() ? 1 : 0));
  CHECK(outcome.events == (row.want.empty() ? "" : fmt::format(" value={}", row.want)));
}

TEST_CASE("JSON: every kind of value keeps its type") {
  const Outcome outcome = decoded(
      {.format = Format::json},
      R"({"i":-7,"u":18446744073709551615,"d":0.1,"e":1e3,"b":true,"n":null,"s":"a\"\u00e9\n","o":{"x":1,"y":{"z":"w"}},"a":[1,2.0,"q\"",null,{"k":[true]},[]],"empty":{},"none":[]})");
  CHECK(outcome.decoded.bad == 0);
  CHECK(outcome.events ==
        " i=-7 u=18446744073709551615u d=0.1 e=1000.0 b=true n=null s=\"a\"\u00e9\n\" o_x=1 "
        "o_y_z=\"w\" a=\"[1,2.0,\"q\\\"\",null,{\"k\":[true]},[]]\" empty=\"{}\" none=\"[]\"");
}

TEST_CASE("JSON: one object, a list, lines, and what lies between them") {
  struct Row {
    std::string_view text;
    std::string_view events;
    std::size_t bad;
  };
  const auto row = GENERATE(
      as<Row>{}, Row{R"({"a":1})", " a=1", 0}, Row{R"([{"a":1},{"a":2}])", " a=1 |  a=2", 0},
      Row{"{\"a\":1}\n\n{\"a\":2}\r\n", " a=1 |  a=2", 0},
      Row{R"({"a":1}{"a":2})", " a=1 |  a=2", 0},
      Row{"{\"a\":1}\nnonsense\n{\"a\":2}", " a=1 |  a=2", 1}, Row{"[]", "", 0}, Row{"", "", 1},
      Row{" \n", "", 1}, Row{"5", "", 1}, Row{R"(["x",{"a":1},[{"a":9}],null])", " a=1", 3},
      Row{R"({"a":1)", "", 1}, Row{R"([{"a":1},{"a":)", " a=1", 1}, Row{"{}", "", 1},
      Row{R"({"a":tru})", "", 1}, Row{R"({"a":"\ud800"})", "", 1}, Row{R"({"a":1e999})", "", 1},
      Row{std::string_view("{\"a\":1}\0{\"a\":2}", 15), " a=1", 1},
      Row{std::string_view("{\"a\":\"x\0y\"}", 11), "", 1});
  CAPTURE(row.text);
  const Outcome outcome = decoded({.format = Format::json}, row.text);
  CHECK(outcome.events == row.events);
  CHECK(outcome.decoded.bad == row.bad);
  CHECK(outcome.decoded.reason.empty() == (row.bad == 0));
}

TEST_CASE("JSON: depth, names and the number of fields are bounded") {
  const auto opening = GENERATE(as<std::string>{}, "[", "{\"a\":", "{\"a\":[", "[{\"a\":{\"b\":[");
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += opening;
  CHECK(decoded({.format = Format::json}, deep).decoded.bad >= 1);
  CHECK(decoded({.format = Format::json}, deep).events.empty());
  const std::string name(name_bytes_max, 'n');
  CHECK(decoded({.format = Format::json}, fmt::format("{{\"{}\":1}}", name)).decoded.bad == 1);
  std::string wide = "{";
  for (std::size_t i = 0; i <= fields_max; ++i) wide += fmt::format("\"f{}\":1,", i);
  wide.back() = '}';
  CHECK(decoded({.format = Format::json}, wide).decoded.reason == "too many fields");
}

TEST_CASE("JSON: the time and the stream's part come from the keys that are named") {
  DecodeOptions options{.format = Format::json, .time_key = "meta_ts", .stream_key = "id"};
  SECTION("RFC 3339") {
    CHECK(decoded(options, R"({"meta":{"ts":"1970-01-01T00:00:01Z","q":2},"id":"s/1","v":3})")
              .events == "s/1@1000000 meta_q=2 v=3");
  }
  SECTION("unix milliseconds, as a number or as text") {
    options.time_form = TimeForm::unix_ms;
    CHECK(decoded(options, R"({"meta_ts":1795633100123,"v":9223372036854775807})").events ==
          "@1795633100123000 v=9223372036854775807");
    CHECK(
        decoded(options, R"([{"meta_ts":1500,"id":7,"v":3},{"meta_ts":"1500.5","v":4}])").events ==
        "7@1500000 v=3 | @1500500 v=4");
  }
  SECTION("a time that cannot be read stays a field and is counted") {
    const Outcome outcome = decoded(options, R"({"meta_ts":"soon","v":3})");
    CHECK(outcome.events == " meta_ts=\"soon\" v=3");
    CHECK(outcome.decoded.bad == 1);
  }
}

TEST_CASE("influx: all types, escapes and times") {
  struct Row {
    std::string_view text;
    std::string_view events;
    std::size_t bad;
  };
  const auto row = GENERATE(
      as<Row>{}, Row{"m f=1", "m f=1.0", 0},
      Row{"m,t=a,u=b f=1.5,g=2i,h=3u,i=t,j=FALSE,k=\"x\" 1700000000123456789",
          "m@1700000000123456 t=\"a\" u=\"b\" f=1.5 g=2 h=3u i=true j=false k=\"x\"", 0},
      Row{R"(m\,\ x,t\=\ \,=v\ \,\= f\ =1)", "m, x t= ,=\"v ,=\" f =1.0", 0},
      Row{R"(m\y,t=\n f="a\"b\\c\d,= ")", "m\\y t=\"\\n\" f=\"a\"b\\c\\d,= \"", 0},
      Row{"m f=\"two\nlines\"\r\nn f=-1e-3  5000 \r\n", "m f=\"two\nlines\" | n@5 f=-0.001", 0},
      Row{"# remark\n\nm f=1\n", "m f=1.0", 0}, Row{"", "", 1}, Row{"m", "", 1}, Row{"m ", "", 1},
      Row{"m f", "", 1}, Row{"m f=", "", 1}, Row{"m f=1,", "", 1}, Row{"m f=\"x", "", 1},
      Row{",t=a f=1", "", 1}, Row{"m,t= f=1", "", 1}, Row{"m,t=a=b f=1", "", 1},
      Row{"m f=1.5i", "", 1}, Row{"m f=-1u", "", 1}, Row{"m f=nan", "", 1}, Row{"m f=tr", "", 1},
      Row{"m f=1 soon", "", 1}, Row{"m f=1 5 6", "", 1}, Row{"m f=1 -5", "", 1},
      Row{"bad\nm f=1\n=\nm f=2", "m f=1.0 | m f=2.0", 2});
  CAPTURE(row.text);
  const Outcome outcome = decoded({.format = Format::influx}, row.text);
  CHECK(outcome.events == row.events);
  CHECK(outcome.decoded.bad == row.bad);
}

TEST_CASE("influx: the precision is the configured one, and a given part stays") {
  const auto [form, want] = GENERATE(table<TimeForm, std::string>(
      {{TimeForm::unix_s, "@7000000"}, {TimeForm::unix_ms, "@7000"}, {TimeForm::unix_us, "@7"}}));
  CHECK(decoded({.format = Format::influx, .influx_precision = form}, "m f=1i 7").events ==
        "m" + want + " f=1");
  CHECK(decoded({.format = Format::influx}, "m f=1i", {.part = "p"}).events ==
        "p measurement=\"m\" f=1");
}

TEST_CASE("times in the forms that others write") {
  struct Row {
    std::string_view text;
    std::int64_t want;  // 0 = refused
  };
  const auto row = GENERATE(
      as<Row>{}, Row{"2026-11-23T21:39:15.276123Z", 1'795'469'955'276'123},
      Row{"2026-11-23 21:39:15,2761239", 1'795'469'955'276'123},
      Row{"2026-11-23t22:39:15+01:00", 1'795'469'955'000'000},
      Row{"2026-11-23T13:39:15-0800", 1'795'469'955'000'000},
      Row{"2024-02-29T00:00:00Z", 1'709'164'800'000'000}, Row{"1970-01-01T00:00:00Z", 0},
      Row{"2026-13-01T00:00:00Z", 0}, Row{"2026-11-23", 0}, Row{"2026-11-23T21:39:15Zx", 0},
      Row{"2026-11-23T21:39:15+1", 0}, Row{"", 0}, Row{"9999-12-31T23:59:59-23:59", 0});
  CAPTURE(row.text);
  CHECK(parse_rfc3339(row.text).value_or(0) == row.want);
  CHECK(parse_time("1795469955.276123", TimeForm::unix_s) == 1'795'469'955'276'123);
  CHECK(parse_time("1795469955276123456", TimeForm::unix_ns) == 1'795'469'955'276'123);
  CHECK_FALSE(parse_time("9223372036854775807", TimeForm::unix_s));
  CHECK_FALSE(parse_time("nan", TimeForm::unix_s));
  CHECK_FALSE(parse_time("0", TimeForm::unix_ms));
}

TEST_CASE("bad input is told once a minute, with an excerpt of the place") {
  tests::FakeClock clock;
  Log log("test");
  BadInput bad(log, clock);
  for (int i = 0; i < 3; ++i) bad.note("why", "what");
  CHECK(bad.total() == 3);
  const std::string message = std::string(100, 'a') + "X" + std::string(100, 'b');
  CHECK(BadInput::excerpt_at(message, 100).substr(0, 17) == std::string(16, 'a') + "X");
  CHECK(BadInput::excerpt_at(message, 100).size() == BadInput::excerpt_bytes_max);
  CHECK(BadInput::excerpt_at("short", 500) == "short");
}

}  // namespace
}  // namespace penstock::connectors::support
