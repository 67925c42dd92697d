// The thread around it: who blocks, who is released, and what is durable when.
#include "agent/pipeline/intake.hpp"

#include <poll.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <condition_variable>
#include <thread>

#include "tests/agent/pipeline/recording_store.hpp"

using namespace penstock;
using namespace penstock::pipeline;
using connectors::Chunk;
using tests::RecordingStore;
using namespace std::chrono_literals;

namespace {

IntakeOptions quick() {
  IntakeOptions options;
  options.device = "gw-7";
  options.boot = "b1d4c7e2";
  options.commit_every = 0s;
  return options;
}

SourceOptions source(const std::string& name, bool is_rereadable = false) {
  SourceOptions options;
  options.name = name;
  options.type = "test";
  options.is_rereadable = is_rereadable;
  if (is_rereadable) options.when_full = buffer::WhenFull::block;
  return options;
}

void fill(Chunk& chunk, int events, const std::string& position = "p") {
  for (int i = 0; i < events; ++i) chunk.add(1, "", {{"n", std::int64_t{i}}});
  chunk.position("", position);
}

/// Holds commits until it is opened.
class Gate {
 public:
  void pass() {
    std::unique_lock lock(mutex_);
    ++arrived_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return is_open_; });
  }
  bool wait_for_arrival() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 60s, [&] { return arrived_ > 0; });
  }
  void open() {
    const std::lock_guard lock(mutex_);
    is_open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;  // guards: all below
  std::condition_variable changed_;
  int arrived_ = 0;
  bool is_open_ = false;
};

template <typename Condition>
bool eventually(Condition condition) {
  const auto end = std::chrono::steady_clock::now() + 60s;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

}  // namespace

TEST_CASE("after flush everything pushed is durable, and the position is there", "[intake]") {
  RecordingStore store;
  store.preset_position(std::string("test\0app", 8), "", "before");
  IntakeOptions options = quick();
  options.commit_every = 1h;  // only a flush brings a second commit
  Intake intake(options, store);
  auto session = intake.open_session(source("app")).value();
  CHECK(session->resume_from("") == "before");
  CHECK(session->known_parts() == std::vector<std::string>{""});
  CHECK(session->flush().ok());
  intake.start();
  Chunk chunk;
  for (int i = 1; i <= 20; ++i) {
    fill(chunk, 2, std::to_string(i));
    REQUIRE(session->push(chunk).ok());
    CHECK(chunk.is_empty());
    REQUIRE(session->flush().ok());
    CHECK(session->resume_from("") == std::to_string(i));
  }
  CHECK(session->stats().events == 40);
  CHECK(intake.stop().ok());
  CHECK(store.problem().empty());
  CHECK(intake.stats().events == 40);
  CHECK(intake.stop().ok());
}

TEST_CASE("a damaged position is told as a loss of unknown size, before anything else",
          "[intake]") {
  RecordingStore store;
  store.set_damaged_positions(2);
  Intake intake(quick(), store);
  auto session = intake.open_session(source("app")).value();
  Chunk chunk;
  fill(chunk, 3);
  REQUIRE(session->push(chunk).ok());
  intake.start();
  REQUIRE(intake.stop().ok());
  std::vector<buffer::NewRow> rows;
  for (const auto& commit : store.commits()) {
    for (const auto& seen : commit.rows) {
      if (seen.stream == "app") rows.push_back(seen.row);
    }
  }
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].kind == buffer::RowKind::loss);
  CHECK_FALSE(rows[0].loss_is_exact);
  CHECK(rows[0].loss_reason == static_cast<std::uint8_t>(LossReason::corrupt));
  CHECK(rows[1].seq == 1);
  const auto told = store.values("_agent");
  REQUIRE(told.size() == 1);
  CHECK_THAT(told[0], Catch::Contains(R"("event":"position_damaged","name":"app","positions":2)"));
}

TEST_CASE("stop stores what is queued; later pushes are not taken", "[intake]") {
  RecordingStore store;
  IntakeOptions options = quick();
  options.commit_every = 1h;
  Intake intake(options, store);
  auto session = intake.open_session(source("app")).value();
  Chunk chunk;
  fill(chunk, 3);
  REQUIRE(session->push(chunk).ok());
  intake.agent_events().emit("stop");
  intake.start();
  REQUIRE(intake.stop().ok());
  CHECK(session->resume_from("") == "p");
  std::uint64_t rows = 0;
  for (const auto& commit : store.commits()) rows += commit.rows.size();
  CHECK(rows == 2);
  fill(chunk, 1);
  CHECK(session->push(chunk).error().code == Errc::stopped);
  CHECK(chunk.events().size() == 1);
}

