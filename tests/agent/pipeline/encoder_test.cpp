// The exact bytes of every kind of value: a changed byte here breaks receivers in the field.
#include "agent/pipeline/encoder.hpp"

#include <catch2/catch.hpp>
#include <limits>

#include "agent/base/text.hpp"

using namespace penstock;
using namespace penstock::pipeline;
using connectors::Field;
using namespace std::string_view_literals;

namespace {

constexpr std::int64_t time_us = 1'764'000'000'000'000;
const std::string opening =
    R"({"time":"2025-11-24T16:00:00.000000Z","device":"gw-7","stream":"app","epoch":"9f3c2a7e","seq":7)";

EventHead head() { return EventHead("gw-7", "app", "9f3c2a7e"); }

struct Row {
  const char* name;
  std::vector<Field> fields;
  const char* want;  // behind the opening
};

std::string encode(EventFormat& format, const EventView& event, std::size_t size_max = 65536) {
  std::string out;
  Encoder("b1d4c7e2", size_max).append(out, head(), format, event);
  return out;
}

EventView event_of(const std::vector<Field>& fields) {
  EventView event;
  event.time_unix_us = time_us;
  event.seq = 7;
  event.fields = fields;
  return event;
}

}  // namespace

TEST_CASE("every kind of value has exact bytes", "[encoder]") {
  using limits = std::numeric_limits<double>;
  const auto row = GENERATE(values<Row>({
      {"no fields", {}, "}"},
      {"text", {{"message", "hello"sv}}, R"(,"message":"hello"})"},
      {"empty text", {{"message", ""sv}}, R"(,"message":""})"},
      {"escapes", {{"m", "a\"b\\c\n\t\x01"sv}}, R"(,"m":"a\"b\\c\n\t\u0001"})"},
      {"a NUL", {{"m", "a\0b"sv}}, R"(,"m":"a\u0000b"})"},
      {"UTF-8 stays", {{"m", "grün €𝄞"sv}}, R"(,"m":"grün €𝄞"})"},
      {"invalid UTF-8", {{"m", "a\xff\xe2\x82z"sv}}, ",\"m\":\"a\xEF\xBF\xBD\xEF\xBF\xBDz\"}"},
      {"true", {{"on", true}}, R"(,"on":true})"},
      {"false", {{"on", false}}, R"(,"on":false})"},
      {"null", {{"v", std::monostate()}}, R"(,"v":null})"},
      {"integer", {{"n", std::int64_t{-21}}}, R"(,"n":-21})"},
      {"least integer", {{"n", INT64_MIN}}, R"(,"n":-9223372036854775808})"},
      {"largest natural", {{"n", UINT64_MAX}}, R"(,"n":18446744073709551615})"},
      {"a whole double", {{"t", 21.0}}, R"(,"t":21.0})"},
      {"a double", {{"t", 21.53}}, R"(,"t":21.53})"},
      {"a small double", {{"t", 1e-300}}, R"(,"t":1e-300})"},
      {"minus zero", {{"t", -0.0}}, R"(,"t":-0.0})"},
      {"NaN", {{"t", limits::quiet_NaN()}}, R"(,"t":null})"},
      {"infinity", {{"t", -limits::infinity()}}, R"(,"t":null})"},
      {"no bytes", {{"raw", Bytes{""}}}, R"(,"raw_b64":""})"},
      {"one byte", {{"raw", Bytes{"\xff"}}}, R"(,"raw_b64":"/w=="})"},
      {"two bytes", {{"raw", Bytes{"\xff\xfe"}}}, R"(,"raw_b64":"//4="})"},
      {"three bytes", {{"raw", Bytes{"abc"}}}, R"(,"raw_b64":"YWJj"})"},
      {"seven bytes", {{"raw", Bytes{"\0abcdef"sv}}}, R"(,"raw_b64":"AGFiY2RlZg=="})"},
      {"a reserved name", {{"time", 1.5}}, R"(,"time_":1.5})"},
      {"a name given twice",
       {{"a", true}, {"a", false}, {"a", true}},
       R"(,"a":true,"a_":false,"a__":true})"},
      {"a reserved name whose escape is taken",
       {{"seq_", true}, {"seq", false}},
       R"(,"seq_":true,"seq__":false})"},
      {"a name made by an earlier clash",
       {{"a", true}, {"a", false}, {"a_", true}},
       R"(,"a":true,"a_":false,"a__":true})"},
      {"the name of bytes is taken",
       {{"raw_b64", "x"sv}, {"raw", Bytes{"abc"}}},
       R"(,"raw_b64":"x","raw_b64_":"YWJj"})"},
      {"no name", {{"", true}, {"", false}}, R"(,"_":true,"__":false})"},
      {"a name with a quote", {{"a\"b", true}}, R"(,"a\"b":true})"},
      {"names that differ in invalid bytes only",
       {{"\xff", true}, {"\xfe", false}},
       ",\"\xEF\xBF\xBD\":true,\"\xEF\xBF\xBD_\":false}"},
  }));
  INFO(row.name);
  EventFormat format(Tags{});
  CHECK(encode(format, event_of(row.fields)) == opening + row.want);
}

