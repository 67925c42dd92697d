// The bytes of each format, as consumers are told in docs/wire-format.md.
#include "agent/forward/payload.hpp"

#include <catch2/catch.hpp>
#include <vector>

namespace penstock::forward {
namespace {

std::string event(std::string_view rest, std::uint64_t seq = 1200,
                  std::string_view time = "2026-11-23T21:39:15.276123Z") {
  return R"({"time":")" + std::string(time) +
         R"(","device":"gw-7","stream":"boiler/a b","epoch":"9f3c2a7e","seq":)" +
         std::to_string(seq) + std::string(rest) + "}";
}

Result<std::string> encode(Format format, std::string_view text) {
  return make_encoder(format, {{"boiler", {"site", "line"}}})->encode({&text, 1});
}

TEST_CASE("JSON lines: an event a line") {
  const std::string a = event(",\"x\":1");
  const std::string b = event(",\"x\":2", 1201);
  const std::vector<std::string_view> both{a, b};
  CHECK(make_encoder(Format::ndjson, {})->encode(both).value() == a + "\n" + b + "\n");
  CHECK(make_encoder(Format::json, {})->encode(both).value() == "[" + a + "," + b + "]");
}

TEST_CASE("line protocol keeps types, names and numbers") {
  struct Row {
    std::string name;
    std::string rest;
    std::string tags;
    std::string fields;
  };
  const auto row = GENERATE(values<Row>({
      {"a float and an integer", R"(,"t":21.0,"n":-3)", "", ",t=21.0,n=-3i"},
      {"a boolean, and null is left out", R"(,"ok":true,"no":false,"x":null)", "",
       ",ok=true,no=false"},
      {"tags in front", R"(,"line":"2","site":"plant 7,=","t":1)", R"(,line=2,site=plant\ 7\,\=)",
       ",t=1i"},
      {"an empty tag is left out", R"(,"site":"","t":1)", "", ",t=1i"},
      {"a tag's name with a number is a field", R"(,"site":7)", "", ",site=7i"},
      {"a tag that ends in a backslash", R"(,"site":"a\\")", R"(,site=a\ )", ""},
      {"quotes and backslashes in a text", R"(,"message":"a \"b\" \\ c\nd")", "",
       ",message=\"a \\\"b\\\" \\\\ c\nd\""},
      {"names with blanks, commas and line breaks", R"(,"a b,c=d\ne":1)", "",
       R"(,a\ b\,c\=d\ e=1i)"},
      {"a name that ends in a backslash", R"(,"a\\":1)", "", R"(,a\ =1i)"},
      {"an integer that InfluxDB has not", R"(,"n":18446744073709551615)", "",
       ",n=18446744073709551615"},
      {"a loss record", R"(,"lost":40,"exact":false,"reason":"source")", "",
       R"(,lost=40i,exact=false,reason="source")"},
  }));
  INFO(row.name);
  const auto line = encode(Format::influx, event(row.rest));
  REQUIRE(line.ok());
  CHECK(*line == R"(boiler/a\ b,device=gw-7)" + row.tags + R"( seq=1200i,epoch="9f3c2a7e")" +
                     row.fields + " 1795469955276124200\n");
}