TEST_CASE("a full queue blocks push until there is room", "[intake]") {
  RecordingStore store;
  Gate gate;
  store.before_commit = [&] { gate.pass(); };
  IntakeOptions options = quick();
  options.queue_bytes_max = 1;  // a chunk at a time
  Intake intake(options, store);
  auto session = intake.open_session(source("app")).value();
  auto other = intake.open_session(source("other")).value();
  intake.start();
  Chunk chunk;
  fill(chunk, 1);
  REQUIRE(session->push(chunk).ok());
  REQUIRE(gate.wait_for_arrival());
  fill(chunk, 1);
  REQUIRE(session->push(chunk).ok());
  std::atomic<bool> is_pushed{false};
  std::atomic<bool> is_ok{false};
  std::thread pusher([&] {
    Chunk third;
    fill(third, 1);
    is_ok = session->push(third).ok();
    is_pushed = true;
  });
  CHECK(eventually([&] { return session->stats().is_waiting; }));
  CHECK_FALSE(is_pushed);
  // A connector that waits does not hold up another.
  fill(chunk, 1);
  CHECK(other->push(chunk).ok());
  gate.open();
  pusher.join();
  CHECK(is_ok);
  CHECK(intake.stop().ok());
  CHECK(intake.stats().events == 4);
}

TEST_CASE("stop releases a blocked push, and the chunk is as it was", "[intake]") {
  RecordingStore store;
  store.set_nearly_full(true);
  IntakeOptions options = quick();
  options.queue_bytes_max = 1;
  Intake intake(options, store);
  auto session = intake.open_session(source("file", true)).value();
  intake.start();
  Chunk chunk;
  fill(chunk, 1);
  REQUIRE(session->push(chunk).ok());
  Errc code = Errc::full;
  Chunk refused;
  fill(refused, 7, "p7");
  std::thread pusher([&] {
    const auto pushed = session->push(refused);
    if (!pushed.ok()) code = pushed.error().code;
  });
  CHECK(eventually([&] { return session->stats().is_waiting; }));
  session->request_stop();
  pusher.join();
  CHECK(code == Errc::stopped);
  CHECK(refused.events().size() == 7);
  CHECK(refused.positions()[0].bytes == "p7");
  CHECK(session->flush().error().code == Errc::stopped);
  CHECK(session->settle().error().code == Errc::stopped);
  CHECK(intake.stop().ok());
  CHECK(store.values("file").empty());
}

TEST_CASE("a blocked push of what is nowhere else is taken at the stop", "[intake]") {
  RecordingStore store;
  store.set_nearly_full(true);
  IntakeOptions options = quick();
  options.queue_bytes_max = 1;
  Intake intake(options, store);
  SourceOptions udp = source("udp");
  udp.when_full = buffer::WhenFull::block;
  auto session = intake.open_session(udp).value();
  intake.start();
  Chunk chunk;
  fill(chunk, 1);
  REQUIRE(session->push(chunk).ok());
  bool is_taken = false;
  std::thread pusher([&] {
    Chunk in_hand;
    fill(in_hand, 7);
    is_taken = session->push(in_hand).ok();
  });
  CHECK(eventually([&] { return session->stats().is_waiting; }));
  session->request_stop();
  pusher.join();
  CHECK(is_taken);
  fill(chunk, 1);
  CHECK(session->push(chunk).error().code == Errc::stopped);
  CHECK(intake.stop().ok());
  CHECK(session->flush().ok());
  CHECK(store.values("udp").size() == 1);
}

TEST_CASE("after stop one chunk in hand is still taken", "[intake]") {
  RecordingStore store;
  Intake intake(quick(), store);
  auto session = intake.open_session(source("app")).value();
  pollfd wait{session->stop_fd(), POLLIN, 0};
  CHECK(::poll(&wait, 1, 0) == 0);
  session->request_stop();
  session->request_stop();
  CHECK(::poll(&wait, 1, 0) == 1);
  CHECK(session->stop_token().stop_requested());
  CHECK_FALSE(session->sleep_for(1h));
  Chunk chunk;
  CHECK(session->push(chunk).ok());
  fill(chunk, 1);
  CHECK(session->push(chunk).ok());
  fill(chunk, 1);
  CHECK(session->push(chunk).error().code == Errc::stopped);
}