TEST_CASE("members stand in the order of the contract", "[encoder]") {
  EventFormat format(Tags{{"site", "plant-7"}, {"line", "3 \"b\""}});
  const std::vector<Field> fields{{"site", "x"sv}, {"temp", 21.5}};
  EventView event = event_of(fields);

  SECTION("tags come before fields, and keep their names") {
    CHECK(encode(format, event) ==
          opening + R"(,"line":"3 \"b\"","site":"plant-7","site_":"x","temp":21.5})");
  }
  SECTION("part, cut and the clock come before tags") {
    event.part = "sensor/1";
    event.is_cut = true;
    event.clock = ClockMembers::unsynced;
    event.up_us = 81'234'567;
    CHECK(encode(format, event) ==
          opening + R"(,"part":"sensor/1","cut":true,"clock":"unsynced","boot":"b1d4c7e2",)" +
              R"("up_us":81234567,"line":"3 \"b\"","site":"plant-7","site_":"x","temp":21.5})");
  }
  SECTION("an event about the clock itself has no `clock`") {
    event.clock = ClockMembers::boot;
    event.up_us = 5;
    event.fields = {};
    CHECK(encode(format, event) ==
          opening + R"(,"boot":"b1d4c7e2","up_us":5,"line":"3 \"b\"","site":"plant-7"})");
  }
  SECTION("a reserved or empty tag, which the configuration refuses, cannot break the contract") {
    EventFormat odd(Tags{{"seq", "x"}, {"", "y"}});
    event.fields = {};
    CHECK(encode(odd, event) == opening + R"(,"_":"y","seq_":"x"})");
  }
}

TEST_CASE("names remembered from the event before never leak into another shape", "[encoder]") {
  EventFormat format(Tags{});
  const std::vector<std::vector<Field>> shapes{
      {{"a", true}, {"b", true}, {"b", true}},  {{"a", true}, {"b", true}},
      {{"a", true}, {"b_", true}, {"b", true}}, {{"b", true}},
      {{"b", Bytes{"abc"}}, {"b_b64", true}},   {{"b", true}, {"b_b64", true}},
  };
  for (int round = 0; round < 2; ++round) {
    for (const auto& shape : shapes) {
      EventFormat fresh(Tags{});
      CHECK(encode(format, event_of(shape)) == encode(fresh, event_of(shape)));
    }
  }
}

