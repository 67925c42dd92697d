// The host connector's options: defaults, and mistakes that name their place.
#include <catch2/catch.hpp>

#include "connectors/api/connector.hpp"

namespace penstock::connectors::host {

extern const ConnectorType type;

namespace {

TEST_CASE("options have the documented defaults, and bad ones name their place") {
  config::Diagnostics diagnostics;
  const auto make = [&](std::string_view yaml) -> Result<std::unique_ptr<Connector>> {
    auto section = config::Section::parse(yaml, type.options, diagnostics);
    if (!section.ok()) return section.error();
    return type.make(*section);
  };
  SECTION("defaults") { CHECK(make("{}").ok()); }
  SECTION("all written") {
    CHECK(make("every: 100ms\ncollect: [cpu, clock]\nper_core: true\n"
               "disk: {include: [sda]}\nfilesystem: {extra_types: [tmpfs]}\n")
              .ok());
  }
  SECTION("an unknown group") {
    CHECK_FALSE(make("every: 1s\ncollect: [cpu, gpu]\n").ok());
    CHECK(diagnostics.all().at(0).place.line == 2);
  }
  SECTION("too often") { CHECK_FALSE(make("every: 10ms\n").ok()); }
  SECTION("a network file system") {
    const auto made = make("every: 1s\nfilesystem:\n  extra_types: [nfs4]\n");
    REQUIRE_FALSE(made.ok());
    CHECK(made.error().code == Errc::invalid);
    CHECK(diagnostics.all().at(0).place.line == 3);
  }
}

}  // namespace
}  // namespace penstock::connectors::host