TEST_CASE("events of one time have nanoseconds of their own, in order") {
  const auto time_of = [](std::string_view time, std::uint64_t seq) {
    const std::string line = encode(Format::influx, event("", seq, time)).value();
    return line.substr(line.rfind(' ') + 1);
  };
  CHECK(time_of("2026-11-23T21:39:15.276123Z", 0) == "1795469955276123000\n");
  CHECK(time_of("2026-11-23T21:39:15.276123Z", 999'999) == "1795469955277122999\n");
  CHECK(time_of("2026-11-23T21:39:15.276123Z", 1'000'000) == "1795469955276123000\n");
  CHECK(time_of("1970-01-01T00:00:00.000000Z", 7) == "7\n");
  CHECK(time_of("1969-12-31T23:59:59.999999Z", 7) == "-993\n");
  CHECK(time_of("9999-12-31T23:59:59.999999Z", 0) == "9223372036853775000\n");
}

TEST_CASE("CBOR: the members of the JSON form") {
  const auto bytes =
      encode(Format::cbor, R"({"a":1,"b":-500,"c":1.5,"d":"\u20ac","e":null,"f":true})");
  REQUIRE(bytes.ok());
  CHECK(*bytes == std::string("\x81\xa6\x61"
                              "a\x01\x61"
                              "b\x39\x01\xf3\x61"
                              "c\xfb\x3f\xf8\0\0\0\0\0\0"
                              "\x61"
                              "d\x63\xe2\x82\xac\x61"
                              "e\xf6\x61"
                              "f\xf5",
                              33));
}

TEST_CASE("ThingsBoard: a key of each stream and member, times in milliseconds") {
  struct Row {
    std::string name;
    std::string rest;
    std::string values;
  };
  const auto row = GENERATE(values<Row>({
      {"no field", "", ""},
      {"types", R"(,"t":21.0,"n":-3,"ok":true,"no":false,"text":"a \"b\" \u20ac")",
       R"(,"boiler/a b.t":21.0,"boiler/a b.n":-3,"boiler/a b.ok":true,"boiler/a b.no":false,)"
       R"("boiler/a b.text":"a \"b\" €")"},
      {"null is left out", R"(,"x":null,"y":1)", R"(,"boiler/a b.y":1)"},
      {"an odd name", R"(,"a \"b\".c":1)", R"(,"boiler/a b.a \"b\".c":1)"},
      {"an integer that it has not", R"(,"n":18446744073709551615,"m":-9223372036854775808)",
       R"(,"boiler/a b.n":18446744073709551615.0,"boiler/a b.m":-9223372036854775808)"},
      {"more than sixteen decimals", R"(,"a":0.30000000000000004,"b":0.3000000000000001)",
       R"(,"boiler/a b.a":0.3,"boiler/a b.b":0.3000000000000001)"},
      {"exponents", R"(,"a":1e22,"b":-2.5e+21,"c":1.6e-19,"d":0.0)",
       R"(,"boiler/a b.a":10000000000000000000000.0,"boiler/a b.b":-2500000000000000000000.0,)"
       R"("boiler/a b.c":1.6e-19,"boiler/a b.d":0.0)"},
      {"a loss record", R"(,"lost":40,"exact":false,"reason":"source")",
       R"(,"boiler/a b.lost":40,"boiler/a b.exact":false,"boiler/a b.reason":"source")"},
  }));
  INFO(row.name);
  CHECK(encode(Format::thingsboard, event(row.rest)).value() ==
        R"([{"ts":1795469955276,"values":{"boiler/a b.seq":1200,"boiler/a b.epoch":"9f3c2a7e")" +
            row.values + "}}]");
}

TEST_CASE("ThingsBoard: an entry for each event, and times before 1970") {
  const std::string a = event("", 7, "1970-01-01T00:00:00.001999Z");
  const std::string b = event("", 8, "1969-12-31T23:59:59.999999Z");
  const std::vector<std::string_view> both{a, b};
  CHECK(make_encoder(Format::thingsboard, {})->encode(both).value() ==
        R"([{"ts":1,"values":{"boiler/a b.seq":7,"boiler/a b.epoch":"9f3c2a7e"}},)"
        R"({"ts":-1,"values":{"boiler/a b.seq":8,"boiler/a b.epoch":"9f3c2a7e"}}])");
}

TEST_CASE("what is no flat object is told as damaged") {
  for (const Format format : {Format::influx, Format::cbor, Format::thingsboard}) {
    for (const std::string_view bad : {"", "[]", "{", R"({"a":{}})", R"({"a":[1]})", R"({"a":1}})",
                                       "7", R"({"a":01})", R"({"a" 1})"}) {
      INFO(bad);
      const auto out = encode(format, bad);
      REQUIRE_FALSE(out.ok());
      CHECK(out.error().code == Errc::corrupt);
    }
  }
  for (const Format format : {Format::influx, Format::thingsboard}) {
    CHECK_FALSE(encode(format, R"({"a":1})").ok());
    CHECK_FALSE(encode(format, event("", 1, "yesterday")).ok());
  }
}

}  // namespace
}  // namespace penstock::forward
