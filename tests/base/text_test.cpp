// Text from outside reaches logs, topics and JSON through these functions: a hole here is an
// injection.
#include "agent/base/text.hpp"

#include <rapidjson/document.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace penstock {
namespace {

std::string json(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

std::string escaped(std::string_view text) {
  std::string out;
  append_escaped(out, text);
  return out;
}

std::string number(double value) {
  std::string out;
  append_json_double(out, value);
  return out;
}

std::string time_text(std::int64_t time_unix_us) {
  std::string out;
  append_time(out, time_unix_us);
  return out;
}

}  // namespace

TEST_CASE("JSON strings", "[base]") {
  struct Row {
    std::string name;
    std::string in;
    std::string out;
  };
  const auto row = GENERATE(values<Row>({
      {"plain", "hello", "\"hello\""},
      {"empty", "", "\"\""},
      {"quote and backslash", "a\"b\\c", "\"a\\\"b\\\\c\""},
      {"controls", std::string("\n\r\t\b\f\x01\x1f", 7), "\"\\n\\r\\t\\b\\f\\u0001\\u001f\""},
      {"NUL", std::string("a\0b", 3), "\"a\\u0000b\""},
      {"a quote in the ninth byte", "12345678\"", "\"12345678\\\"\""},
      {"UTF-8 stays", "grün €", "\"grün €\""},
      {"a lone continuation byte", "a\x80z", "\"a\xEF\xBF\xBDz\""},
      {"an overlong slash", "\xC0\xAF", "\"\xEF\xBF\xBD\xEF\xBF\xBD\""},
      {"a surrogate", "\xED\xA0\x80", "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},
      {"a cut sequence at the end", "x\xE2\x82", "\"x\xEF\xBF\xBD\""},
      {"beyond U+10FFFF", "\xF4\x90\x80\x80",
       "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},
  }));
  INFO(row.name);
  CHECK(json(row.in) == row.out);
  std::string out;
  const bool whole = append_json_string(out, row.in);
  CHECK(whole == (out.find("\xEF\xBF\xBD") == std::string::npos));
}

TEST_CASE("any bytes become a JSON string that a parser accepts", "[base]") {
  const auto seed = GENERATE(range(0U, 40U));
  INFO("seed " << seed);
  std::mt19937 random(seed);
  std::string bytes(random() % 300, '\0');
  for (char& c : bytes)
    c = static_cast<char>(random() % 4 == 0 ? random() % 256 : 'a' + random() % 26);
  const std::string text = json(bytes);
  rapidjson::Document document;
  document.Parse<rapidjson::kParseValidateEncodingFlag>(text.data(), text.size());
  REQUIRE_FALSE(document.HasParseError());
  if (is_valid_utf8(bytes)) {
    CHECK(std::string(document.GetString(), document.GetStringLength()) == bytes);
  }
}

TEST_CASE("escaped text cannot start a new log line or move a terminal", "[base]") {
  CHECK(escaped("a\nb") == "a\\nb");
  CHECK(escaped("\x1b[2J") == "\\x1b[2J");
  CHECK(escaped("say \"hi\"") == "say \\\"hi\\\"");
  CHECK(escaped("\xE2\x80\xA8") == "\\xe2\\x80\\xa8");
  CHECK(escaped("\xC2\x9B") == "\\xc2\\x9b");
  CHECK(escaped("bad \xFF end") == "bad \\xff end");
  CHECK(escaped("grün") == "grün");
}

TEST_CASE("percent-encoding leaves only what topics and file names may hold", "[base]") {
  CHECK(percent_encoded("A-z_09") == "A-z_09");
  CHECK(percent_encoded("a/b+#.$ ü") == "a%2Fb%2B%23%2E%24%20%C3%BC");
  CHECK(percent_encoded(std::string("\0", 1)) == "%00");
}

TEST_CASE("a double keeps its type and its value", "[base]") {
  CHECK(number(21) == "21.0");
  CHECK(number(-0.0) == "-0.0");
  CHECK(number(0.1) == "0.1");
  CHECK(number(1e300) == "1e+300");
  CHECK(number(std::numeric_limits<double>::quiet_NaN()) == "null");
  CHECK(number(-std::numeric_limits<double>::infinity()) == "null");
  std::mt19937_64 random(7);
  for (int i = 0; i < 1000; ++i) {
    const double value =
        std::ldexp(static_cast<double>(random()), static_cast<int>(random() % 200) - 100);
    CHECK(std::stod(number(value)) == value);
  }
}

TEST_CASE("time is written as RFC 3339 with microseconds", "[base]") {
  CHECK(time_text(0) == "1970-01-01T00:00:00.000000Z");
  CHECK(time_text(1'763'933'955'276'123) == "2025-11-23T21:39:15.276123Z");
  CHECK(time_text(951'782'400'000'000) == "2000-02-29T00:00:00.000000Z");
  CHECK(time_text(-1) == "1969-12-31T23:59:59.999999Z");
  CHECK(time_text(std::numeric_limits<std::int64_t>::min()) == "0000-01-01T00:00:00.000000Z");
  CHECK(time_text(std::numeric_limits<std::int64_t>::max()) == "9999-12-31T23:59:59.999999Z");
}

TEST_CASE("times agree with the C library over 800 years", "[base]") {
  for (std::int64_t seconds = -12'000'000'000; seconds < 13'000'000'000; seconds += 86'399 * 97) {
    const std::time_t moment = seconds;
    std::tm parts{};
    ::gmtime_r(&moment, &parts);
    char expected[40];
    const auto size = std::strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%S.000000Z", &parts);
    REQUIRE(time_text(seconds * 1'000'000) == std::string(expected, size));
  }
}

TEST_CASE("a cut never splits a character", "[base]") {
  CHECK(cut_at_character("hello", 10) == "hello");
  CHECK(cut_at_character("hello", 3) == "hel");
  CHECK(cut_at_character("a€b", 3) == "a");
  CHECK(cut_at_character("a€b", 4) == "a€");
  CHECK(cut_at_character("\x80\x80\x80\x80\x80", 2).size() <= 2);
}

TEST_CASE("suggestions are near, or none", "[base]") {
  const std::vector<std::string_view> keys{"max_size", "path", "commit"};
  CHECK(nearest("max_sizee", keys) == "max_size");
  CHECK(nearest("pth", keys) == "path");
  CHECK(nearest("temperature", keys).empty());
}

TEST_CASE("times are read back as they were written", "[base]") {
  const auto us =
      GENERATE(values<std::int64_t>({0, 1, -1, 1'764'000'000'276'123, -62'167'219'200'000'000,
                                     253'402'300'799'999'999, 1'709'164'800'000'000}));
  CHECK(parse_time(time_text(us)) == us);
}

TEST_CASE("what is no time is not read as one", "[base]") {
  for (const std::string_view text :
       {"", "2026-11-23T21:39:15Z", "2026-11-23 21:39:15.276123Z", "2026-13-23T21:39:15.276123Z",
        "2026-02-29T21:39:15.276123Z", "2026-11-23T24:39:15.276123Z", "2026-11-23T21:60:15.276123Z",
        "2026-11-23T21:39:60.276123Z", "2026-11-23T21:39:15.276123+",
        "2026-11-23T21:39:15.2761234Z"}) {
    INFO(text);
    CHECK_FALSE(parse_time(text).has_value());
  }
}

}  // namespace penstock
