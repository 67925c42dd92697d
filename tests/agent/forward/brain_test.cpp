#include "agent/forward/brain.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <string>

#include "tests/agent/forward/brain_bench.hpp"

using namespace penstock::tests;

TEST_CASE("it connects at once, says online, then sends in order and acknowledges without a hole") {
  Bench bench;
  CHECK(bench.take() == "connect ");
  bench.store(Priority::normal, {3, 5, 9});
  CHECK(bench.take().empty());
  bench.up();
  CHECK(bench.take() == "online row3 row5 row9 ");
  const std::uint64_t first = bench.status_message + 1;
  bench.acknowledge(first + 1);
  CHECK(bench.take().empty());
  bench.acknowledge(first);
  CHECK(bench.take() == "ack5 ");
  bench.acknowledge(first);
  bench.acknowledge(first + 77);
  CHECK(bench.take().empty());
  bench.acknowledge(first + 2);
  CHECK(bench.take() == "ack9 ");
}

TEST_CASE("without a status it only sends, and says goodbye") {
  Bench bench({.tells_status = false});
  bench.store(Priority::normal, {1});
  bench.take();
  bench.up();
  CHECK(bench.take() == "row1 ");
  bench.acknowledge(bench.last_message);
  CHECK(bench.take() == "ack1 ");
  bench.tell(StopAsked{bench.now_us + 2 * second});
  CHECK(bench.take() == "goodbye ");
  CHECK(bench.brain.is_finished());
}

TEST_CASE("high goes before normal before low, also when it comes later") {
  Bench bench({.in_flight_max = 2});
  bench.store(Priority::low, {1, 2});
  bench.store(Priority::normal, {3, 4, 5});
  bench.take();
  bench.up();
  CHECK(bench.take() == "online row3 ");
  bench.store(Priority::high, {6});
  bench.acknowledge(bench.status_message);
  CHECK(bench.take() == "row4 ");  // was being encoded already
  const std::uint64_t row4 = bench.last_message;
  bench.acknowledge(row4);
  bench.acknowledge(row4 - 1);
  CHECK(bench.take() == "row6 ack4 row5 ");
}

TEST_CASE("the window is the smaller of ours and the broker's") {
  for (const auto& [ours, theirs, rows] :
       {std::tuple{4U, 20U, "row1 row2 row3 "}, std::tuple{8U, 3U, "row1 row2 "}}) {
    Bench bench({.in_flight_max = ours});
    bench.store(Priority::normal, {1, 2, 3, 4, 5, 6, 7, 8, 9});
    bench.take();
    bench.up(theirs);
    CHECK(bench.take() == std::string("online ") + rows);
  }
}

