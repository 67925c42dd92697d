// The getters that every connector and room relies on.
#include "config/section.hpp"

#include <catch2/catch.hpp>

namespace penstock::config::tests {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view levels[] = {"low", "high"};
constexpr Option inner[] = {
    {.name = "depth", .type = OptionType::integer, .doc = "d", .default_text = "3"},
};
constexpr Option all[] = {
    {.name = "flag", .type = OptionType::boolean, .doc = "d", .default_text = "true"},
    {.name = "count", .type = OptionType::integer, .doc = "d", .default_text = "7"},
    {.name = "factor", .type = OptionType::number, .doc = "d", .default_text = "0.5"},
    {.name = "name", .type = OptionType::text, .doc = "d"},
    {.name = "level",
     .type = OptionType::choice,
     .doc = "d",
     .default_text = "low",
     .choices = levels},
    {.name = "every", .type = OptionType::duration, .doc = "d", .default_text = "10s"},
    {.name = "room", .type = OptionType::size, .doc = "d", .default_text = "96KiB"},
    {.name = "speed",
     .type = OptionType::rate,
     .doc = "d",
     .default_text = "off",
     .may_be_off = true},
    {.name = "names", .type = OptionType::text_list, .doc = "d", .default_text = "[lo, \"veth*\"]"},
    {.name = "tags", .type = OptionType::text_map, .doc = "d"},
    {.name = "inner", .type = OptionType::section, .doc = "d", .children = inner},
    {.name = "items", .type = OptionType::section_list, .doc = "d", .children = inner},
};

Section parsed(std::string_view yaml, Diagnostics& diagnostics) {
  auto section = Section::parse(yaml, all, diagnostics);
  INFO(diagnostics.to_text(false));
  REQUIRE(section.ok());
  return *std::move(section);
}

void check_defaults(const Section& section) {
  CHECK(section.boolean("flag"));
  CHECK(section.integer("count") == 7);
  CHECK(section.number("factor") == 0.5);
  CHECK(section.text("name").empty());
  CHECK_FALSE(section.has("name"));
  CHECK(section.has("level"));
  CHECK_FALSE(section.has_written("level"));
  CHECK(section.text("level") == "low");
  CHECK(section.duration("every") == 10s);
  CHECK(section.size("room") == 98'304);
  CHECK(section.rate("speed") == 0);
  CHECK(section.text_list("names") == std::vector<std::string>{"lo", "veth*"});
  CHECK(section.text_map("tags").empty());
  CHECK(section.section("inner").integer("depth") == 3);
  CHECK(section.section_list("items").empty());
}

}  // namespace

TEST_CASE("absent options give their defaults", "[config]") {
  check_defaults(Section::defaults(all));
  Diagnostics diagnostics;
  check_defaults(parsed("", diagnostics));
  check_defaults(parsed("inner:\n", diagnostics));
}

TEST_CASE("written options give what was written", "[config]") {
  Diagnostics diagnostics;
  const Section section = parsed(
      "flag: false\ncount: 0x10\nfactor: 2\nname: \"7\"\nlevel: high\nevery: 250ms\nroom: 1kB\n"
      "speed: 10B/s\nnames: one\ntags: {a: b}\ninner: {depth: 9}\nitems:\n  - depth: 1\n  - {}\n",
      diagnostics);
  CHECK_FALSE(section.boolean("flag"));
  CHECK(section.integer("count") == 16);
  CHECK(section.number("factor") == 2.0);
  CHECK(section.text("name") == "7");
  CHECK(section.text("level") == "high");
  CHECK(section.duration("every") == 250ms);
  CHECK(section.size("room") == 1000);
  CHECK(section.rate("speed") == 10);
  CHECK(section.text_list("names") == std::vector<std::string>{"one"});
  CHECK(section.text_map("tags") == std::map<std::string, std::string>{{"a", "b"}});
  CHECK(section.section("inner").integer("depth") == 9);
  const auto items = section.section_list("items");
  REQUIRE(items.size() == 2);
  CHECK(items[0].integer("depth") == 1);
  CHECK(items[1].integer("depth") == 3);
  CHECK(items[1].path() == "items[1]");
}

TEST_CASE("a section outlives the one it came from", "[config]") {
  Diagnostics diagnostics;
  std::optional<Section> child;
  {
    const Section section = parsed("inner: {depth: 9}\n", diagnostics);
    child = section.section("inner");
  }
  CHECK(child->integer("depth") == 9);
}

TEST_CASE("a connector's own finding has the place of its value", "[config]") {
  Diagnostics diagnostics;
  const Section section = parsed("name: x\ninner:\n  depth: 9\n", diagnostics);
  const Error error = section.section("inner").invalid("depth", "too deep", "dig less");
  CHECK(error.code == Errc::invalid);
  CHECK(error.text == "yaml:3:10: inner.depth: too deep");
  section.warn("name", "odd name");
  static_cast<void>(section.invalid("", "all wrong"));
  REQUIRE(diagnostics.all().size() == 3);
  CHECK(diagnostics.all()[0].code == "C060");
  CHECK(diagnostics.all()[0].path == "inner.depth");
  CHECK(diagnostics.all()[0].place.line == 3);
  CHECK(diagnostics.all()[1].severity == Severity::warning);
  CHECK(diagnostics.all()[2].place.line == 1);
  CHECK(Section::defaults(all).invalid("name", "bad").text == "name: bad");
}

TEST_CASE("places of items and of keys in maps", "[config]") {
  Diagnostics diagnostics;
  const Section section = parsed("names: [a, b]\ntags:\n  x: y\n", diagnostics);
  CHECK(section.item_place("names", 1).column == 12);
  CHECK(section.item_place("names", 9).column == 8);
  CHECK(section.key_place("tags", "x").line == 3);
  CHECK(section.key_place("tags", "z").line == section.place("tags").line);
  CHECK(section.place("count").line == section.place("").line);
}

}  // namespace penstock::config::tests
