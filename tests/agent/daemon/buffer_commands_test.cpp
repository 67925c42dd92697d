// What the buffer commands print must be what is stored: numbers, order, losses and damage.
#include "agent/daemon/buffer_commands.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

#include "agent/daemon/exit_code.hpp"
#include "agent/daemon/store_opening.hpp"
#include "buffer/parking.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::daemon {
namespace {

using buffer::NewRow;
using buffer::Priority;
using buffer::RowKind;

class CollectingSink final : public LineSink {
 public:
  bool line(std::string_view json) override {
    lines.emplace_back(json);
    return lines.size() < lines_max;
  }
  bool progress(std::uint64_t done, std::uint64_t total) override {
    CHECK(done <= total);
    return true;
  }
  std::vector<std::string> lines;
  std::size_t lines_max = 1000;
};

struct Fixture {
  tests::TempDir dir;
  buffer::OpenReport report;
  std::unique_ptr<buffer::Store> store;

  Fixture() {
    buffer::StoreOptions options;
    options.path = dir / "buffer";
    options.max_size = buffer::max_size_min;
    options.preallocate = false;
    options.device = "gw-7";
    auto opened = buffer::Store::open(options, report);
    REQUIRE(opened.ok());
    store = std::move(opened).value();
    fill();
  }

  void fill() {
    auto app = store->open_stream("app", Priority::normal, buffer::WhenFull::block);
    auto host = store->open_stream("host", Priority::high, buffer::WhenFull::block);
    REQUIRE((app.ok() && host.ok()));
    NewRow rows[4];
    rows[0] = {app->id, RowKind::batch, 0, 2, R"([{"seq":0,"a":"]},{["},{"seq":1,"n":{"x":[1]}}])"};
    rows[1] = {host->id, RowKind::batch, 0, 1, R"([{"seq":0,"h":1}])"};
    rows[2] = {app->id, RowKind::loss, 2, 5, "", 1, false, 1'764'000'000'000'000};
    rows[3] = {app->id, RowKind::batch, 7, 1, "[]"};  // no batch of one event
    const buffer::NewPosition positions[] = {{std::string_view("file\0app", 8), "a.log", "17"},
                                             {std::string_view("demo\0x", 6), "", "\x01\xff"}};
    REQUIRE(store->commit({rows, positions}).ok());
  }

  Answer run(ControlRequest request, CollectingSink& sink) const {
    return run_buffer_command(request, *store, {dir / "buffer", true}, sink);
  }
};

ControlRequest request_of(std::string command) {
  ControlRequest request;
  request.command = std::move(command);
  return request;
}

TEST_CASE(
    "export gives each event a line, in the order of storing, and keeps losses in their place") {
  const Fixture fixture;
  CollectingSink sink;
  const Answer answer = fixture.run(request_of("buffer.export"), sink);
  const std::string head = R"("device":"gw-7","stream":"app","epoch":")" + fixture.store->epoch();
  REQUIRE(sink.lines.size() == 5);
  CHECK(sink.lines[0] == R"({"seq":0,"a":"]},{["})");
  CHECK(sink.lines[1] == R"({"seq":1,"n":{"x":[1]}})");
  CHECK(sink.lines[2] == R"({"seq":0,"h":1})");
  CHECK(sink.lines[3] == R"({"time":"2025-11-24T16:00:00.000000Z",)" + head +
                             R"(","seq":2,"lost":5,"exact":false,"reason":"source"})");
  CHECK(sink.lines[4].find(R"("seq":7,"lost":1,"reason":"corrupt")") != std::string::npos);
  CHECK(answer.exit_code == exit_data);
}

TEST_CASE("export takes a stream, a first number and a count") {
  const Fixture fixture;
  ControlRequest request = request_of("buffer.export");
  request.choice.stream = "app";
  request.choice.from = 1;
  request.choice.count_max = 2;
  CollectingSink sink;
  CHECK(fixture.run(request, sink).exit_code == exit_ok);
  REQUIRE(sink.lines.size() == 2);
  CHECK(sink.lines[0] == R"({"seq":1,"n":{"x":[1]}})");
  CHECK(sink.lines[1].find(R"("seq":2,"lost":5)") != std::string::npos);
}

TEST_CASE("the newest events are found from the end, over all classes") {
  const Fixture fixture;
  ControlRequest request = request_of("buffer.export");
  request.choice.is_last = true;
  request.choice.count_max = 3;
  CollectingSink sink;
  fixture.run(request, sink);
  REQUIRE(sink.lines.size() == 3);
  CHECK(sink.lines[0] == R"({"seq":0,"h":1})");
  CHECK(sink.lines[1].find(R"("seq":2,"lost":5)") != std::string::npos);
  CHECK(sink.lines[2].find(R"("seq":7)") != std::string::npos);
}

TEST_CASE("parked rows are read in their place") {
  const Fixture fixture;
  const auto app = fixture.store->open_stream("app", Priority::normal, buffer::WhenFull::block);
  REQUIRE(app.ok());
  buffer::Store& store = *fixture.store;
  store.parking()->park(app->id, 1);
  store.acknowledge(store.generation(), Priority::normal, store.durable_id());
  const NewRow more{app->id, RowKind::batch, 8, 1, R"([{"seq":8}])"};
  REQUIRE(store.commit({{&more, 1}, {}}).ok());
  CollectingSink sink;
  fixture.run(request_of("buffer.export"), sink);
  REQUIRE(sink.lines.size() == 6);
  CHECK(sink.lines[0] == R"({"seq":0,"a":"]},{["})");
  CHECK(sink.lines[2] == R"({"seq":0,"h":1})");
  CHECK(sink.lines[5] == R"({"seq":8})");
  ControlRequest newest = request_of("buffer.export");
  newest.choice.is_last = true;
  newest.choice.count_max = 1;
  CollectingSink last;
  fixture.run(newest, last);
  REQUIRE(last.lines.size() == 1);
  CHECK(last.lines[0] == R"({"seq":8})");
}

