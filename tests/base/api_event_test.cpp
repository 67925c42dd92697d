// A chunk outlives the text it was made from; if a copy were shared wrongly, events would change
// content.
#include "connectors/api/event.hpp"

#include <catch2/catch.hpp>
#include <string>

namespace penstock::connectors {

TEST_CASE("a chunk owns copies of everything", "[api]") {
  Chunk chunk;
  {
    std::string text = "first line";
    std::string part = "part-1";
    std::string name = "message";
    chunk.add(5, part, {{name, std::string_view(text)}, {"n", std::int64_t{7}}});
    chunk.position(part, text);
    text.assign(text.size(), '#');
    part.assign(part.size(), '#');
    name.assign(name.size(), '#');
  }
  REQUIRE(chunk.events().size() == 1);
  const auto& event = chunk.events()[0];
  CHECK(event.part == "part-1");
  CHECK(event.time_unix_us == 5);
  const auto fields = chunk.fields(event);
  REQUIRE(fields.size() == 2);
  CHECK(fields[0].name == "message");
  CHECK(std::get<std::string_view>(fields[0].value) == "first line");
  CHECK(std::get<std::int64_t>(fields[1].value) == 7);
  CHECK(chunk.positions()[0].bytes == "first line");
}

TEST_CASE("neighbours that look alike keep their own values", "[api]") {
  Chunk chunk;
  chunk.add(1, "a", {{"x", std::string_view("one")}, {"y", std::string_view("same")}});
  chunk.add(2, "a", {{"x", std::string_view("two")}, {"y", std::string_view("same")}});
  chunk.add(3, "b", {{"z", 1.5}, {"y", Bytes{"same"}}});
  CHECK(std::get<std::string_view>(chunk.fields(chunk.events()[0])[0].value) == "one");
  CHECK(std::get<std::string_view>(chunk.fields(chunk.events()[1])[0].value) == "two");
  CHECK(chunk.fields(chunk.events()[2])[0].name == "z");
  CHECK(std::get<Bytes>(chunk.fields(chunk.events()[2])[1].value).data == "same");
  CHECK(chunk.events()[2].part == "b");
}

TEST_CASE("text larger than a block, and reuse after clear", "[api]") {
  Chunk chunk;
  const std::string large(100'000, 'L');
  for (int round = 0; round < 3; ++round) {
    chunk.clear();
    CHECK(chunk.is_empty());
    chunk.add(1, "", {{"big", std::string_view(large)}, {"small", std::string_view("s")}});
    chunk.add(2, "", {{"big", std::string_view("tiny")}, {"small", std::string_view("t")}});
    CHECK(std::get<std::string_view>(chunk.fields(chunk.events()[0])[0].value) == large);
    CHECK(std::get<std::string_view>(chunk.fields(chunk.events()[1])[0].value) == "tiny");
    CHECK(chunk.size() > large.size());
  }
}

TEST_CASE("the last position of a part counts", "[api]") {
  Chunk chunk;
  chunk.position("f", "1");
  chunk.position("g", "2");
  chunk.position("f", "3");
  REQUIRE(chunk.positions().size() == 2);
  CHECK(chunk.positions()[0].bytes == "3");
}

TEST_CASE("a loss of unknown size takes one number and says so", "[api]") {
  Chunk chunk;
  chunk.lost("p", 0);
  chunk.lost("p", 9);
  CHECK(chunk.events()[0].lost == 1);
  CHECK_FALSE(chunk.events()[0].exact);
  CHECK(chunk.events()[1].lost == 9);
  CHECK(chunk.events()[1].exact);
}

TEST_CASE("a cut mark belongs to the event added last", "[api]") {
  Chunk chunk;
  chunk.add(1, "", {{"a", true}});
  chunk.add(2, "", {{"a", true}});
  chunk.mark_cut();
  CHECK_FALSE(chunk.events()[0].cut);
  CHECK(chunk.events()[1].cut);
}

}  // namespace penstock::connectors
