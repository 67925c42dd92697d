#include <catch2/catch.hpp>

#include "config/quantity.hpp"

namespace penstock::config::tests {

using std::chrono::microseconds;

TEST_CASE("durations", "[config]") {
  struct Row {
    std::string text;
    std::int64_t us;
  };
  const auto row = GENERATE(values<Row>({{"0", 0},
                                         {"0s", 0},
                                         {"250us", 250},
                                         {"500ms", 500'000},
                                         {"10s", 10'000'000},
                                         {"0.1s", 100'000},
                                         {"1.5h", 5'400'000'000},
                                         {"5m", 300'000'000},
                                         {"14d", 1'209'600'000'000},
                                         {"0.1234567s", 123'456},
                                         {"00010s", 10'000'000}}));
  INFO(row.text);
  REQUIRE(parse_duration(row.text).has_value());
  CHECK(parse_duration(row.text)->count() == row.us);
}

TEST_CASE("sizes", "[config]") {
  struct Row {
    std::string text;
    std::uint64_t bytes;
  };
  const auto row = GENERATE(values<Row>({{"0", 0},
                                         {"512B", 512},
                                         {"96KiB", 98'304},
                                         {"256MiB", 268'435'456},
                                         {"2GiB", 2'147'483'648},
                                         {"1.5GiB", 1'610'612'736},
                                         {"1TiB", 1'099'511'627'776},
                                         {"5kB", 5'000},
                                         {"500MB", 500'000'000},
                                         {"1GB", 1'000'000'000},
                                         {"0.5TB", 500'000'000'000}}));
  INFO(row.text);
  REQUIRE(parse_size(row.text).has_value());
  CHECK(*parse_size(row.text) == row.bytes);
}

TEST_CASE("rates", "[config]") {
  CHECK(*parse_rate("64KiB/s") == 65'536.0);
  CHECK(*parse_rate("600B/m") == 10.0);
  CHECK(*parse_rate("3600B/h") == 1.0);
  CHECK(*parse_rate("500MB/day") == Approx(5787.037));
  CHECK(*parse_rate("86400B/d") == 1.0);
  CHECK(*parse_rate("0") == 0.0);
}

TEST_CASE("what is no quantity", "[config]") {
  struct Row {
    OptionType type;
    std::string text;
    bool is_missing_unit;
    std::string help;
  };
  const auto duration = OptionType::duration;
  const auto size = OptionType::size;
  const auto rate = OptionType::rate;
  const auto row = GENERATE_COPY(values<Row>({
      {duration, "5", true, "write 5s, 5m or 5ms"},
      {duration, "", false, "write a number with a unit"},
      {duration, "s", false, "write a number with a unit"},
      {duration, "-5s", false, ""},
      {duration, "+5s", false, "write a number with a unit"},
      {duration, "1.2.3s", false, "write a number with a unit"},
      {duration, "1.s", false, "write a number with a unit"},
      {duration, ".5s", false, "write a number with a unit"},
      {duration, "5 s", false, "did you mean 5s?"},
      {duration, "5min", false, "did you mean 5m?"},
      {duration, "5\xc2\xb5s", false, "did you mean 5us?"},
      {duration, "5y", false, "units are us ms s m h d"},
      {duration, "9223372036855s", false, ""},
      {duration, "18446744073709551616us", false, "write a number with a unit"},
      {size, "1000", true, "write 1000MiB, 1000KiB or 1000B"},
      {size, "64MB ", false, "units are"},
      {size, "64kib", false, "did you mean 64KiB?"},
      {size, "64M", false, "did you mean 64MiB?"},
      {size, "8388608TiB", false, ""},
      {rate, "500", true, "write 500MiB/s"},
      {rate, "500MB", true, "write 500MB/s or 500MB/day"},
      {rate, "500MB/", false, "write 500MB/s or 500MB/day"},
      {rate, "500/s", true, "500KiB/s"},
      {rate, "500MB/week", false, "500MB/day"},
      {rate, "5MB/sec", false, "did you mean 5MB/s?"},
  }));
  INFO(row.text);
  QuantityFault fault;
  REQUIRE_FALSE(parse_quantity(row.type, row.text, &fault).has_value());
  CHECK(fault.is_missing_unit == row.is_missing_unit);
  CHECK_FALSE(fault.message.empty());
  CHECK_THAT(fault.help, Catch::Contains(row.help));
}

TEST_CASE("numbers of the core schema", "[config]") {
  CHECK(parse_integer("12") == 12);
  CHECK(parse_integer("-3") == -3);
  CHECK(parse_integer("+3") == 3);
  CHECK(parse_integer("0x1F") == 31);
  CHECK(parse_integer("0o17") == 15);
  CHECK(parse_integer("017") == 17);
  CHECK_FALSE(parse_integer("1.0").has_value());
  CHECK_FALSE(parse_integer("1e3").has_value());
  CHECK_FALSE(parse_integer("").has_value());
  CHECK_FALSE(parse_integer("-").has_value());
  CHECK_FALSE(parse_integer("0x").has_value());
  CHECK_FALSE(parse_integer("9223372036854775808").has_value());
  CHECK(parse_number("1e3") == 1000.0);
  CHECK(parse_number("-.5") == -0.5);
  CHECK(parse_number("+1.") == 1.0);
  CHECK_FALSE(parse_number(".nan").has_value());
  CHECK_FALSE(parse_number(".").has_value());
  CHECK_FALSE(parse_number("1e999").has_value());
  CHECK_FALSE(parse_number("1_000").has_value());
}

}  // namespace penstock::config::tests