TEST_CASE("events are chosen by their own time") {
  const Fixture fixture;
  const std::int64_t at_us = 1'764'000'000'000'000;
  ControlRequest request = request_of("buffer.export");
  request.choice.stream = "app";
  request.choice.time_from = at_us;
  request.choice.time_to = at_us;
  CollectingSink sink;
  fixture.run(request, sink);
  // The loss record has this time; the events of this store have none. The damaged row comes
  // anyway.
  REQUIRE(sink.lines.size() == 2);
  CHECK(sink.lines[0].find(R"("lost":5)") != std::string::npos);
  CHECK(time_of_event(R"({"time":"2025-11-24T16:00:00.000000Z","device":"x"})") == at_us);
  CHECK_FALSE(time_of_event(R"({"seq":1})"));
}

TEST_CASE("export ends when nobody reads") {
  const Fixture fixture;
  CollectingSink sink;
  sink.lines_max = 1;
  fixture.run(request_of("buffer.export"), sink);
  CHECK(sink.lines.size() == 1);
}

TEST_CASE("export does not pin what it reads") {
  const Fixture fixture;
  CollectingSink sink;
  fixture.run(request_of("buffer.export"), sink);
  // A second reader sees the same rows, and the forwarder begins where it would have.
  const auto rows = fixture.store->rows_after(Priority::normal, 0, 1);
  REQUIRE(rows.ok());
  CHECK(rows->front().key.seq == 0);
}

TEST_CASE("stat and list give the figures") {
  const Fixture fixture;
  CollectingSink stat;
  CHECK(fixture.run(request_of("buffer.stat"), stat).exit_code == exit_ok);
  REQUIRE(stat.lines.size() == 1);
  for (const char* part : {R"("in_use":true)", R"("device":"gw-7")", R"("streams":2)",
                           R"("events":4)", R"("rows":4)"}) {
    CAPTURE(stat.lines[0]);
    CHECK(stat.lines[0].find(part) != std::string::npos);
  }
  CollectingSink list;
  CHECK(fixture.run(request_of("buffer.list"), list).exit_code == exit_ok);
  REQUIRE(list.lines.size() == 2);
  CHECK(
      list.lines[0] ==
      R"({"stream":"app","priority":"normal","first_seq":0,"next_seq":8,"rows":3,"parked":false})");
}

TEST_CASE("what a broker refused for good is exported with its code, and parked streams are told") {
  const Fixture fixture;
  buffer::Store& store = *fixture.store;
  const auto app = store.open_stream("app", Priority::normal, buffer::WhenFull::block);
  REQUIRE(app.ok());
  store.parking()->park(app->id, 1);
  store.acknowledge(store.generation(), Priority::normal, store.durable_id());
  REQUIRE(store.commit({}).ok());
  const auto parked = store.parking()->peek_after(app->id, 0, 1 << 20);
  REQUIRE(parked.ok());
  store.parking()->refuse(app->id, parked->back().key.id, 0x90);
  REQUIRE(store.commit({}).ok());

  CollectingSink exported;
  fixture.run(request_of("buffer.export"), exported);
  const auto refused =
      std::find_if(exported.lines.begin(), exported.lines.end(), [](const std::string& line) {
        return line.find(R"("seq":7,"lost":1,"reason":"refused","code":144})") != std::string::npos;
      });
  CHECK(refused != exported.lines.end());
  CollectingSink list;
  fixture.run(request_of("buffer.list"), list);
  CHECK(list.lines[0].find(R"("rows":3,"parked":true)") != std::string::npos);
  CollectingSink stat;
  fixture.run(request_of("buffer.stat"), stat);
  CHECK(stat.lines[0].find(R"("parked_rows":3)") != std::string::npos);
}

TEST_CASE("positions are shown as text where they are text") {
  const Fixture fixture;
  ControlRequest request = request_of("buffer.list");
  request.positions = true;
  CollectingSink sink;
  CHECK(fixture.run(request, sink).exit_code == exit_ok);
  REQUIRE(sink.lines.size() == 2);
  std::sort(sink.lines.begin(), sink.lines.end());
  CHECK(sink.lines[0] == R"({"type":"demo","connector":"x","part":"","position_hex":"01ff"})");
  CHECK(sink.lines[1] == R"({"type":"file","connector":"app","part":"a.log","position":"17"})");
}

TEST_CASE("verify reads every row; an unknown command is a usage error") {
  const Fixture fixture;
  CollectingSink sink;
  CHECK(fixture.run(request_of("buffer.verify"), sink).exit_code == exit_ok);
  REQUIRE(sink.lines.size() == 1);
  CHECK(sink.lines[0] == R"({"rows":4,"damaged_rows":0,"problems":[]})");
  CHECK(fixture.run(request_of("buffer.empty"), sink).exit_code == exit_usage);
}

TEST_CASE("why a store does not open becomes an exit code") {
  const Fixture fixture;
  const auto path = fixture.dir / "buffer";
  CHECK(is_buffer_held(path));
  CHECK_FALSE(is_buffer_held(fixture.dir / "none"));
  CHECK(exit_code_of_open(path, {Errc::unavailable, ""}) == exit_try_again);
  CHECK(exit_code_of_open(path, {Errc::invalid, ""}) == exit_data);
  CHECK(exit_code_of_open(fixture.dir / "none", {Errc::unavailable, ""}) == exit_cannot_create);
}

}  // namespace
}  // namespace penstock::daemon