TEST_CASE("bytes in flight are bounded, but one message always goes") {
  Bench bench({.in_flight_bytes_max = 1'600});
  bench.store(Priority::normal, {1, 2, 3});
  bench.take();
  bench.up();
  CHECK(bench.take() == "online row1 ");
  bench.acknowledge(bench.status_message);
  CHECK(bench.take().empty());
  bench.acknowledge(bench.last_message);
  CHECK(bench.take() == "ack1 row2 ");
}

TEST_CASE("a row of several messages is acknowledged when all are") {
  Bench bench({.in_flight_max = 3});
  bench.parts = 4;
  bench.store(Priority::normal, {1});
  bench.take();
  bench.up();
  CHECK(bench.take() == "online row1 row1.1 ");
  bench.acknowledge(bench.status_message);
  CHECK(bench.take() == "row1.2 ");
  const std::uint64_t first = bench.status_message + 1;
  bench.acknowledge(first);
  bench.acknowledge(first + 1);
  bench.acknowledge(first + 2);
  CHECK(bench.take() == "row1.3 ");
  bench.acknowledge(first + 3);
  CHECK(bench.take() == "ack1 ");
}

TEST_CASE("after any doubt it sends again from the oldest unacknowledged row") {
  Bench bench;
  bench.store(Priority::normal, {1, 2, 3});
  bench.up();
  const std::uint64_t first = bench.status_message + 1;
  bench.acknowledge(first);
  bench.acknowledge(first + 2);
  bench.take();
  SECTION("the link is lost") {
    bench.tell(LinkDown{bench.connection, Stage::up, false});
    CHECK(bench.take() == "drop ");
  }
  SECTION("no acknowledgement in time") {
    bench.acknowledge(bench.status_message);
    bench.pass(29 * second);
    CHECK(bench.take().empty());
    CHECK(bench.brain.wake_at_us() == bench.now_us + second);
    bench.pass(second);
    CHECK(bench.take() == "disconnect drop ");
    CHECK(bench.count(Report::Kind::no_ack) == 1);
  }
  bench.pass(second);
  CHECK(bench.take() == "connect ");
  const std::uint64_t old_connection = bench.connection - 1;
  bench.up();
  CHECK(bench.take() == "online row2 row3 ");
  bench.tell(Acknowledged{old_connection, first + 1, 0, bench.now_us});
  bench.tell(LinkDown{old_connection, Stage::up, false});
  bench.acknowledge(first + 1);  // a number of the earlier connection
  CHECK(bench.take().empty());
}

TEST_CASE("a slow link is not a dead one: the time runs for the oldest message alone") {
  Bench bench;
  bench.store(Priority::normal, {1, 2, 3});
  bench.up();
  const std::uint64_t first = bench.status_message;
  for (std::uint64_t i = 0; i < 4; ++i) {
    bench.pass(25 * second);
    bench.acknowledge(first + i);
  }
  CHECK(bench.take().find("disconnect") == std::string::npos);
}

TEST_CASE("connections that end one after the other without a reason come ever more slowly") {
  Bench bench;
  bench.tell(Tick{});
  std::int64_t waited_us = 0;
  const auto live = [&](std::int64_t time_us) {
    bench.up();
    bench.acknowledge(bench.status_message);
    bench.pass(time_us);
    bench.tell(LinkDown{bench.connection, Stage::up, false});
    waited_us = bench.reports.back().value;
    bench.pass(waited_us);
    const auto lost = std::find_if(bench.reports.rbegin(), bench.reports.rend(),
                                   [](const Report& r) { return r.kind == Report::Kind::lost; });
    return lost->value;
  };
  for (std::int64_t i = 1; i <= 3; ++i) CHECK(live(second) == i);
  std::int64_t longest_us = 0;
  for (std::int64_t i = 4; i <= 40; ++i) {
    CHECK(live(std::max(second, waited_us)) ==
          i);  // as long as another one waits that does the same
    longest_us = std::max(longest_us, waited_us);
  }
  CHECK(longest_us > 2 * second);
  CHECK(longest_us <= 4 * second);
  SECTION("until one stays") { CHECK(live(5 * second) == 0); }
  SECTION("or the broker has a reason") {
    bench.up();
    LinkDown down;
    down.connection = bench.connection;
    down.reason_code = 0x8B;
    bench.tell(down);
    CHECK(bench.reports[bench.reports.size() - 2].value == 0);
  }
  SECTION("those that end with a batch are another matter") {
    bench.store(Priority::normal, {1});
    CHECK(live(second) == 41);
    CHECK(live(second) == 0);
  }
}

TEST_CASE("a line too slow for a message gets smaller ones") {
  Bench bench;
  bench.part_bytes = 96'000;
  bench.store(Priority::normal, {1, 2, 3});
  const auto lost_after_30_s = [&] {
    bench.pass(30 * second);
    CHECK(bench.take().find("disconnect drop ") != std::string::npos);
    bench.pass(60 * second);
    bench.up();
    bench.acknowledge(bench.status_message);
  };
  bench.up();
  bench.acknowledge(bench.status_message);
  lost_after_30_s();
  CHECK(bench.count(Report::Kind::smaller) == 1);
  CHECK(bench.encoded.split_bytes == 24'000);
  bench.part_bytes = 24'000;
  SECTION("each time") {
    lost_after_30_s();
    lost_after_30_s();
    CHECK(bench.encoded.split_bytes == 6'000);
  }
  SECTION("not if another one was acknowledged: then the line may have ended") {
    bench.acknowledge(bench.status_message + 1);
    lost_after_30_s();
    CHECK(bench.encoded.split_bytes == 24'000);
    SECTION("but if it is the same one again") {
      bench.store(Priority::high, {4});
      bench.acknowledge(bench.last_message);
      lost_after_30_s();
      CHECK(bench.encoded.split_bytes == 6'000);
    }
  }
  CHECK(bench.count(Report::Kind::batch_lost) == 0);
}

TEST_CASE("a message that cannot be smaller gets more time, for an hour") {
  Bench bench({.in_flight_max = 1, .status_every_us = 1'000'000 * second});
  bench.part_bytes = 96'000;
  bench.part_events = 1;
  bench.store(Priority::normal, {1, 2, 3});
  const auto connect = [&] {
    bench.up();
    bench.acknowledge(bench.status_message);
    bench.take();
  };
  const auto lost_after = [&](std::int64_t time_us) {
    bench.pass(time_us - 1);
    CHECK(bench.take().empty());
    bench.pass(1);
    CHECK(bench.take() == "disconnect drop ");
    bench.pass(60 * second);
  };
  for (const std::int64_t seconds : {30, 60, 120, 240, 480, 600, 600}) {
    connect();
    lost_after(seconds * second);
  }
  connect();
  for (const std::string_view next : {"ack1 row2 ", "ack2 row3 "}) {
    bench.pass(599 * second);
    bench.acknowledge(bench.last_message);
    CHECK(bench.take() == next);
  }
  bench.pass(3'600 * second);  // the next connection is as impatient as the first
  bench.pass(60 * second);
  connect();
  lost_after(30 * second);
}

TEST_CASE("a long message that follows short ones of its row gets more time") {
  Bench bench({.status_every_us = 1'000'000 * second});
  bench.store(Priority::normal, {1});
  bench.part_list = {{1'000, 10}, {90'000, 1}};
  for (const std::int64_t seconds : {30, 30, 60, 120}) {
    bench.up();
    bench.acknowledge(bench.status_message);
    bench.acknowledge(bench.status_message + 1);
    bench.take();
    bench.pass(seconds * second - 1);
    CHECK(bench.take().empty());
    bench.pass(1);
    CHECK(bench.take() == "disconnect drop ");
    bench.pass(60 * second);
  }
}

TEST_CASE("a refused status does not stop the data") {
  Bench bench;
  bench.up();
  bench.acknowledge(bench.status_message, 0x87);
  CHECK(bench.count(Report::Kind::status_refused) == 1);
  bench.take();
  bench.store(Priority::normal, {1});
  CHECK(bench.take() == "row1 ");
}

TEST_CASE("after three connections that ended with the same oldest row one goes at a time") {
  Bench bench;
  bench.store(Priority::normal, {1, 2, 3});
  for (int i = 0; i < 3; ++i) {
    bench.up();
    bench.tell(LinkDown{bench.connection, Stage::up, false});
    bench.pass(60 * second);
  }
  bench.take();
  bench.up();
  CHECK(bench.take() == "online ");
  bench.acknowledge(bench.status_message);
  CHECK(bench.take() == "row1 ");
  bench.acknowledge(bench.last_message);
  CHECK(bench.take() == "ack1 row2 row3 ");
}

TEST_CASE("a broker that sends us away each time is met ever more rarely, whatever it took") {
  Bench bench;
  const auto delay_after = [&bench](std::uint8_t code, std::int64_t up_us) {
    bench.store(Priority::normal, {bench.connection});
    bench.up();
    bench.acknowledge(bench.status_message);
    bench.acknowledge(bench.last_message);
    bench.pass(up_us);
    bench.reports.clear();
    bench.tell(LinkDown{bench.connection, Stage::up, false, code});
    const auto retry =
        std::find_if(bench.reports.begin(), bench.reports.end(),
                     [](const Report& report) { return report.kind == Report::Kind::retry; });
    REQUIRE(retry != bench.reports.end());
    const std::int64_t delay_us = retry->value;
    bench.pass(delay_us);
    return delay_us;
  };
  constexpr std::int64_t first_us_max = second / 2;
  SECTION("taken over by another client with the same id") {
    std::int64_t all_us = 0;
    for (int i = 0; i < 10; ++i) all_us += delay_after(0x8E, second);
    CHECK(all_us > 10 * first_us_max);
    CHECK(delay_after(0, second) <= first_us_max);
    CHECK(delay_after(0x8E, second) <= first_us_max);
  }
  SECTION("not if it kept us for long") {
    for (int i = 0; i < 10; ++i) CHECK(delay_after(0xA0, 3'600 * second) <= first_us_max);
  }
}

TEST_CASE("the status is said again every ten minutes") {
  Bench bench;
  bench.up();
  bench.acknowledge(bench.status_message);
  bench.take();
  CHECK(bench.brain.wake_at_us() == bench.now_us + 600 * second);
  bench.pass(600 * second);
  CHECK(bench.take() == "online ");
}

TEST_CASE("rows of another generation are void") {
  Bench bench;
  bench.store(Priority::normal, {5, 6});
  bench.up();
  bench.take();
  bench.stored[1] = {1, 2};
  bench.tell(StoreChanged{2, {}});
  CHECK(bench.take() == "disconnect drop ");
  bench.pass(second);
  bench.up();
  CHECK(bench.take() == "connect online row1 row2 ");

  SECTION("also what was fetched before and arrives after") {
    Bench late;
    late.answers_fetches = false;
    late.up();
    REQUIRE(late.has_fetch);
    const Fetch asked = late.pending_fetch;
    late.tell(StoreChanged{2, {}});
    late.take();
    late.tell(Fetched{1, asked.priority, asked.after_id, {{4, 10, 1}}, true});
    CHECK(late.take().empty());
  }
}

TEST_CASE("what is on its way ends with the generation, a status message too") {
  Bench bench;
  bench.up();
  CHECK(bench.take() == "connect online ");
  bench.tell(StoreChanged{2, {}});
  CHECK(bench.take().find("disconnect ") == 0);
}

TEST_CASE("the rate limit holds back, and asks to be woken when it ends") {
  Bench bench({.rate_limit_bytes_per_s = 1'000});
  bench.store(Priority::normal, {1, 2, 3});
  bench.take();
  bench.up();
  CHECK(bench.take() == "online row1 ");
  const std::int64_t wake_us = bench.brain.wake_at_us();
  CHECK(wake_us > bench.now_us);
  CHECK(wake_us <= bench.now_us + second);
  bench.pass(second);
  CHECK(bench.take() == "row2 ");
}

TEST_CASE("a connection attempt that is never answered is given up") {
  Bench bench;
  bench.take();
  CHECK(bench.brain.wake_at_us() == bench.now_us + 30 * second);
  bench.pass(30 * second);
  CHECK(bench.take() == "disconnect ");
  bench.pass(second);
  CHECK(bench.take() == "connect ");
}

TEST_CASE("stop") {
  Bench bench;
  SECTION("while it is not connected: at once") {
    bench.tell(StopAsked{bench.now_us + 5 * second});
    CHECK(bench.brain.is_finished());
    CHECK(bench.take() == "connect disconnect ");
  }
  SECTION("with all sent: offline, its acknowledgement, goodbye") {
    bench.up();
    bench.acknowledge(bench.status_message);
    bench.take();
    bench.tell(StopAsked{bench.now_us + 5 * second});
    CHECK(bench.take() == "offline ");
    CHECK_FALSE(bench.brain.is_finished());
    bench.acknowledge(bench.status_message);
    CHECK(bench.take() == "goodbye ");
    CHECK(bench.brain.is_finished());
  }
  SECTION("the backlog is sent for as long as there is time") {
    bench.up();
    bench.acknowledge(bench.status_message);
    bench.store(Priority::normal, {1});
    bench.take();
    bench.tell(StopAsked{bench.now_us + 5 * second});
    CHECK(bench.take().empty());
    bench.store(Priority::normal, {2});
    CHECK(bench.take() == "row2 ");
    bench.acknowledge(bench.last_message - 1);
    bench.acknowledge(bench.last_message);
    CHECK(bench.take() == "ack1 ack2 offline ");
  }
  SECTION("a broker that does not answer costs no more than the deadline, and gets the will") {
    bench.store(Priority::normal, {1});
    bench.up();
    bench.take();
    bench.tell(StopAsked{bench.now_us + 5 * second});
    CHECK(bench.brain.wake_at_us() == bench.now_us + 4 * second);
    bench.pass(4 * second);
    CHECK(bench.take() == "offline ");
    CHECK(bench.brain.wake_at_us() == bench.now_us + second);
    bench.pass(second);
    CHECK(bench.take() == "disconnect drop ");
    CHECK(bench.brain.is_finished());
  }
}

TEST_CASE("it leaves the second broker in good order to try the first") {
  BrainSettings settings;
  settings.brokers.count = 2;
  settings.ack_timeout_us = 3'600 * second;
  Bench bench(settings);
  bench.tell(LinkDown{bench.connection, Stage::connect, false});
  bench.pass(20 * second);
  if (bench.broker == 0) {
    bench.tell(LinkDown{bench.connection, Stage::connect, false});
    bench.pass(20 * second);
  }
  REQUIRE(bench.broker == 1);
  bench.up();
  bench.acknowledge(bench.status_message);
  bench.store(Priority::normal, {1});
  const std::uint64_t message = bench.last_message;
  bench.take();
  bench.pass(600 * second);
  CHECK(bench.take().empty());  // the batch on its way is waited for
  bench.acknowledge(message);
  CHECK(bench.take() == "ack1 disconnect connect ");
  CHECK(bench.broker == 0);
  bench.tell(LinkDown{bench.connection, Stage::connect, false});
  CHECK(bench.take() == "connect ");
  CHECK(bench.broker == 1);
}
