// What a broker refuses must neither be lost in silence nor hold up what it would take.
#include <catch2/catch.hpp>

#include "agent/forward/refusal.hpp"
#include "tests/agent/forward/brain_bench.hpp"

using namespace penstock::tests;

TEST_CASE("every reason code of a PUBACK is judged") {
  CHECK(judge_refusal(0x90) == Refusal::for_good);
  CHECK(judge_refusal(0x99) == Refusal::for_good);
  CHECK(judge_refusal(0x95) == Refusal::too_large);
  CHECK(judge_refusal(0x91) == Refusal::connection);
  for (const int code : {0x80, 0x83, 0x87, 0x97, 0x88, 0x96, 0xFF}) {
    CHECK(judge_refusal(static_cast<std::uint8_t>(code)) == Refusal::for_now);
  }
}

TEST_CASE("a refusal that may end parks its stream; its class goes on") {
  Bench bench;
  bench.store(Priority::normal, {1, 101, 2, 102});
  bench.stored[1] = {1, 101, 102, 201};  // ids rise
  bench.up();
  bench.take();
  bench.acknowledge(bench.status_message);
  const std::uint64_t first = bench.status_message + 1;
  bench.acknowledge(first, 0x87);
  CHECK(bench.take() == "park1@1 ack1 ");
  bench.acknowledge(first + 1);
  bench.acknowledge(first + 2);
  bench.acknowledge(first + 3);
  CHECK(bench.take() == "ack101 ack102 ack201 ");
  CHECK(bench.count(Report::Kind::stream_parked) == 1);
  CHECK(bench.count(Report::Kind::batch_refused) == 0);

  SECTION("it is tried again with growing pauses, and reported once") {
    bench.parked[1] = {{1, 100, 10, 1}, {103, 100, 10, 1}};
    std::int64_t pause = 0;
    for (int i = 0; i < 12; ++i) {
      const std::uint64_t before = bench.last_message;
      const std::int64_t asked_us = bench.now_us;
      for (int ticks = 0; bench.last_message == before && ticks < 1'000; ++ticks) {
        bench.pass(500'000);
        bench.acknowledge(bench.status_message);
      }
      CHECK(bench.now_us - asked_us >= pause / 2);
      pause = bench.now_us - asked_us;
      bench.acknowledge(bench.last_message, i % 2 == 0 ? 0x97 : 0x87);
    }
    CHECK(pause >= 200 * second);
    CHECK(bench.count(Report::Kind::stream_parked) == 1);
    CHECK(bench.said.find("disconnect") == std::string::npos);
    bench.take();
    bench.pass(300 * second);
    CHECK(bench.take().find("row1 ") != std::string::npos);
    bench.acknowledge(bench.last_message);
    CHECK(bench.take() == "done1 row103 ");
    bench.acknowledge(bench.last_message);
    CHECK(bench.take() == "done103 unpark1 ");
    CHECK(bench.count(Report::Kind::stream_returned) == 1);
    bench.store(Priority::normal, {301});
  }
  SECTION("it stays parked until the store agrees that nothing is left") {
    bench.unparks = false;
    bench.pass(2 * second);
    CHECK(bench.take() == "unpark1 ");
    bench.pass(second / 2);
    CHECK(bench.take().empty());
    bench.unparks = true;
    bench.pass(second);
    CHECK(bench.take() == "unpark1 ");
  }
}

TEST_CASE("later rows of a parked stream are passed over as they are reached") {
  Bench bench({.in_flight_max = 1});
  bench.store(Priority::normal, {1, 2, 101, 102});
  bench.up();
  bench.acknowledge(bench.status_message);
  bench.take();
  bench.acknowledge(bench.last_message, 0x97);
  // Row 2 was encoded already, and must not come before row 1.
  CHECK(bench.take() == "park1@1 ack2 row101 ");
  bench.store(Priority::normal, {103});
  bench.stored[1].push_back(104);
  bench.acknowledge(bench.last_message);
  CHECK(bench.take() == "ack101 row102 ");
  CHECK(bench.count(Report::Kind::stream_parked) == 1);
}

TEST_CASE("a row that is reached while its stream returns is sent, not passed over") {
  Bench bench;
  bench.store(Priority::normal, {1});
  bench.up();
  bench.acknowledge(bench.status_message);
  bench.acknowledge(bench.last_message, 0x97);
  bench.answers_fetches = false;
  bench.tell(Stored{});
  const auto step = [&bench](const Event& event) {
    bench.actions.clear();
    bench.brain.step(bench.now_us, event, bench.actions);
    std::vector<std::uint64_t> encoded;
    for (const Action& action : bench.actions) {
      if (const auto* encode = std::get_if<Encode>(&action)) encoded.push_back(encode->row.id);
    }
    return encoded;
  };
  step(Fetched{1, Priority::high, 0, {}, true});
  // As the shell has them: the store is asked for all of this before it hears of the next.
  bench.now_us += 2 * second;
  REQUIRE(step(Fetched{1, Priority::normal, 1, {{101, 100, 10, 2}, {102, 100, 10, 1}}, true}) ==
          std::vector<std::uint64_t>{101});
  CHECK(step(FetchedParked{1, 1, 0, std::nullopt, false}).empty());
  const RowRef row{Priority::normal, 101, 0};
  CHECK(step(Encoded{bench.connection, row, {{1'000, 10}}}).empty());
  CHECK(step(Unparked{1, true}) == std::vector<std::uint64_t>{102});
}

TEST_CASE("what is never taken becomes a loss record, sent in its place") {
  Bench bench;
  bench.store(Priority::normal, {1, 101});
  bench.up();
  bench.acknowledge(bench.status_message);
  bench.take();
  bench.acknowledge(bench.status_message + 1, 0x90);
  CHECK(bench.take() == "park1@1 refuse1 ack1 ");
  CHECK(bench.refused.reason_code == 0x90);
  CHECK(bench.count(Report::Kind::batch_lost) == 1);
  CHECK(bench.count(Report::Kind::stream_parked) == 0);
  bench.acknowledge(bench.status_message + 2);
  bench.take();
  // Still a batch: the store has not committed the change.
  bench.parked[1] = {{1, 100, 10, 1}};
  bench.pass(2 * second);
  CHECK(bench.take().empty());
  bench.parked[1] = {{1, 0, 0, 1}};
  bench.pass(2 * second);
  CHECK(bench.take() == "row1 ");

  SECTION("taken") {
    bench.acknowledge(bench.last_message);
    CHECK(bench.take() == "done1 unpark1 ");
  }
  SECTION("refused as well: then the stream waits") {
    bench.acknowledge(bench.last_message, 0x90);
    CHECK(bench.take().empty());
    CHECK(bench.count(Report::Kind::stream_parked) == 1);
  }
}

TEST_CASE("a message that is too large is split, and only a single event is given up") {
  Bench bench;
  bench.store(Priority::normal, {1});
  bench.up();
  bench.acknowledge(bench.status_message);
  bench.take();
  bench.acknowledge(bench.status_message + 1, 0x95);
  CHECK(bench.take() == "disconnect drop ");
  CHECK(bench.count(Report::Kind::batch_refused) == 1);
  bench.pass(60 * second);
  bench.part_events = 1;
  bench.up();
  CHECK(bench.encoded.split_bytes == 500);
  CHECK(bench.encoded.packet_bytes_max > 1'000);
  bench.take();
  bench.acknowledge(bench.status_message);
  bench.acknowledge(bench.last_message, 0x95);
  bench.pass(60 * second);
  bench.up();
  CHECK(bench.encoded.packet_bytes_max == 999);
  // What is sent in its place is refused too: nothing is left to be made smaller.
  bench.acknowledge(bench.status_message);
  bench.take();
  bench.acknowledge(bench.last_message, 0x95);
  CHECK(bench.take() == "park1@1 ack1 ");
}

namespace {

/// The broker ends the connection, and the next one is about to be made.
void end(Bench& bench, std::uint8_t reason_code) {
  LinkDown down;
  down.connection = bench.connection;
  down.reason_code = reason_code;
  bench.tell(down);
  bench.pass(60 * second);
}

/// A connection on which the status is acknowledged and the row on its way is not.
void end_after_status(Bench& bench, std::uint8_t reason_code) {
  bench.up();
  bench.acknowledge(bench.status_message);
  end(bench, reason_code);
}

}  // namespace

TEST_CASE("a batch that was alone and is blamed for the end of three connections is poison") {
  const bool skips = GENERATE(false, true);
  Bench bench({.in_flight_max = 1, .skips_poison = skips});
  bench.store(Priority::normal, {1, 101});
  for (int i = 0; i < 5; ++i) end_after_status(bench, 0x8B);  // it shuts down
  bench.up();                                                 // nothing was acknowledged
  end(bench, 0x82);
  for (int i = 0; i < 2; ++i) end_after_status(bench, 0x82);
  CHECK(bench.take().find("park") == std::string::npos);
  end_after_status(bench, 0x82);
  const std::string said = bench.take();
  CHECK(said.find("park1@1 ") != std::string::npos);
  CHECK((said.find("refuse1 ") != std::string::npos) == skips);
  CHECK(bench.count(Report::Kind::stream_parked) == (skips ? 0 : 1));
  CHECK(bench.count(Report::Kind::batch_lost) == (skips ? 1 : 0));
  bench.up();
  bench.acknowledge(bench.status_message);
  CHECK(bench.take().find("row101 ") != std::string::npos);
}

TEST_CASE("a batch that connections break with is split, then parked, and never lost") {
  Bench bench({.in_flight_max = 1, .status_every_us = 1'000'000 * second, .skips_poison = true});
  bench.store(Priority::normal, {1, 101});
  bench.part_bytes = 10'000;
  for (int i = 0; i < 3; ++i) {
    end_after_status(bench, 0);
    CHECK(bench.encoded.split_bytes > 10'000);
  }
  bench.part_events = 5;
  bench.part_bytes = 5'000;
  end_after_status(bench, 0);
  CHECK(bench.encoded.split_bytes == 5'000);
  SECTION("it passes when it is smaller, and what follows is as small") {
    bench.up();
    bench.acknowledge(bench.status_message);
    bench.take();
    bench.acknowledge(bench.last_message);
    CHECK(bench.take() == "ack1 row101 ");
    CHECK(bench.encoded.split_bytes == 2'500);
    SECTION("for an hour, and then for two if it has to be found out again") {
      bench.part_bytes = 10'000;
      const auto after = [&](std::int64_t time_us) {
        bench.acknowledge(bench.last_message);
        bench.pass(time_us);
        bench.store(Priority::normal, {bench.stored[1].back() + 1});
        return bench.encoded.split_bytes;
      };
      CHECK(after(3'500 * second) == 2'500);
      CHECK(after(200 * second) > 10'000);
      for (int i = 0; i < 3; ++i) end_after_status(bench, 0);
      bench.up();
      CHECK(bench.encoded.split_bytes == 5'000);
      bench.acknowledge(bench.status_message);
      CHECK(after(7'000 * second) == 5'000);
      CHECK(after(300 * second) > 10'000);
    }
  }
  SECTION("one that is small breaks it: its stream waits, and size was not the reason") {
    if (GENERATE(false, true)) {
      bench.part_events = 1;
    } else {
      bench.part_bytes = 2'048;
    }
    end_after_status(bench, 0);
    CHECK(bench.take().find("park") == std::string::npos);
    end_after_status(bench, 0);
    const std::string said = bench.take();
    CHECK(said.find("park1@1 ") != std::string::npos);
    CHECK(said.find("refuse") == std::string::npos);
    CHECK(bench.count(Report::Kind::stream_parked) == 1);
    bench.up();
    bench.acknowledge(bench.status_message);
    CHECK(bench.take().find("row101 ") != std::string::npos);
    CHECK(bench.encoded.split_bytes > 1'000);
  }
}

TEST_CASE("a batch that ends connections is found while another class goes on") {
  const std::uint8_t reason = GENERATE(std::uint8_t{0}, std::uint8_t{0x95});
  Bench bench({.status_every_us = 1'000'000 * second});
  bench.store(Priority::normal, {1, 2});
  bench.part_bytes = 10'000;
  std::uint64_t next = 1'000;
  int connections = 0;
  for (; connections < 12 && bench.encoded.split_bytes != 5'000; ++connections) {
    bench.store(Priority::high, {next++});
    bench.up();
    const std::uint64_t first = bench.status_message;
    bench.acknowledge(first);
    bench.acknowledge(first + 1);  // the one of the class high, which goes first
    end(bench, reason);
  }
  CHECK(connections <= 8);
  CHECK(bench.count(Report::Kind::lost) == connections);
  for (const Report& report : bench.reports) {
    if (report.kind == Report::Kind::lost) CHECK(report.value <= 1);
  }
}

TEST_CASE("a broker that ends the connection because of a size gets smaller messages") {
  Bench bench;
  bench.store(Priority::normal, {1, 2, 3});
  bench.up();
  bench.acknowledge(bench.status_message);
  CHECK(bench.take() == "connect online row1 row2 row3 ");
  end(bench, 0x95);  // one of three
  bench.up();
  CHECK(bench.take() == "drop connect online ");
  bench.acknowledge(bench.status_message);
  CHECK(bench.take() == "row1 ");
  bench.acknowledge(bench.last_message);
  CHECK(bench.take() == "ack1 row2 row3 ");
  CHECK(bench.encoded.split_bytes > 1'000);
  end(bench, 0x95);
  bench.up();
  bench.acknowledge(bench.status_message);
  end(bench, 0x95);  // row 2, alone
  CHECK(bench.count(Report::Kind::batch_refused) == 1);
  bench.part_events = 1;
  bench.up();
  CHECK(bench.encoded.split_bytes == 500);
  bench.acknowledge(bench.status_message);
  end(bench, 0x95);
  bench.up();
  CHECK(bench.encoded.packet_bytes_max == 999);
  bench.take();
  bench.acknowledge(bench.status_message);
  bench.acknowledge(bench.last_message);
  CHECK(bench.take().find("ack2 row3 ") != std::string::npos);
  CHECK(bench.count(Report::Kind::stream_parked) == 0);
}

TEST_CASE("an event too large for this broker waits for one that may take it") {
  BrainSettings settings;
  settings.brokers.count = 2;
  Bench bench(settings);
  bench.part_bytes = 5'000;
  bench.store(Priority::normal, {1, 101});
  bench.parked[1] = {{1, 100, 10, 1, 10, 20}};
  bench.parked[2] = {{101, 100, 10, 2, 1'010, 1'020}};
  bench.unparks = false;
  bench.up(20, 2'000);
  const std::string said = bench.take();
  CHECK(said.find("park1@1 ") != std::string::npos);
  CHECK(said.find("park2@") != std::string::npos);
  CHECK(said.find("row") == std::string::npos);
  CHECK(bench.count(Report::Kind::stream_parked) == 2);
  CHECK(bench.encoded.elsewhere_bytes_max > 1'000'000);
  SECTION("it is tried again from time to time, and does not go there") {
    bench.acknowledge(bench.status_message);
    for (int i = 0; i < 100; ++i) bench.pass(10 * second);
    CHECK(bench.take().find("row") == std::string::npos);
    CHECK(bench.count(Report::Kind::stream_parked) == 2);
  }
  SECTION("the other one takes it") {
    bench.tell(LinkDown{bench.connection, Stage::up, false});
    for (int i = 0; bench.broker == 0 && i < 60; ++i) {
      bench.pass(second);
      if (bench.broker == 0) bench.tell(LinkDown{bench.connection, Stage::connect, false});
    }
    REQUIRE(bench.broker == 1);
    bench.up(20, 6'000);
    bench.acknowledge(bench.status_message);
    bench.pass(second);
    const std::string sent = bench.take();
    INFO(sent);
    CHECK(sent.find("row1 ") != std::string::npos);
    CHECK(bench.encoded.elsewhere_bytes_max == 2'000);
  }
}

TEST_CASE("streams that the store knows as parked are tried first, and anew at another broker") {
  Bench bench;
  bench.parked[3] = {{7, 100, 10, 3}};
  bench.tell(StoreChanged{2, {3}});
  bench.up();
  CHECK(bench.take() == "connect online row7 ");
  bench.acknowledge(bench.status_message);
  bench.acknowledge(bench.last_message, 0x87);
  CHECK(bench.count(Report::Kind::stream_parked) == 1);
  CHECK(bench.take().empty());
}
