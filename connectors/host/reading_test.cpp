// What the groups of the host connector share: bounded reads, words, numbers, rates.
#include "connectors/host/reading.hpp"

#include <catch2/catch.hpp>

#include "tests/support/temp_dir.hpp"

namespace penstock::connectors::host {
namespace {

TEST_CASE("a file is read whole up to the limit, and only whole lines beyond it") {
  const tests::TempDir dir;
  const std::string path = dir / "file";
  FileReader reader;
  tests::write_file(path, "");
  CHECK(reader.read(path).value().empty());
  tests::write_file(path, "no newline");
  CHECK(*reader.read(path) == "no newline");
  const std::string line = std::string(99, 'x') + "\n";
  std::string content;
  while (content.size() < 2 * FileReader::size_max) content += line;
  tests::write_file(path, content);
  const auto text = reader.read(path);
  REQUIRE(text.ok());
  CHECK(text->size() == FileReader::size_max / 100 * 100 - 1);
  tests::write_file(path, std::string(2 * FileReader::size_max, 'x'));
  CHECK(reader.read(path).value().empty());
  tests::write_file(path, "short again\n");
  CHECK(*reader.read(path) == "short again\n");
}

TEST_CASE("what cannot be read says which and why") {
  const tests::TempDir dir;
  FileReader reader;
  const auto missing = reader.read(dir / "missing");
  REQUIRE_FALSE(missing.ok());
  CHECK_THAT(missing.error().text, Catch::Contains("missing"));
  CHECK_FALSE(reader.read(dir.path()).ok());  // a directory
}

TEST_CASE("an endless file ends at the limit") {
  FileReader reader;
  const auto text = reader.read("/dev/zero");
  REQUIRE(text.ok());
  CHECK(text->empty());
}

TEST_CASE("lines and words") {
  Lines lines("one\n\ntwo");
  CHECK(lines.next() == "one");
  CHECK(lines.next() == "");
  CHECK(lines.next() == "two");
  CHECK(lines.next() == std::nullopt);
  Words words(" \ta  bc\td ");
  CHECK(words.next() == "a");
  words.skip(1);
  CHECK(words.next() == "d");
  CHECK(words.next().empty());
  CHECK(words.next().empty());
}

TEST_CASE("only a whole word is a number") {
  CHECK(to_uint("18446744073709551615") == 18446744073709551615U);
  CHECK(to_uint("18446744073709551616") == std::nullopt);
  CHECK(to_uint("-1") == std::nullopt);
  CHECK(to_uint("1x") == std::nullopt);
  CHECK(to_uint("") == std::nullopt);
  CHECK(to_int("-5250") == -5250);
  CHECK(to_double("0.35") == 0.35);
  CHECK(to_double("0.35,") == std::nullopt);
  CHECK(percent(1, 3) == 33.33);
  CHECK(percent(1, 0) == 0);
}

TEST_CASE("rates need two sights of the same thing") {
  RateTable<1> table;
  CHECK_FALSE(table.update("a", {100}, 1'000'000).has_value());
  table.finish_round();
  const auto growth = table.update("a", {150}, 3'000'000);
  REQUIRE(growth.has_value());
  CHECK(growth->per_second(0) == 25);
  CHECK_FALSE(table.update("a", {160}, 3'000'000).has_value());  // no time has passed
  CHECK_FALSE(table.update("a", {10}, 4'000'000).has_value());   // was reset
  const auto fallen = table.update("a", {5}, 5'000'000, OnFall::count_as_zero);
  REQUIRE(fallen.has_value());
  CHECK(fallen->counts[0] == 0);
  table.finish_round();
  table.finish_round();  // a round without it
  CHECK_FALSE(table.update("a", {20}, 9'000'000).has_value());
}

}  // namespace
}  // namespace penstock::connectors::host