TEST_CASE("stop ends a sleep and a flush that wait", "[intake]") {
  RecordingStore store;
  store.set_nearly_full(true);
  Intake intake(quick(), store);
  auto session = intake.open_session(source("file", true)).value();
  intake.start();
  CHECK(session->sleep_for(1us));
  Chunk chunk;
  fill(chunk, 1);
  REQUIRE(session->push(chunk).ok());
  const bool is_flush = GENERATE(true, false);
  std::atomic<bool> is_begun{false};
  bool is_ended_by_stop = false;
  std::thread connector([&] {
    is_begun = true;
    is_ended_by_stop =
        is_flush ? session->flush().error().code == Errc::stopped : !session->sleep_for(24h * 9999);
  });
  CHECK(eventually([&] { return is_begun.load(); }));
  session->request_stop();
  connector.join();
  CHECK(is_ended_by_stop);
}

TEST_CASE("flushes that wait together share a commit", "[intake]") {
  RecordingStore store;
  Gate gate;
  store.before_commit = [&] { gate.pass(); };
  Intake intake(quick(), store);
  constexpr int count = 8;
  std::vector<std::unique_ptr<ConnectorSession>> sessions;
  for (int i = 0; i <= count; ++i) {
    sessions.push_back(intake.open_session(source("c" + std::to_string(i))).value());
  }
  intake.start();
  Chunk chunk;
  fill(chunk, 1);
  REQUIRE(sessions[count]->push(chunk).ok());
  REQUIRE(gate.wait_for_arrival());  // a commit of another is under way
  std::atomic<int> begun{0};
  std::atomic<int> durable{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) {
    threads.emplace_back([&, i] {
      Chunk own;
      fill(own, 1);
      if (!sessions[static_cast<std::size_t>(i)]->push(own).ok()) return;
      ++begun;
      if (sessions[static_cast<std::size_t>(i)]->flush().ok()) ++durable;
    });
  }
  CHECK(eventually([&] { return begun == count; }));
  gate.open();
  for (auto& thread : threads) thread.join();
  CHECK(durable == count);
  CHECK(intake.stop().ok());
  CHECK(store.commits().size() == 2);
}

TEST_CASE("many connectors at once: every number once, every position with its events",
          "[intake]") {
  RecordingStore store;
  IntakeOptions options = quick();
  options.commit_bytes = 20'000;
  options.queue_bytes_max = 4096;
  Intake intake(options, store);
  constexpr int connectors_count = 6;
  constexpr int chunks = 60;
  std::vector<std::unique_ptr<ConnectorSession>> sessions;
  for (int i = 0; i < connectors_count; ++i) {
    sessions.push_back(intake.open_session(source("c" + std::to_string(i))).value());
  }
  intake.start();
  std::atomic<int> failures{0};
  std::vector<std::thread> threads;
  for (auto& session : sessions) {
    threads.emplace_back([&failures, &session, &intake] {
      Chunk chunk;
      for (int i = 0; i < chunks; ++i) {
        fill(chunk, 10, std::to_string((i + 1) * 10));
        if (!session->push(chunk).ok()) ++failures;
        if (i % 20 == 0 && !session->flush().ok()) ++failures;
        intake.agent_events().emit("tick");
        session->stats();
        intake.stats();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  sessions.pop_back();  // its chunks are stored all the same
  CHECK(intake.stop().ok());
  CHECK(failures == 0);
  CHECK(store.problem().empty());
  std::map<std::string, std::uint64_t> next;
  for (const auto& commit : store.commits()) {
    for (const auto& seen : commit.rows) next[seen.stream] = seen.row.seq + seen.row.count;
    for (int i = 0; i < connectors_count; ++i) {
      const std::string name = "c" + std::to_string(i);
      const auto position = commit.positions.find("test/" + name + "|");
      if (position != commit.positions.end()) {
        CHECK(position->second == std::to_string(next[name]));
      }
    }
  }
  for (int i = 0; i < connectors_count; ++i) CHECK(next["c" + std::to_string(i)] == 600);
  CHECK(next["_agent"] == connectors_count * chunks);
}

TEST_CASE("a session is opened once, and not without its positions", "[intake]") {
  RecordingStore store;
  Intake intake(quick(), store);
  auto session = intake.open_session(source("app")).value();
  CHECK(intake.open_session(source("app")).error().code == Errc::invalid);
  session.reset();
  store.set_open_fails(true);
  CHECK(intake.open_session(source("app")).error().code == Errc::unavailable);
  store.set_open_fails(false);
  CHECK(intake.open_session(source("app")).ok());
}
