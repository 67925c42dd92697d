// The reader's own rules. Files that yaml-cpp alone would take wrongly, or never finish.
#include "config/yaml.hpp"

#include <catch2/catch.hpp>

namespace penstock::config::tests {
namespace {

std::optional<Node> parse(std::string_view text, Diagnostics& diagnostics) {
  return parse_yaml("x.yaml", text, diagnostics);
}
Node parsed(std::string_view text) {
  Diagnostics diagnostics;
  auto node = parse(text, diagnostics);
  INFO(text << diagnostics.to_text(false));
  REQUIRE(node.has_value());
  return *std::move(node);
}
std::string repeated(std::string_view text, std::size_t count) {
  std::string out;
  for (std::size_t i = 0; i < count; ++i) out += text;
  return out;
}

}  // namespace

TEST_CASE("scalars keep what they are in YAML 1.2", "[config]") {
  struct Row {
    std::string text;
    ScalarKind kind;
  };
  const auto row = GENERATE(values<Row>({
      {"true", ScalarKind::boolean}, {"False", ScalarKind::boolean}, {"yes", ScalarKind::text},
      {"no", ScalarKind::text},      {"on", ScalarKind::text},       {"12:30", ScalarKind::text},
      {"12", ScalarKind::integer},   {"-12", ScalarKind::integer},   {"0o7", ScalarKind::integer},
      {"0x1f", ScalarKind::integer}, {"0xg", ScalarKind::text},      {"1.5", ScalarKind::number},
      {"1e5", ScalarKind::number},   {"1e", ScalarKind::text},       {".inf", ScalarKind::number},
      {"3.1.1", ScalarKind::text},   {".", ScalarKind::text},        {"1_000", ScalarKind::text},
      {"tRUE", ScalarKind::text},    {"", ScalarKind::text},         {"10s", ScalarKind::text},
  }));
  INFO(row.text);
  CHECK(core_kind(row.text) == row.kind);
}

TEST_CASE("quoted scalars are text, plain ones are marked", "[config]") {
  const Node root = parsed("a: 5\nb: \"5\"\nc: '5'\nd: |\n  5\ne:\nf: ~\ng: null\nh: \"null\"\n");
  CHECK(root.find("a")->is_plain);
  CHECK_FALSE(root.find("b")->is_plain);
  CHECK_FALSE(root.find("c")->is_plain);
  CHECK_FALSE(root.find("d")->is_plain);
  for (const auto* name : {"e", "f", "g"}) CHECK(root.find(name)->kind == Node::Kind::null);
  CHECK(root.find("h")->text == "null");
}

TEST_CASE("marks point at keys and values, in characters", "[config]") {
  const Node root = parsed(
      "\xEF\xBB\xBF"
      "a: {\"\xc3\xa4\": 'it''s', c: \"q\\\"q\" }\r\nb:\r\n  - x y\r\n");
  const Node* a = root.find("a");
  CHECK(a->key_mark.line == 1);
  CHECK(a->key_mark.column == 1);
  CHECK(a->mark.column == 4);
  const Node* first = a->find("\xc3\xa4");
  REQUIRE(first != nullptr);
  CHECK(first->key_mark.column == 5);
  CHECK(first->key_mark.end_column == 8);
  CHECK(first->mark.column == 10);
  CHECK(first->mark.end_column == 17);
  const Node* second = a->find("c");
  CHECK(second->mark.column == 22);
  CHECK(second->mark.end_column == 28);
  const Node& item = root.find("b")->children.front();
  CHECK(item.mark.line == 3);
  CHECK(item.mark.column == 5);
  CHECK(item.mark.end_column == 8);
}

TEST_CASE("an empty file is an empty map", "[config]") {
  for (const auto* text : {"", "\n", "# nothing\n", "---\n", "---\n...\n"}) {
    INFO(text);
    const Node root = parsed(text);
    CHECK(root.children.empty());
  }
}

TEST_CASE("the limits hold at their edges", "[config]") {
  Diagnostics fine;
  CHECK(parse(repeated("[", 31) + "1" + repeated("]", 31), fine).has_value());
  CHECK(parse("[" + repeated("1,", 99'990) + "]", fine).has_value());
  CHECK(parse(std::string(yaml_bytes_max, '\n'), fine).has_value());
  CHECK_FALSE(fine.has_errors());

  Diagnostics found;
  CHECK_FALSE(parse(repeated("[", 33) + "1" + repeated("]", 33), found).has_value());
  CHECK_FALSE(parse(repeated("- 1\n", 100'001), found).has_value());
  CHECK_FALSE(parse(std::string(yaml_bytes_max + 1, '\n'), found).has_value());
  REQUIRE(found.error_count() == 3);
  for (const Diagnostic& finding : found.all()) CHECK(finding.code == "C012");
}

// Each of these takes seconds, gigabytes or a stack overflow where it is not bounded.
TEST_CASE("bombs are refused", "[config]") {
  struct Row {
    std::string name;
    std::string text;
  };
  std::string aliases = "a0: &a0 [x, x]\n";
  for (int i = 1; i < 40; ++i) {
    aliases += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [*a" +
               std::to_string(i - 1) + ", *a" + std::to_string(i - 1) + "]\n";
  }
  const auto row = GENERATE_COPY(values<Row>({
      {"alias bomb", aliases},
      {"alias of itself", "a: &a [*a]\n"},
      {"brackets", repeated("[", 1'000'000)},
      {"braces", repeated("{a: ", 90'000)},
      {"dashes", repeated("- ", 500'000)},
      {"questions", repeated("? ", 500'000)},
      {"keys of keys", repeated("a: ", 300'000)},
      {"one long line", "[" + repeated("a,", 500'000) + "]"},
      {"documents", repeated("---\n", 200'000)},
  }));
  INFO(row.name);
  Diagnostics diagnostics;
  CHECK_FALSE(parse(row.text, diagnostics).has_value());
  CHECK(diagnostics.error_count() == 1);
}

TEST_CASE("a file of mistakes fills neither memory nor screen", "[config]") {
  Diagnostics diagnostics;
  CHECK(parse(repeated("a: 1\n", 40'000), diagnostics).has_value());
  CHECK(diagnostics.error_count() == 39'999);
  CHECK(diagnostics.all().size() == Diagnostics::kept_max);
  const std::string text = diagnostics.to_text(false);
  CHECK_THAT(text, Catch::EndsWith("… and 39979 more\n"));
}

TEST_CASE("the first of two equal keys stays", "[config]") {
  Diagnostics diagnostics;
  const auto root = parse("a: 1\nb: {c: 2}\nb: {d: 3}\na: 4\n", diagnostics);
  REQUIRE(root.has_value());
  CHECK(diagnostics.error_count() == 2);
  CHECK(diagnostics.all().front().other.line == 2);
  CHECK(root->children.size() == 2);
  CHECK(root->find("a")->text == "1");
}

}  // namespace penstock::config::tests
