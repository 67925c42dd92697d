// What events and the agent tell of the clock.
#include "tests/agent/pipeline/collector_fixture.hpp"

using namespace penstock;
using namespace penstock::pipeline;
using connectors::Chunk;
using tests::join;
using Fixture = tests::CollectorFixture;
using namespace std::chrono_literals;
using namespace std::string_view_literals;

TEST_CASE("a clock that was never set is told in every event that the agent stamps",
          "[collector]") {
  Fixture f([](IntakeOptions& options) { options.clock.build_time_us = 1'770'000'000'000'000; });
  Source& app = f.open("app");
  Chunk chunk;
  chunk.add(0, "", {{"n", true}});
  chunk.add(1'771'000'000'000'000, "", {{"n", true}});
  REQUIRE(f.inbox->push(app, chunk).ok());
  f.collector->agent_events().emit("start", {{"version", "1"sv}});
  f.run(1s);
  const std::string unsynced =
      R"("seq":0,"clock":"unsynced","boot":"b1d4c7e2","up_us":1000000000,)";
  CHECK(join(f.store.values("app")).find(unsynced + R"("n":true})") != std::string::npos);
  CHECK(join(f.store.values("app")).find(R"("seq":1,"n":true})") != std::string::npos);
  CHECK(join(f.store.values("_agent")).find(unsynced + R"("event":"start","version":"1"})") !=
        std::string::npos);

  // Then the clock is set.
  f.clock.step_wall(1'772'000'000'000'000);
  f.run(4s);
  CHECK(join(f.store.values("_agent"))
            .find(R"([{"time":"2026-02-25T06:13:20.000000Z","device":"gw-7","stream":"_agent",)"
                  R"("epoch":"9f3c2a7e","seq":1,"boot":"b1d4c7e2","up_us":1001000000,)"
                  R"("event":"clock_step","before":"2025-11-24T16:00:01.000000Z",)"
                  R"("after":"2026-02-25T06:13:20.000000Z"}])") != std::string::npos);
  CHECK(f.store.values("_agent").size() == 2);
}

TEST_CASE("where syncs are waited for the kernel's word decides, and each sync is told",
          "[collector]") {
  Fixture f([](IntakeOptions& options) { options.clock.waits_for_sync = true; }, false);
  Source& app = f.open("app");
  f.push_unstamped(app);
  f.collector->agent_events().emit("start");
  f.run(1s);
  CHECK(join(f.store.values("app")).find(R"("seq":0,"clock":"unsynced","boot":"b1d4c7e2",)") !=
        std::string::npos);
  CHECK(join(f.store.values("_agent")).find(R"("seq":0,"clock":"unsynced",)") != std::string::npos);

  SECTION("with a step: the step has the difference") {
    f.clock.step_wall(1'772'000'000'000'000);
    f.clock.set_synced(true);
    f.run(4s);
    const std::string told = join(f.store.values("_agent"));
    CHECK(told.find(R"("event":"clock_step","before":"2025-11-24T16:00:01.000000Z",)"
                    R"("after":"2026-02-25T06:13:20.000000Z"})") != std::string::npos);
    CHECK(told.find(R"("event":"clock_sync","before":"2026-02-25T06:13:20.000000Z",)"
                    R"("after":"2026-02-25T06:13:20.000000Z"})") != std::string::npos);
    CHECK(told.find("clock_step") < told.find("clock_sync"));
  }
  SECTION("without one") {
    f.clock.step_wall(f.clock.wall_us() + 300'000);
    f.clock.set_synced(true);
    f.run(4s);
    CHECK(join(f.store.values("_agent"))
              .find(R"("event":"clock_sync","before":"2025-11-24T16:00:01.000000Z",)"
                    R"("after":"2025-11-24T16:00:01.300000Z"})") != std::string::npos);
  }
  f.push_unstamped(app);
  f.run(1s);
  CHECK(join(f.store.values("app")).find(R"("seq":1,"n":)") != std::string::npos);
  CHECK(f.store.values("_agent").size() == 2);

  // The kernel takes its word back; then there is another sync.
  f.clock.set_synced(false);
  f.push_unstamped(app);
  f.run(1s);
  CHECK(join(f.store.values("app")).find(R"("seq":2,"clock":"unsynced",)") != std::string::npos);
  f.clock.set_synced(true);
  f.run(10s);
  CHECK(f.store.values("_agent").size() == 3);
}

TEST_CASE("a clock that nobody waits for may be unsynchronised", "[collector]") {
  Fixture f({}, false);
  Source& app = f.open("app");
  f.push_unstamped(app);
  f.run(1s);
  f.clock.set_synced(true);
  f.run(10s);
  CHECK(join(f.store.values("app")).find("unsynced") == std::string::npos);
  CHECK(f.store.values("_agent").empty());
}

TEST_CASE("the clock's steps are told, its drift is not", "[collector]") {
  Fixture f;
  struct Row {
    const char* name;
    std::int64_t step_us;
    std::size_t events;
  };
  const auto row = GENERATE(values<Row>(
      {{"a second", 1'000'000, 0}, {"more than a second", 1'000'001, 1}, {"back", -5'000'000, 1}}));
  INFO(row.name);
  f.run(1s);
  f.clock.step_wall(f.clock.wall_us() + row.step_us);
  f.run(10s);
  CHECK(f.store.values("_agent").size() == row.events);
}
