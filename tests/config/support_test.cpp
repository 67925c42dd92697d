#include <catch2/catch.hpp>

#include "tests/config/fixture.hpp"
#include "tests/support/marked_section.hpp"

namespace penstock::config::tests {
namespace {

constexpr std::string_view starts[] = {"beginning", "end"};
constexpr std::string_view groups[] = {"cpu", "memory"};

constexpr Option file_options[] = {
    {.name = "paths",
     .type = OptionType::text_list,
     .doc = "Files to follow",
     .is_required = true,
     .example = "[\"/var/log/app/*.log\"]"},
    {.name = "start",
     .type = OptionType::choice,
     .doc = "Where to begin",
     .default_text = "end",
     .choices = starts},
};
constexpr Option host_options[] = {
    {.name = "every",
     .type = OptionType::duration,
     .doc = "Interval",
     .default_text = "10s",
     .min = "100ms",
     .max = "1d"},
    {.name = "collect",
     .type = OptionType::text_list,
     .doc = "Groups",
     .choices = groups,
     .example = "[cpu]"},
    {.name = "per_core", .type = OptionType::boolean, .doc = "Each core", .default_text = "false"},
};
constexpr Option read_options[] = {
    {.name = "name", .type = OptionType::text, .doc = "Name", .is_required = true},
    {.name = "holding", .type = OptionType::integer, .doc = "Register", .min = "0", .max = "65535"},
    {.name = "scale",
     .type = OptionType::number,
     .doc = "Factor",
     .default_text = "1",
     .min = "0.001"},
};
constexpr Option plc_options[] = {
    {.name = "address", .type = OptionType::text, .doc = "Where", .is_required = true},
    {.name = "every", .type = OptionType::duration, .doc = "Interval", .default_text = "1s"},
    {.name = "read",
     .type = OptionType::section_list,
     .doc = "Registers",
     .children = read_options},
    {.name = "pin", .type = OptionType::secret, .doc = "Access code"},
    {.name = "limit", .type = OptionType::rate, .doc = "Limit", .may_be_off = true},
};
constexpr TypeOptions types[] = {
    {"file", "Lines of files", file_options},
    {"host", "This machine", host_options},
    {"plc", "A controller", plc_options},
};

}  // namespace

std::span<const TypeOptions> fake_types() { return types; }

void Run::write(std::string_view name, std::string_view text) {
  const auto path = directory_ / name;
  std::filesystem::create_directories(path.parent_path());
  penstock::tests::write_file(path, text);
}

void Run::load() {
  request.file = directory_ / "penstock.yaml";
  request.types = fake_types();
  if (request.machine_id_file == "/etc/machine-id") {
    request.machine_id_file = directory_ / "machine-id";
  }
  Result<LoadedConfig> result = config::load(request, diagnostics);
  if (result.ok()) {
    loaded = std::move(result).value();
  } else {
    error = result.error();
  }
}

std::string Run::text() const {
  std::string text = diagnostics.to_text(/*use_color=*/false);
  const std::string prefix = directory_.path().string() + "/";
  for (std::size_t at = text.find(prefix); at != std::string::npos; at = text.find(prefix)) {
    text.erase(at, prefix.size());
  }
  return text;
}

TEST_CASE("a marked section is found and replaced, and nothing else", "[config]") {
  const std::string document = "a\n<!-- options:buffer -->\nold\n<!-- /options -->\nb\n";
  CHECK(penstock::tests::marked_section(document, "options:buffer") == "old\n");
  CHECK_FALSE(penstock::tests::marked_section(document, "options").has_value());
  CHECK(penstock::tests::replace_marked(document, "options:buffer", "new") ==
        "a\n<!-- options:buffer -->\nnew\n<!-- /options -->\nb\n");
  CHECK(penstock::tests::replace_marked(document, "options", "new") == document);
}

}  // namespace penstock::config::tests
