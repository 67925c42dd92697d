// Batches hold at most so many events and bytes, and every number is given once.
#include "agent/pipeline/batcher.hpp"

#include <catch2/catch.hpp>

using namespace penstock;
using namespace penstock::pipeline;
using buffer::RowKind;

namespace {

struct SeenRow {
  std::uint32_t stream_id;
  std::uint64_t seq;
  std::uint32_t count;
  std::string value;
  bool operator==(const SeenRow&) const = default;
};

std::ostream& operator<<(std::ostream& out, const SeenRow& row) {
  return out << "{" << row.stream_id << ", " << row.seq << ", " << row.count << ", " << row.value
             << "}";
}

std::vector<SeenRow> sealed(Batcher& batcher) {
  std::vector<SeenRow> seen;
  for (const buffer::NewRow& row : batcher.seal_all()) {
    seen.push_back({row.stream_id, row.seq, row.count,
                    row.kind == RowKind::loss ? "loss" : std::string(row.value)});
  }
  return seen;
}

Batcher::StreamIndex add_stream(Batcher& batcher, std::uint32_t id, std::uint64_t next_seq) {
  buffer::StreamState state;
  state.id = id;
  state.next_seq = next_seq;
  return batcher.add_stream(state, EventHead("d", "s", "e"));
}

void add_event(Batcher& batcher, Batcher::StreamIndex stream, std::string_view text) {
  batcher.begin_event(stream) += text;
  batcher.end_event(stream);
}

}  // namespace

TEST_CASE("a batch is an array, numbered from the stream's next", "[batcher]") {
  Batcher batcher({.events_max = 500, .bytes_max = 1000});
  const auto a = add_stream(batcher, 11, 40);
  const auto b = add_stream(batcher, 12, 0);
  CHECK(batcher.is_empty());
  add_event(batcher, b, "{1}");
  add_event(batcher, a, "{2}");
  add_event(batcher, b, "{3}");
  CHECK_FALSE(batcher.is_empty());
  CHECK(batcher.next_seq(a) == 41);
  CHECK(sealed(batcher) == std::vector<SeenRow>{{12, 0, 2, "[{1},{3}]"}, {11, 40, 1, "[{2}]"}});
  CHECK(sealed(batcher) == std::vector<SeenRow>{{12, 0, 2, "[{1},{3}]"}, {11, 40, 1, "[{2}]"}});
  batcher.clear();
  CHECK(batcher.is_empty());
  CHECK(batcher.bytes() == 0);
  add_event(batcher, b, "{4}");
  CHECK(sealed(batcher) == std::vector<SeenRow>{{12, 2, 1, "[{4}]"}});
}

TEST_CASE("a batch is sealed at its number of events", "[batcher]") {
  Batcher batcher({.events_max = 2, .bytes_max = 1000});
  const auto s = add_stream(batcher, 1, 0);
  for (int i = 0; i < 5; ++i) add_event(batcher, s, "{}");
  CHECK(sealed(batcher) ==
        std::vector<SeenRow>{{1, 0, 2, "[{},{}]"}, {1, 2, 2, "[{},{}]"}, {1, 4, 1, "[{}]"}});
  CHECK(batcher.event_count() == 5);
}

TEST_CASE("a batch is sealed before it would pass its bytes", "[batcher]") {
  // "[{22},{22}]" is 11 bytes.
  const auto bytes_max = GENERATE(as<std::size_t>{}, 10, 11, 12);
  Batcher batcher({.events_max = 500, .bytes_max = bytes_max});
  const auto s = add_stream(batcher, 1, 0);
  for (int i = 0; i < 3; ++i) add_event(batcher, s, "{22}");
  if (bytes_max == 10) {
    CHECK(sealed(batcher) ==
          std::vector<SeenRow>{{1, 0, 1, "[{22}]"}, {1, 1, 1, "[{22}]"}, {1, 2, 1, "[{22}]"}});
  } else {
    CHECK(sealed(batcher) == std::vector<SeenRow>{{1, 0, 2, "[{22},{22}]"}, {1, 2, 1, "[{22}]"}});
  }
}

TEST_CASE("an event that alone passes the bytes is a batch of its own", "[batcher]") {
  Batcher batcher({.events_max = 500, .bytes_max = 8});
  const auto s = add_stream(batcher, 1, 0);
  add_event(batcher, s, "{1}");
  add_event(batcher, s, "{123456789}");
  add_event(batcher, s, "{2}");
  CHECK(sealed(batcher) ==
        std::vector<SeenRow>{{1, 0, 1, "[{1}]"}, {1, 1, 1, "[{123456789}]"}, {1, 2, 1, "[{2}]"}});
}

TEST_CASE("a loss stands in its place", "[batcher]") {
  Batcher batcher({.events_max = 500, .bytes_max = 1000});
  const auto s = add_stream(batcher, 1, 5);
  add_event(batcher, s, "{1}");
  batcher.add_loss(s, {.count = 10, .reason = LossReason::source, .is_exact = false});
  batcher.add_loss(s, {.count = 2, .reason = LossReason::expired, .time_unix_us = 77});
  add_event(batcher, s, "{2}");
  const auto rows = batcher.seal_all();
  REQUIRE(rows.size() == 4);
  CHECK(rows[0].value == "[{1}]");
  CHECK(rows[1].kind == RowKind::loss);
  CHECK(rows[1].seq == 6);
  CHECK(rows[1].count == 10);
  CHECK_FALSE(rows[1].loss_is_exact);
  CHECK(rows[1].loss_reason == static_cast<std::uint8_t>(LossReason::source));
  CHECK(rows[2].seq == 16);
  CHECK(rows[2].time_unix_us == 77);
  CHECK(rows[2].loss_reason == static_cast<std::uint8_t>(LossReason::expired));
  CHECK(rows[3].seq == 18);
  CHECK(rows[3].value == "[{2}]");
}

TEST_CASE("once warm, batches take memory that is already there", "[batcher]") {
  Batcher batcher({.events_max = 500, .bytes_max = 1000});
  const auto s = add_stream(batcher, 1, 0);
  const std::string event(400, 'x');
  std::vector<const char*> places;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 6; ++i) add_event(batcher, s, event);
    std::vector<const char*> now;
    for (const auto& row : batcher.seal_all()) now.push_back(row.value.data());
    std::sort(now.begin(), now.end());
    if (round == 2) CHECK(now == places);
    places = now;
    batcher.clear();
  }
}
