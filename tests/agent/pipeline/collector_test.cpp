// Intake without its thread: whole chunks, positions with their events, the same bytes again after
// a failure, and who waits for whom.
#include "agent/pipeline/collector.hpp"

#include <catch2/catch.hpp>

#include "tests/agent/pipeline/collector_fixture.hpp"

using namespace penstock;
using namespace penstock::pipeline;
using connectors::Chunk;
using tests::join;
using tests::Shape;
using Fixture = tests::CollectorFixture;
using namespace std::chrono_literals;
using namespace std::string_view_literals;

TEST_CASE("an event's whole way, byte for byte", "[collector]") {
  Fixture f([](IntakeOptions& options) { options.tags = {{"site", "plant-7"}, {"room", "1"}}; });
  SourceOptions source_options;
  source_options.name = "boiler";
  source_options.type = "modbus";
  source_options.tags = {{"room", "2"}};
  Source& boiler = *f.inbox->open(source_options).value();
  f.store.preset_stream("boiler/a%2E1", 1200);
  Chunk chunk;
  chunk.add(1'763'934'755'276'123, "a.1", {{"temp", 21.53}});
  chunk.add(0, "", {{"raw", Bytes{"ab"}}});
  chunk.mark_cut();
  chunk.lost("a.1", 0);
  chunk.position("a.1", "p1");
  REQUIRE(f.inbox->push(boiler, chunk).ok());
  f.run(1s);
  REQUIRE(f.shapes() ==
          std::vector<Shape>{{"boiler/a%2E1:1200+1", "!boiler/a%2E1:1201+1", "boiler:0+1"}});
  const auto commit = f.store.commits()[0];
  CHECK(commit.rows[0].value ==
        R"([{"time":"2025-11-23T21:52:35.276123Z","device":"gw-7","stream":"boiler/a%2E1",)"
        R"("epoch":"9f3c2a7e","seq":1200,"room":"2","site":"plant-7","temp":21.53}])");
  CHECK(commit.rows[2].value ==
        R"([{"time":"2025-11-24T16:00:00.000000Z","device":"gw-7","stream":"boiler",)"
        R"("epoch":"9f3c2a7e","seq":0,"cut":true,"room":"2","site":"plant-7","raw_b64":"YWI="}])");
  CHECK_FALSE(commit.rows[1].row.loss_is_exact);
  CHECK(commit.rows[1].row.time_unix_us == 1'764'000'000'000'000);
  CHECK(commit.positions == std::map<std::string, std::string>{{"modbus/boiler|a.1", "p1"}});
  CHECK(f.inbox->position(boiler, "a.1") == "p1");
  const SourceStats stats = f.inbox->stats(boiler);
  CHECK(stats.events == 2);
  CHECK(stats.cut == 1);
  CHECK(stats.lost == 1);
  CHECK(stats.streams == 2);
  CHECK(f.collector->stats().events == 2);
}

TEST_CASE("a commit takes whole chunks, up to the first that makes it full", "[collector]") {
  Fixture f([](IntakeOptions& options) {
    options.commit_bytes = 3000;
    options.batch_bytes_max = 1000;
    options.event_bytes_max = 900;
    options.batch_events_max = 4;
  });
  Source& app = f.open("app");
  for (int i = 0; i < 3; ++i) f.push(app, 20);
  f.run(0s);
  // 20 events of about 110 bytes: two chunks pass 3000 bytes, and none is divided.
  REQUIRE(f.shapes().size() >= 1);
  CHECK(f.shapes()[0].front() == "app:0+4");
  CHECK(f.shapes()[0].back() == "app:36+4");
  CHECK(f.store.commits()[0].positions.at("test/app|") == "at-2");
  CHECK(f.inbox->position(app, "") == "at-2");
  f.run(1s);
  CHECK(f.store.commits()[1].positions.at("test/app|") == "at-3");
  CHECK(f.store.problem().empty());
}

TEST_CASE("positions that become durable are seen, forgotten ones are not", "[collector]") {
  Fixture f;
  Source& app = f.open("app");
  Chunk chunk;
  chunk.add(1, "", {});
  chunk.position("a", "1");
  chunk.position("b", "2");
  REQUIRE(f.inbox->push(app, chunk).ok());
  CHECK_FALSE(f.inbox->position(app, "a"));
  f.run(1s);
  CHECK(f.inbox->position(app, "a") == "1");
  chunk.add(2, "", {});
  chunk.position("a", "");
  REQUIRE(f.inbox->push(app, chunk).ok());
  f.run(2s);
  CHECK_FALSE(f.inbox->position(app, "a"));
  CHECK(f.inbox->parts(app) == std::vector<std::string>{"b"});
}

TEST_CASE("with `every: 0` all that is queued is one commit", "[collector]") {
  Fixture f([](IntakeOptions& options) { options.commit_every = 0s; });
  Source& a = f.open("a");
  Source& b = f.open("b");
  f.push(a, 1);
  f.push(b, 1);
  f.push(a, 1);
  f.run(0s);
  CHECK(f.shapes() == std::vector<Shape>{{"a:0+2", "b:0+1"}});
}

TEST_CASE("chunks that come within `every` share a commit", "[collector]") {
  Fixture f;
  Source& app = f.open("app");
  f.push(app, 1);
  f.run(100ms);
  CHECK(f.store.commits().size() == 1);
  f.push(app, 1);
  f.run(100ms);
  f.push(app, 1);
  f.run(700ms);
  CHECK(f.store.commits().size() == 1);
  f.run(200ms);
  CHECK(f.shapes() == std::vector<Shape>{{"app:0+1"}, {"app:1+2"}});
}

TEST_CASE("positions and trims alone are committed after a few seconds", "[collector]") {
  Fixture f;
  Source& app = f.open("app");
  SECTION("positions") {
    Chunk chunk;
    chunk.position("", "p");
    REQUIRE(f.inbox->push(app, chunk).ok());
    f.run(2900ms);
    CHECK(f.store.commits().empty());
    f.run(200ms);
    CHECK(f.store.commits().size() == 1);
    CHECK(f.inbox->position(app, "") == "p");
  }
  SECTION("trims") {
    f.store.set_pending_trims(true);
    f.run(2900ms);
    CHECK(f.store.commits().empty());
    f.run(200ms);
    REQUIRE(f.store.commits().size() == 1);
    CHECK(f.store.commits()[0].rows.empty());
    f.run(60s);
    CHECK(f.store.commits().size() == 1);
  }
}

TEST_CASE("commits that take seconds are told once, and when they no longer do", "[collector]") {
  Fixture f;
  Source& app = f.open("app");
  auto takes = 2s;
  f.store.before_commit = [&] { f.clock.advance(takes); };
  for (int i = 0; i < 5; ++i) {
    f.push(app, 1);
    f.run(12s);
  }
  CHECK(f.collector->stats().is_slow);
  takes = 1s;
  f.push(app, 1);
  f.run(12s);
  CHECK(f.collector->stats().is_slow);
  for (int i = 0; i < 3; ++i) {
    f.push(app, 1);
    f.run(12s);
  }
  CHECK_FALSE(f.collector->stats().is_slow);
  const auto told = f.store.values("_agent");
  REQUIRE(told.size() == 2);
  CHECK(told[0].find(R"("state":"slow","commit_ms":2000)") != std::string::npos);
  CHECK(told[1].find(R"("state":"fast","commit_ms":1000)") != std::string::npos);
}

TEST_CASE("a failed commit is repeated with the same bytes, and nothing else is taken",
          "[collector]") {
  const auto code = GENERATE(Errc::unavailable, Errc::full, Errc::corrupt);
  Fixture f;
  Source& app = f.open("app");
  f.store.fail_next({code, code, code});
  f.push(app, 3);
  f.run(100ms);
  f.push(app, 2);
  CHECK(f.store.attempts() == 1);
  CHECK(f.collector->stats().retrying_since_unix_us != 0);
  CHECK(f.collector->stats().last_error == "injected");
  CHECK_FALSE(f.inbox->position(app, ""));
  f.run(10s);
  CHECK(f.store.problem().empty());
  CHECK(f.shapes() == std::vector<Shape>{{"app:0+3"}, {"_agent:0+1", "app:3+2"}});
  const auto offered = f.store.offered();
  REQUIRE(offered.size() == 5);
  for (int i = 1; i < 4; ++i) CHECK(offered[i] == offered[0]);
  CHECK(f.collector->stats().commits_failed == 3);
  CHECK(f.collector->stats().retrying_since_unix_us == 0);
  CHECK(f.inbox->position(app, "") == "at-2");
}

TEST_CASE("a stream that cannot be opened leaves the chunk whole and queued", "[collector]") {
  Fixture f;
  Source& app = f.open("app");
  f.store.set_open_fails(true);
  f.push(app, 2);
  f.collector->agent_events().emit("start");
  f.run(2s);
  CHECK(f.store.attempts() == 0);
  f.store.set_open_fails(false);
  f.run(6s);
  CHECK(f.shapes() == std::vector<Shape>{{"_agent:0+2", "app:0+2"}});
}

TEST_CASE("while the buffer is nearly full only sources that can be read again wait",
          "[collector]") {
  Fixture f;
  Source& file = f.open("file", true);
  Source& udp = f.open("udp");
  f.store.set_nearly_full(true);
  f.push(file, 1);
  f.push(udp, 1);
  f.run(5s);
  CHECK(f.shapes() == std::vector<Shape>{{"_agent:0+1", "udp:0+1"}});
  CHECK(f.collector->stats().is_holding_back);
  CHECK(f.inbox->stats(file).queued_chunks == 1);

  SECTION("trims make room without the idle delay") {
    f.store.set_pending_trims(true);
    f.run(700ms);
    CHECK(f.store.commits().size() == 2);
  }
  SECTION("when there is room they go on") {
    f.store.set_nearly_full(false);
    f.run(1s);
    CHECK(f.shapes() == std::vector<Shape>{{"_agent:0+1", "udp:0+1"}, {"file:0+1"}});
    CHECK(f.store.policies() ==
          std::map<std::string, buffer::WhenFull>{{"_agent", buffer::WhenFull::drop_oldest},
                                                  {"file", buffer::WhenFull::block},
                                                  {"udp", buffer::WhenFull::drop_oldest}});
  }
}

TEST_CASE("a commit that finds no room leaves out what came from sources that wait",
          "[collector]") {
  Fixture f;
  Source& file = f.open("file", true);
  Source& udp = f.open("udp");
  f.push(file, 2);
  f.push(udp, 1);
  f.store.fail_next({Errc::full});
  f.run(20ms);
  CHECK(f.shapes() == std::vector<Shape>{{"udp:0+1"}});
  CHECK(f.inbox->position(udp, "") == "at-2");
  CHECK_FALSE(f.inbox->position(file, ""));
  CHECK(f.collector->stats().is_holding_back);
  CHECK(f.collector->stats().retrying_since_unix_us == 0);
  f.push(udp, 1);

  SECTION("it is offered again after a while, whole") {
    f.push(file, 1);
    f.store.fail_next({Errc::full});
    f.run(1200ms);
    CHECK(f.shapes() ==
          std::vector<Shape>{{"udp:0+1"}, {"_agent:0+2", "udp:1+1"}, {"file:0+2"}, {"file:2+1"}});
    CHECK(f.inbox->position(file, "") == "at-4");
    CHECK(f.store.problem().empty());
  }
  SECTION("meanwhile only what has to be is tried") {
    f.store.fail_next(std::vector<Errc>(1000, Errc::full));
    f.run(10s);
    CHECK(f.store.attempts() < 30);
  }
  SECTION("it does not keep the agent from ending") {
    f.store.fail_next({Errc::full});
    CHECK(f.collector->finish(1, 0ms).ok());
    CHECK(f.shapes().back() == Shape{"_agent:0+2", "udp:1+1"});
    CHECK(f.store.problem().empty());
  }
}

TEST_CASE("a store that fails again and again is told once, and when that is over", "[collector]") {
  Fixture f;
  Source& udp = f.open("udp");
  for (int i = 0; i < 20; ++i) {
    f.push(udp, 1);
    f.store.fail_next({Errc::unavailable, Errc::full});
    f.run(1s);
  }
  const auto told = [&] { return join(f.store.values("_agent")); };
  CHECK(std::string_view(told()).find("recovered") == std::string_view::npos);
  f.run(40s);
  const std::string all = told();
  const auto count = [&](const std::string& state) {
    int found = 0;
    for (std::size_t at = 0; (at = all.find("\"state\":\"" + state, at)) != std::string::npos;
         ++at) {
      ++found;
    }
    return found;
  };
  CHECK(count("failing") == 1);
  CHECK(count("full") == 1);
  CHECK(count("recovered") == 1);
  CHECK(all.find("\"failures\":40") != std::string::npos);
}

TEST_CASE("a source that used up its share waits alone, until there is room", "[collector]") {
  Fixture f;
  SourceOptions options;
  options.name = "file";
  options.type = "test";
  options.when_full = buffer::WhenFull::block;
  options.share_bytes_max = 1'000'000;
  Source& file = *f.inbox->open(options).value();
  Source& udp = f.open("udp");
  f.push(file, 1);
  f.run(2s);
  f.store.set_group_bytes(1'000'000);
  f.push(file, 1);
  f.run(2s);  // what is stored is looked at after a commit
  f.push(file, 1);
  f.push(udp, 1);
  f.run(2s);
  CHECK(f.inbox->stats(file).queued_chunks == 1);
  CHECK(f.shapes().back() == Shape{"udp:0+1"});
  CHECK_FALSE(f.collector->stats().is_holding_back);
  f.store.set_group_bytes(500'000);
  f.store.set_pending_trims(true);
  f.run(2s);
  CHECK(f.inbox->stats(file).queued_chunks == 0);
  CHECK(f.shapes().back() == Shape{"file:2+1"});
}

TEST_CASE("sources take turns, a chunk each", "[collector]") {
  Fixture f([](IntakeOptions& options) {
    options.commit_bytes = 450;  // four events
    options.commit_every = 0s;
  });
  Source& loud = f.open("loud");
  Source& quiet = f.open("quiet");
  for (int i = 0; i < 8; ++i) f.push(loud, 1);
  f.push(quiet, 1);
  f.collector->step();
  CHECK(f.shapes().at(0).size() == 2);
  CHECK(f.shapes().at(0).at(1) == "quiet:0+1");
}

TEST_CASE("two thousand parts are two thousand streams in one commit", "[collector]") {
  Fixture f([](IntakeOptions& options) { options.queue_bytes_max = 1024 * 1024; });
  Source& app = f.open("app");
  for (int round = 0; round < 2; ++round) {
    Chunk chunk;
    for (int i = 0; i < 2000; ++i) chunk.add(1, "p" + std::to_string(i), {{"n", true}});
    REQUIRE(f.inbox->push(app, chunk).ok());
    f.run(2s);
  }
  const auto shapes = f.shapes();
  REQUIRE(shapes.size() == 2);
  CHECK(shapes[0].size() == 2000);
  CHECK(shapes[1].size() == 2000);
  CHECK(shapes[1][1999] == "app/p1999:1+1");
  CHECK(f.store.problem().empty());
}

TEST_CASE("beyond the number of streams, parts share the connector's own and are named",
          "[collector]") {
  Fixture f;
  Source& app = f.open("app", false, 2);
  Chunk chunk;
  for (const auto part : {"a"sv, "b"sv, "c/d"sv, "a"sv, ""sv}) chunk.add(1, part, {{"n", true}});
  chunk.lost("c/d", 3);
  REQUIRE(f.inbox->push(app, chunk).ok());
  f.run(1s);
  CHECK(f.shapes() == std::vector<Shape>{{"app:0+2", "!app:2+3", "app/a:0+2", "app/b:0+1"}});
  const std::string own = join(f.store.values("app"));
  CHECK(own.find(R"("seq":0,"part":"c/d","n":true})") != std::string::npos);
  CHECK(own.find(R"("seq":1,"n":true})") != std::string::npos);
}

TEST_CASE("long parts with one name are one stream", "[collector]") {
  Fixture f;
  Source& app = f.open("app");
  const std::string long_part(500, '/');
  f.push(app, 1, long_part);
  f.run(2s);
  f.push(app, 1, long_part);
  f.push(app, 1, long_part + "x");
  f.run(2s);
  CHECK(f.inbox->stats(app).streams == 2);
  CHECK(f.store.problem().empty());
}

TEST_CASE("a session that comes back goes on with its stream's numbers", "[collector]") {
  Fixture f;
  Source& first = f.open("app");
  SourceOptions again;
  again.name = "app";
  again.type = "test";
  f.push(first, 2);
  CHECK(f.inbox->open(again).error().code == Errc::invalid);
  f.inbox->close(first);
  CHECK(f.inbox->open(again).error().code == Errc::unavailable);
  f.run(1s);
  f.push(f.open("app"), 2);
  f.run(2s);
  CHECK(f.shapes() == std::vector<Shape>{{"app:0+2"}, {"app:2+2"}});
}

TEST_CASE("a flush waits for no timer, and flushes share a commit", "[collector]") {
  Fixture f([](IntakeOptions& options) { options.commit_every = 60s; });
  Source& a = f.open("a");
  Source& b = f.open("b");
  f.push(a, 1);
  f.run(10s);
  CHECK(f.store.commits().size() == 1);
  f.push(a, 1);
  f.push(b, 1);
  f.run(10s);
  CHECK(f.store.commits().size() == 1);
  // What a flush leaves in the inbox before it waits.
  a.flush_target = a.pushed;
  b.flush_target = b.pushed;
  f.run(0s);
  CHECK(f.shapes() == std::vector<Shape>{{"a:0+1"}, {"b:0+1", "a:1+1"}});
  CHECK(a.durable == 2);
  CHECK(b.durable == 1);
}

TEST_CASE("finish stores what is queued, and says when it cannot", "[collector]") {
  Fixture f;
  Source& app = f.open("app");
  f.collector->agent_events().emit("stop");
  f.push(app, 2);
  SECTION("stored") {
    CHECK(f.collector->finish(1, 0ms).ok());
    CHECK(f.shapes() == std::vector<Shape>{{"_agent:0+1", "app:0+2"}});
    CHECK(f.collector->finish(1, 0ms).ok());
    CHECK(f.store.attempts() == 1);
  }
  SECTION("at the second try") {
    f.store.fail_next({Errc::unavailable});
    CHECK(f.collector->finish(2, 0ms).ok());
    // The second says that the first had to be repeated.
    CHECK(f.shapes() == std::vector<Shape>{{"_agent:0+1", "app:0+2"}, {"_agent:1+1"}});
  }
  SECTION("not stored") {
    f.store.fail_next({Errc::full, Errc::full});
    const auto result = f.collector->finish(2, 0ms);
    REQUIRE_FALSE(result.ok());
    CHECK(result.error().code == Errc::unavailable);
    CHECK(result.error().text == "3 events could not be stored: injected");
  }
}

TEST_CASE("the agent's own events never block; too many become a loss record", "[collector]") {
  Fixture f;
  const std::string text(1000, 'x');
  std::uint64_t kept = 0;
  for (int i = 0; i < 100; ++i) {
    f.collector->agent_events().emit("connector",
                                     {{"error", std::string_view(text + char('0' + i % 2))}});
  }
  f.run(1s);
  const auto commit = f.store.commits().at(0);
  std::uint64_t lost = 0;
  for (const auto& seen : commit.rows) {
    (seen.row.kind == buffer::RowKind::loss ? lost : kept) += seen.row.count;
  }
  CHECK(kept + lost == 100);
  CHECK(lost > 10);
  CHECK(kept > 10);
  CHECK(commit.shape().back().front() == '!');
}

TEST_CASE("a loss of more numbers than a row can tell is not exact", "[collector]") {
  Fixture f;
  Source& app = f.open("app");
  Chunk chunk;
  chunk.lost("", std::uint64_t{1} << 40, LossReason::expired);
  REQUIRE(f.inbox->push(app, chunk).ok());
  f.run(1s);
  const auto row = f.store.commits().at(0).rows.at(0).row;
  CHECK(row.count == INT32_MAX);
  CHECK_FALSE(row.loss_is_exact);
}
