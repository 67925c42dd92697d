// The JSON Schema as such: that it is JSON, closed everywhere, and complete. Whether samples fit is
// asked of a real validator elsewhere.
#include <rapidjson/document.h>
#include <catch2/catch.hpp>

#include <regex>

#include "config/quantity.hpp"
#include "tests/config/fixture.hpp"

namespace penstock::config::tests {
namespace {

using rapidjson::Value;

void check_closed(const Value& schema, const std::string& path) {
  if (schema.IsArray()) {
    for (const auto& item : schema.GetArray()) check_closed(item, path + "[]");
  }
  if (!schema.IsObject()) return;
  INFO(path);
  const bool is_condition = path.find("/if") != std::string::npos;
  const bool is_dispatch = schema.HasMember("allOf");
  if (schema.HasMember("properties") && schema["properties"].IsObject() && !is_condition &&
      !is_dispatch) {
    CHECK(schema.HasMember("additionalProperties"));
  }
  if (schema.HasMember("$ref") && schema["$ref"].IsString()) {
    CHECK_THAT(schema["$ref"].GetString(), Catch::StartsWith("#/$defs/"));
  }
  for (const auto& member : schema.GetObject()) {
    check_closed(member.value, path + "/" + member.name.GetString());
  }
}

void check_options(const Value& properties, std::span<const Option> options) {
  for (const Option& option : options) {
    const std::string name(option.name);
    INFO(name);
    REQUIRE(properties.HasMember(name.c_str()));
    const Value& schema = properties[name.c_str()];
    CHECK(std::string(schema["description"].GetString()).find(option.doc) == 0);
    if (option.type == OptionType::section) check_options(schema["properties"], option.children);
  }
}

}  // namespace

TEST_CASE("the schema is closed and holds every option", "[config]") {
  rapidjson::Document schema;
  schema.Parse(json_schema(fake_types()).c_str());
  REQUIRE_FALSE(schema.HasParseError());
  CHECK(std::string(schema["$schema"].GetString()) ==
        "https://json-schema.org/draft/2020-12/schema");
  check_closed(schema, "");
  check_options(schema["properties"], root_options());
  const Value& definitions = schema["$defs"];
  for (const TypeOptions& type : fake_types()) {
    const std::string name = "connector_" + std::string(type.type);
    REQUIRE(definitions.HasMember(name.c_str()));
    check_options(definitions[name.c_str()]["properties"], type.options);
    check_options(definitions[name.c_str()]["properties"], connector_common_options());
  }
  CHECK(definitions["connector_file"]["required"].Size() == 2);
  const Value& connectors = schema["properties"]["connectors"];
  CHECK(connectors["patternProperties"].HasMember("^[a-z][a-z0-9_-]{0,63}$"));
}

TEST_CASE("patterns take what the parser takes, and nothing else", "[config]") {
  struct Row {
    OptionType type;
    std::string text;
  };
  const auto row = GENERATE(values<Row>({
      {OptionType::duration, "10s"},
      {OptionType::duration, "0.5h"},
      {OptionType::duration, "0"},
      {OptionType::duration, "5"},
      {OptionType::duration, "5 s"},
      {OptionType::duration, "-5s"},
      {OptionType::duration, "5min"},
      {OptionType::duration, ".5s"},
      {OptionType::duration, "5.s"},
      {OptionType::size, "96KiB"},
      {OptionType::size, "5kB"},
      {OptionType::size, "5KB"},
      {OptionType::size, "5"},
      {OptionType::rate, "500MB/day"},
      {OptionType::rate, "5B/s"},
      {OptionType::rate, "5B"},
      {OptionType::rate, "5/s"},
      {OptionType::rate, "0"},
  }));
  INFO(row.text);
  const std::regex pattern(quantity_pattern(row.type));
  CHECK(std::regex_match(row.text, pattern) == parse_quantity(row.type, row.text).has_value());
}

}  // namespace penstock::config::tests
