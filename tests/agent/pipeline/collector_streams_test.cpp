// How many streams a source may make: a stream's record stays in the buffer for ever, so names
// without end must not fill it, not over many runs either.
#include <string_view>

#include "tests/agent/pipeline/collector_fixture.hpp"
#include "tests/support/captured_log.hpp"

namespace penstock::pipeline {
namespace {

using namespace std::chrono_literals;
using tests::Shape;
using Fixture = tests::CollectorFixture;

void push_parts(Fixture& f, Source& source, std::initializer_list<std::string_view> parts) {
  connectors::Chunk chunk;
  for (const std::string_view part : parts) chunk.add(1, part, {{"n", true}});
  REQUIRE(f.inbox->push(source, chunk).ok());
}

}  // namespace

TEST_CASE("streams of earlier runs count, and stay those of their parts", "[collector][streams]") {
  tests::CapturedLog log;
  Fixture f;
  f.store.preset_stream("app", 2);
  f.store.preset_stream("app/a", 5);
  f.store.preset_stream("app/b", 7);
  f.store.preset_stream("apple/x", 1);
  Source& app = f.open("app", false, 3);
  push_parts(f, app, {"c", "d", "b", "e", "a", "c"});
  f.run(1s);
  CHECK(f.shapes() == std::vector<Shape>{{"app/c:0+2", "app:2+2", "app/b:7+1", "app/a:5+1"}});
  CHECK(f.store.problem().empty());
  CHECK(log.count("event=streams_full") == 1);
  CHECK(log.count("streams=3 limit=max_streams") == 1);
}

TEST_CASE("over all sources there are as many streams as the buffer is made for",
          "[collector][streams]") {
  tests::CapturedLog log;
  Fixture f([](IntakeOptions& options) { options.streams_max = 4; });
  f.store.preset_stream("old/a", 1);
  f.store.preset_stream("old/b", 1);
  Source& app = f.open("app");
  Source& udp = f.open("udp");
  push_parts(f, app, {"a"});
  f.run(1s);
  push_parts(f, udp, {"x", "y", "x", "z"});
  f.run(1s);
  CHECK(f.shapes() == std::vector<Shape>{{"app/a:0+1"}, {"udp/x:0+2", "udp:0+2"}});
  CHECK(log.count("event=streams_full") == 1);
  CHECK(log.count("limit=buffer.max_size") == 1);
}

}  // namespace penstock::pipeline
