// The last commits of a collector: what a source pushed that cannot give it again is stored, or is
// told as lost. Else a clean stop loses events without a word.
#include "tests/agent/pipeline/collector_fixture.hpp"
#include "tests/support/captured_log.hpp"

namespace penstock::pipeline {
namespace {

using namespace std::chrono_literals;
using connectors::Chunk;
using tests::Shape;
using Fixture = tests::CollectorFixture;

SourceOptions pushed_source(const std::string& name) {
  SourceOptions options;
  options.name = name;
  options.type = "test";
  options.when_full = buffer::WhenFull::block;
  return options;
}

void push_loss(Fixture& f, Source& source, std::uint64_t count) {
  Chunk chunk;
  chunk.lost("", count, LossReason::source);
  REQUIRE(f.inbox->push(source, chunk).ok());
}

}  // namespace

TEST_CASE("finish stores what is held back of sources that cannot give it again",
          "[collector][finish]") {
  Fixture f;
  SourceOptions options = pushed_source("udp");
  const bool has_share = GENERATE(false, true);
  if (has_share) {
    options.share_bytes_max = 1000;
    f.store.set_group_bytes(1000);
  }
  Source& udp = *f.inbox->open(options).value();
  if (has_share) {
    udp.stored_bytes = 1000;
  } else {
    f.store.set_nearly_full(true);
  }
  Source& file = f.open("file", true);
  f.push(udp, 2);
  push_loss(f, udp, 7);
  f.push(udp, 1);
  if (!has_share) f.push(file, 4);
  f.run(5s);
  CHECK(f.inbox->stats(udp).queued_chunks == 3);
  CHECK(f.collector->finish(1, 0ms).ok());
  CHECK(f.inbox->stats(udp).queued_chunks == 0);
  CHECK(f.inbox->stats(file).queued_chunks == (has_share ? 0 : 1));
  CHECK(f.shapes().back() == Shape{"udp:0+2", "!udp:2+7", "udp:9+1"});
  CHECK(f.store.problem().empty());
}

TEST_CASE("what finds no room in the end is told as lost, one record a stream",
          "[collector][finish]") {
  tests::CapturedLog log;
  Fixture f;
  Source& udp = *f.inbox->open(pushed_source("udp")).value();
  Source& http = *f.inbox->open(pushed_source("http")).value();
  Source& file = f.open("file", true);
  f.push(udp, 600);  // two batches
  f.push(http, 1);
  f.push(file, 3);
  const bool is_put_off_before = GENERATE(true, false);
  INFO("put off before: " << is_put_off_before);
  if (is_put_off_before) {
    f.store.fail_next({Errc::full});
    f.run(20ms);
    REQUIRE(f.store.attempts() == 1);
    f.push(udp, 5);  // waits in the queue
    f.push(file, 1);
  }
  // The agent's own events are stored, all else is refused.
  f.store.refuse_batches_of({"udp", "http", "file"});
  CHECK(f.collector->finish(3, 0ms).ok());
  CHECK(f.store.problem().empty());
  std::vector<std::string> losses;
  for (const auto& commit : f.store.commits()) {
    for (const auto& seen : commit.rows) {
      if (seen.stream == "_agent") continue;
      CHECK(seen.row.kind == buffer::RowKind::loss);
      CHECK(seen.row.loss_reason == static_cast<std::uint8_t>(LossReason::buffer_full));
      CHECK(seen.row.loss_is_exact);
      CHECK(seen.row.time_unix_us != 0);
      losses.push_back(seen.stream + ":" + std::to_string(seen.row.seq) + "+" +
                       std::to_string(seen.row.count));
    }
  }
  std::sort(losses.begin(), losses.end());
  if (is_put_off_before) {
    CHECK(losses == std::vector<std::string>{"http:0+1", "udp:0+600", "udp:600+5"});
  } else {
    CHECK(losses == std::vector<std::string>{"http:0+1", "udp:0+600"});
  }
  CHECK(log.text().find("event=events_lost") != std::string::npos);
  CHECK_FALSE(f.inbox->position(file, ""));
}

TEST_CASE("a loss that the source told stands in its place between those for want of room",
          "[collector][finish]") {
  Fixture f;
  Source& udp = *f.inbox->open(pushed_source("udp")).value();
  f.push(udp, 2);
  push_loss(f, udp, 7);
  f.push(udp, 1);
  f.store.refuse_batches_of({"udp"});
  CHECK(f.collector->finish(2, 0ms).ok());
  std::vector<std::string> losses;
  for (const auto& commit : f.store.commits()) {
    for (const std::string& row : commit.shape()) {
      if (row.find("udp") != std::string::npos) losses.push_back(row);
    }
  }
  CHECK(losses == std::vector<std::string>{"!udp:0+2", "!udp:2+7", "!udp:9+1"});
  CHECK(f.store.problem().empty());
}

}  // namespace penstock::pipeline
