// The option tables in docs/configuration.md are the program's: PENSTOCK_UPDATE_DOCS=1 rewrites
// them.
#include <catch2/catch.hpp>

#include "config/codes.hpp"
#include "tests/config/fixture.hpp"
#include "tests/support/marked_section.hpp"

namespace penstock::config::tests {
namespace {

constexpr const char* document = "docs/configuration.md";

}  // namespace

TEST_CASE("the documented option tables are those of the program", "[config]") {
  std::string text = penstock::tests::read_file(document);
  const bool is_update = std::getenv("PENSTOCK_UPDATE_DOCS") != nullptr;
  const auto check = [&](const std::string& name, std::span<const Option> options) {
    INFO(name);
    const std::string wanted = options_as_markdown(options);
    REQUIRE(penstock::tests::marked_section(text, name).has_value());
    if (is_update) text = penstock::tests::replace_marked(text, name, wanted);
    CHECK(penstock::tests::marked_section(text, name) == wanted);
  };
  for (const Option& section : root_options()) {
    check("options:" + std::string(section.name), section.children);
  }
  check("options:connectors", connector_common_options());
  if (is_update) penstock::tests::write_file(document, text);
}

TEST_CASE("every code is documented", "[config]") {
  const std::string text = penstock::tests::read_file(document);
  const std::string codes = penstock::tests::read_file("config/codes.hpp");
  std::size_t count = 0;
  for (std::size_t at = codes.find("= \""); at != std::string::npos;
       at = codes.find("= \"", at + 1)) {
    const std::string code = codes.substr(at + 3, 4);
    INFO(code);
    CHECK_THAT(text, Catch::Contains("| " + code + " |"));
    ++count;
  }
  CHECK(count > 20);
}

}  // namespace penstock::config::tests