TEST_CASE("an event over the limit pays with its longest texts", "[encoder]") {
  EventFormat format(Tags{});
  std::string out;
  const std::size_t fixed = opening.size() + R"(,"cut":true)"sv.size();
  const std::string long_text(500, 'x');

  SECTION("one long text is cut to what fits, and the rest is whole") {
    const std::vector<Field> fields{
        {"a", std::string_view(long_text)}, {"b", "short"sv}, {"n", 1.5}};
    Encoder encoder("b", fixed + 100);
    CHECK(encoder.append(out, head(), format, event_of(fields)));
    CHECK(out.size() == fixed + 100);
    const std::string tail = R"(","b":"short","n":1.5})";
    CHECK(out == opening + R"(,"cut":true,"a":")" +
                     std::string(100 - tail.size() - R"(,"a":")"sv.size(), 'x') + tail);
  }
  SECTION("exactly at the limit nothing is cut; one less, and it is") {
    const std::vector<Field> fields{{"a", std::string_view(long_text)}};
    const std::size_t size = opening.size() + R"(,"a":""})"sv.size() + 500;
    CHECK_FALSE(Encoder("b", size).append(out, head(), format, event_of(fields)));
    CHECK(out.size() == size);
    out.clear();
    CHECK(Encoder("b", size - 1).append(out, head(), format, event_of(fields)));
    CHECK(out.size() == size - 1);
  }
  SECTION("characters stay whole") {
    std::string text;
    while (text.size() < 300) text += "€";
    const std::vector<Field> fields{{"a", std::string_view(text)}};
    for (std::size_t more = 10; more < 20; ++more) {
      out.clear();
      CHECK(Encoder("b", fixed + more).append(out, head(), format, event_of(fields)));
      CHECK(out.size() <= fixed + more);
      CHECK(out.size() + 3 > fixed + more);
      CHECK(is_valid_utf8(out));
    }
  }
  SECTION("what counts is the encoded size") {
    const std::string controls(400, '\x01');
    const std::vector<Field> fields{{"a", std::string_view(controls)}};
    CHECK(Encoder("b", fixed + 68).append(out, head(), format, event_of(fields)));
    CHECK(out == opening + R"(,"cut":true,"a":")" +
                     R"(\u0001\u0001\u0001\u0001\u0001\u0001\u0001\u0001\u0001\u0001"})");
  }
  SECTION("equal texts are cut to the same length") {
    const std::vector<Field> fields{{"a", std::string_view(long_text)},
                                    {"b", std::string_view(long_text)}};
    CHECK(Encoder("b", fixed + 35).append(out, head(), format, event_of(fields)));
    CHECK(out == opening + R"(,"cut":true,"a":"xxxxxxxxxx","b":"xxxxxxxxxx"})");
  }
  SECTION("bytes are cut in whole groups") {
    const std::vector<Field> fields{{"a", Bytes{long_text}}};
    CHECK(Encoder("b", fixed + 22).append(out, head(), format, event_of(fields)));
    CHECK(out == opening + R"(,"cut":true,"a_b64":"eHh4eHh4"})");
  }
  SECTION("what does not even fit empty is left out from the end") {
    const std::vector<Field> fields{{"a", "text"sv}, {"b", 1.5}, {"c", 2.5}, {"d", 2.5}};
    CHECK(Encoder("b", fixed + 18).append(out, head(), format, event_of(fields)));
    CHECK(out == opening + R"(,"cut":true,"a":"te","b":1.5})");
  }
  SECTION("opening and tags are written whatever the limit is") {
    EventFormat tagged(Tags{{"site", "plant-7"}});
    const std::vector<Field> fields{{"a", "text"sv}};
    CHECK(Encoder("b", 10).append(out, head(), tagged, event_of(fields)));
    CHECK(out == opening + R"(,"cut":true,"site":"plant-7"})");
  }
  SECTION("a huge text does not make the buffer huge") {
    const std::string huge(8 * 1024 * 1024, 'x');
    const std::vector<Field> fields{{"a", std::string_view(huge)}};
    CHECK(Encoder("b", 1000).append(out, head(), format, event_of(fields)));
    CHECK(out.size() == 1000);
    CHECK(out.capacity() < 4096);
  }
}

TEST_CASE("a cut by the connector and a long part are marked", "[encoder]") {
  EventFormat format(Tags{});
  EventView event = event_of({});
  event.is_cut = true;
  CHECK(encode(format, event) == opening + R"(,"cut":true})");
  event.is_cut = false;
  const std::string part(Encoder::part_bytes_max + 1, 'p');
  event.part = part;
  CHECK(encode(format, event) ==
        opening + R"(,"part":")" + std::string(Encoder::part_bytes_max, 'p') + R"(","cut":true})");
}

TEST_CASE("thousands of fields take thousands of comparisons, not millions of strings",
          "[encoder]") {
  std::vector<std::string> names;
  for (int i = 0; i < 20'000; ++i) names.push_back("field" + std::to_string(i));
  std::vector<Field> fields;
  for (const std::string& name : names) fields.push_back({name, true});
  EventFormat format(Tags{});
  std::string out;
  CHECK(Encoder("b", 65536).append(out, head(), format, event_of(fields)));
  CHECK(out.size() <= 65536);
  CHECK(out.size() > 65536 - 30);
}
