#include <rapidjson/document.h>
#include <catch2/catch.hpp>

#include "tests/config/fixture.hpp"

namespace penstock::config::tests {
namespace {

std::span<const Option> plc() { return fake_types()[2].options; }

}  // namespace

TEST_CASE("option tables as Markdown", "[config]") {
  CHECK(options_as_markdown(plc()) ==
        "| option | type | default | bounds | meaning |\n|---|---|---|---|---|\n"
        "| `address` | text | required |  | Where |\n"
        "| `every` | duration | `1s` |  | Interval |\n"
        "| `read` | list of sections |  |  | Registers |\n"
        "| `read[].name` | text | required |  | Name |\n"
        "| `read[].holding` | integer |  | 0 to 65535 | Register |\n"
        "| `read[].scale` | number | `1` | at least 0.001 | Factor |\n"
        "| `pin` | secret |  |  | Access code |\n"
        "| `limit` | rate or off |  |  | Limit |\n");
}

TEST_CASE("option tables as text stay within a terminal", "[config]") {
  for (const Option& section : root_options()) {
    const std::string text = options_as_text(section.children);
    std::size_t begin = 0;
    for (std::size_t end = text.find('\n'); end != std::string::npos;
         end = text.find('\n', begin)) {
      INFO(text.substr(begin, end - begin));
      CHECK(end - begin <= 80);
      begin = end + 1;
    }
  }
  CHECK_THAT(options_as_text(plc()), Catch::Contains("address         text; required\n"
                                                     "                Where\n"));
}

TEST_CASE("option tables as JSON", "[config]") {
  rapidjson::Document json;
  json.Parse(options_as_json(plc()).c_str());
  REQUIRE_FALSE(json.HasParseError());
  REQUIRE(json.Size() == 5);
  CHECK(std::string(json[0]["name"].GetString()) == "address");
  CHECK(json[0]["required"].GetBool());
  CHECK(std::string(json[2]["children"][1]["max"].GetString()) == "65535");
  CHECK(json[4]["may_be_off"].GetBool());
}

TEST_CASE("every option of the fixed sections is documented and has usable values", "[config]") {
  const auto check = [](auto& self, std::span<const Option> options) -> void {
    for (const Option& option : options) {
      INFO(option.name);
      CHECK_FALSE(option.doc.empty());
      CHECK(option.doc.back() != '.');
      CHECK((option.type != OptionType::choice || !option.choices.empty()));
      if (option.type == OptionType::section) {
        CHECK_FALSE(option.children.empty());
        self(self, option.children);
      } else {
        CHECK_FALSE((option.default_text.empty() && option.example.empty()));
        // The parser of the file itself must take the default and the example.
        for (const std::string_view value : {option.default_text, option.example}) {
          if (value.empty() || option.type == OptionType::secret) continue;
          Diagnostics diagnostics;
          const Option alone[] = {option};
          // A value in braces or with a colon is quoted as it would be in a file.
          const bool needs_quotes = option.type == OptionType::text;
          const std::string yaml = std::string(option.name) + ": " + (needs_quotes ? "\"" : "") +
                                   std::string(value) + (needs_quotes ? "\"" : "") + "\n";
          CHECK(Section::parse(yaml, alone, diagnostics).ok());
        }
      }
    }
  };
  check(check, root_options());
  check(check, connector_common_options());
}

}  // namespace penstock::config::tests
