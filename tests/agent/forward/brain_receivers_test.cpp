#include <catch2/catch.hpp>
#include <string>

#include "agent/forward/brain.hpp"
#include "tests/agent/forward/brain_bench.hpp"

using namespace penstock::tests;

namespace {

/// Row N of the bench has the numbers 10 N … 10 N + 9 of stream 1.
ReceiverVerified has(std::vector<std::uint64_t> bounds, bool is_new_run = false) {
  return {1, 0, is_new_run, {{1, std::move(bounds)}}};
}

Bench sent(std::vector<std::uint64_t> rows,
           BrainSettings settings = {.tells_status = false, .receivers = 1}) {
  Bench bench(settings);
  bench.store(Priority::normal, rows);
  bench.up();
  const std::uint64_t first = bench.last_message + 1 - rows.size();
  for (std::uint64_t i = 0; i < rows.size(); ++i) bench.acknowledge(first + i);
  bench.take();
  return bench;
}

}  // namespace

TEST_CASE("rows are trimmed when the receiver has them, not when the broker has") {
  Bench bench = sent({1, 2, 3});
  bench.tell(has({10, 20}));
  CHECK(bench.take() == "ack1 ");
  bench.tell(has({10, 40}));
  CHECK(bench.take() == "ack3 ");
  CHECK(bench.count(Report::Kind::verified) == 2);
}

TEST_CASE("a receiver cannot trim what the broker has not acknowledged") {
  Bench bench({.tells_status = false, .receivers = 1});
  bench.store(Priority::normal, {1, 2});
  bench.up();
  bench.take();
  bench.tell(has({10, 30}));
  CHECK(bench.take().empty());
  bench.acknowledge(bench.last_message - 1);
  CHECK(bench.take() == "ack1 ");
}

TEST_CASE("another receiver, another generation and no receiver change nothing") {
  Bench bench = sent({1});
  bench.tell(ReceiverVerified{2, 0, false, {{1, {10, 20}}}});
  bench.tell(ReceiverVerified{1, 1, false, {{1, {10, 20}}}});
  CHECK(bench.take().empty());
  Bench plain;
  plain.tell(has({10, 20}));
  CHECK(plain.take() == "connect ");
}

TEST_CASE("what a receiver misses is sent again, in order, on the same connection") {
  Bench bench = sent({1, 2, 3});
  bench.tell(has({10, 20, 30, 40}));
  CHECK(bench.take() == "ack1 drop row2 row3 ");
  bench.acknowledge(bench.last_message);
  bench.acknowledge(bench.last_message - 1);
  // It may have said that before they came.
  bench.tell(has({10, 20, 30, 40}));
  CHECK(bench.take().empty());
  bench.tell(has({10, 40}));
  CHECK(bench.take() == "ack3 ");
}

TEST_CASE("after another start of the receiver all is sent again that it has not") {
  Bench bench = sent({1, 2});
  bench.tell(has({10, 20}, true));
  CHECK(bench.take() == "ack1 drop row2 ");
}

TEST_CASE(
    "a connection to the same broker goes on behind what it acknowledged, to another does not") {
  BrainSettings settings{.tells_status = false, .receivers = 1};
  settings.brokers.count = 2;
  settings.brokers.failover_after_us = 1;
  Bench bench = sent({1, 2}, settings);
  const std::size_t before = bench.broker;
  bench.tell(LinkDown{bench.connection, Stage::up, false});
  for (int i = 0; i < 100 && bench.broker == before; ++i) {
    bench.pass(2 * second);
    if (bench.broker != before) break;
    bench.tell(LinkDown{bench.connection, Stage::connect, false});
  }
  REQUIRE(bench.broker != before);
  bench.take();
  bench.up();
  CHECK(bench.take() == "row1 row2 ");

  Bench same = sent({1, 2});
  same.tell(LinkDown{same.connection, Stage::up, false});
  same.pass(90 * second);
  same.store(Priority::normal, {3});
  same.take();
  same.up();
  CHECK(same.take() == "row3 ");
}

TEST_CASE("a silent receiver is told once; all is sent again, ever more rarely and few at a time") {
  std::vector<std::uint64_t> rows;
  BrainSettings settings{.ack_timeout_us = 30 * second, .tells_status = false, .receivers = 1};
  Bench bench = sent({1, 2}, settings);
  std::string said;
  int times = 0;
  std::int64_t last_us = 0;
  std::int64_t pause_us = 0;
  for (int i = 0; i < 3'600; ++i) {
    bench.pass(second);
    said = bench.take();
    if (said.empty()) continue;
    if (times < 2) {
      CHECK(said == "drop row1 row2 ");
    } else {
      // Perhaps the broker does not pass on what the receiver says: it subscribes anew.
      CHECK(said == "drop disconnect ");
      while (said.find("connect ") != 0) {
        bench.pass(second);
        said = bench.take();
      }
      bench.up();
      CHECK(bench.take() == "row1 row2 ");
    }
    bench.acknowledge(bench.last_message - 1);
    bench.acknowledge(bench.last_message);
    if (times > 0) {
      CHECK(bench.now_us - last_us >= pause_us);
      pause_us = bench.now_us - last_us;
    }
    last_us = bench.now_us;
    ++times;
  }
  CHECK(times > 3);
  CHECK(times < 9);
  CHECK(bench.count(Report::Kind::receiver_silent) == 1);
  for (std::uint64_t id = 3; id <= 100; ++id) rows.push_back(id);
  bench.store(Priority::normal, rows);
  for (int i = 0; i < 200; ++i) {
    const std::uint64_t newest = bench.last_message;
    for (std::uint64_t message = newest - 16; message <= newest; ++message)
      bench.acknowledge(message);
  }
  CHECK(bench.take().find("row80 ") == std::string::npos);
  bench.tell(has({10, 30}, true));
  CHECK(bench.count(Report::Kind::receiver_back) == 1);
}

TEST_CASE("while it waits for receivers a stop does not wait for them") {
  Bench bench = sent({1});
  bench.tell(StopAsked{bench.now_us + 10 * second});
  CHECK(bench.brain.is_finished());
}

TEST_CASE("no more rows are sent unverified than may be remembered") {
  Bench bench({.tells_status = false, .receivers = 1, .unverified_rows_max = 2});
  bench.store(Priority::normal, {1, 2, 3, 4, 5});
  bench.up();
  for (int i = 0; i < 20; ++i) {
    for (std::uint64_t message = 0; message <= bench.last_message; ++message)
      bench.acknowledge(message);
  }
  bench.take();
  const std::uint64_t sent_before = bench.last_message;
  bench.pass(second);
  CHECK(bench.last_message == sent_before);
  bench.tell(has({10, 60}));
  CHECK(bench.take().find("ack") == 0);
}
