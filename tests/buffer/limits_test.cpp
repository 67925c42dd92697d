// Limits: shares, policies, ages, accounts, and how little a long overflow takes.
#include <catch2/catch.hpp>
#include <chrono>

#include "config/agent_config.hpp"
#include "tests/buffer/store_fixture.hpp"

using namespace penstock;
using namespace penstock::buffer;
using namespace penstock::tests;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t row_bytes = 50'000;
constexpr auto full_reason = static_cast<std::uint8_t>(LossReason::buffer_full);
constexpr auto expired_reason = static_cast<std::uint8_t>(LossReason::expired);

struct LimitsFixture : StoreFixture {
  LimitsFixture() { options.max_size = 2 << 20; }

  StreamState keep(std::string_view name, const GroupPolicy& policy) {
    store->set_policy(name.substr(0, name.find('/')), policy);
    return stream(name, policy.priority, policy.when_full);
  }
  CommitReport add(StreamState& to, int rows = 1) {
    CommitReport sum;
    for (int i = 0; i < rows; ++i) {
      const auto done = commit(Request().batch(to, 10, noise(row_bytes, to.next_seq)));
      sum.dropped_rows += done.dropped_rows;
      sum.expired_rows += done.expired_rows;
    }
    return sum;
  }
  StreamStats stats_of(std::string_view name) {
    const auto all = store->stream_stats();
    for (const StreamStats& one : *all) {
      if (one.name == name) return one;
    }
    return {};
  }
  GroupStats group_of(std::string_view name) {
    for (const GroupStats& one : store->group_stats()) {
      if (one.name == name) return one;
    }
    return {};
  }
  void check_sound() {
    const auto verified = store->verify({});
    REQUIRE(verified.ok());
    CHECK(verified->problems == std::vector<std::string>{});
  }
};

}  // namespace

TEST_CASE_METHOD(LimitsFixture, "as many streams as may be leave most of a buffer to rows") {
  open();
  const std::uint64_t before = store->stats().live_bytes;
  const std::uint32_t count = config::streams_max_of(options.max_size);
  CHECK(count == 1024);
  const std::string longest(64, 'c');
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::string number = std::to_string(i);
    StreamState one = stream(longest + "/" + number + std::string(128 - number.size(), 'p'));
    commit(Request().batch(one, 1, "[{}]"));
  }
  store->acknowledge(store->generation(), Priority::normal, store->durable_id());
  for (int i = 0; i < 3; ++i) commit(Request());
  REQUIRE(store->stats().rows == 0);
  CHECK(store->stats().live_bytes - before < options.max_size / 6);
}

TEST_CASE_METHOD(LimitsFixture, "room that is to stay free is left to others") {
  options.keep_free = std::uint64_t{1} << 60;
  open();
  StreamState app = stream("app");
  add(app);
  StreamState refused = app;
  Request more;
  more.batch(refused, 10, noise(row_bytes, 2));
  const auto done = store->commit(more.request());
  REQUIRE_FALSE(done.ok());
  CHECK(done.error().code == Errc::full);
  CHECK(store->is_nearly_full());
  store.reset();
  options.keep_free = 0;
  open();
  CHECK_FALSE(store->is_nearly_full());
  app = stream("app");
  add(app);
}

TEST_CASE_METHOD(LimitsFixture, "a stream that drops its newest keeps what is stored") {
  open();
  StreamState udp = keep("udp", {Priority::normal, WhenFull::drop_newest, 0});
  const std::uint64_t dropped = add(udp, 60).dropped_rows;
  REQUIRE(dropped > 15);
  const auto present = rows();
  REQUIRE(present.size() == 61 - dropped);
  for (std::size_t i = 0; i + 1 < present.size(); ++i) CHECK(present[i].kind == RowKind::batch);
  // All that found no room is one loss row behind it.
  CHECK(present.back().kind == RowKind::loss);
  CHECK(present.back().loss_reason == full_reason);
  CHECK(present.back().key.count == dropped * 10);
  CHECK(present.back().key.seq + present.back().key.count == udp.next_seq);
  CHECK(stats_of("udp").dropped_events == dropped * 10);
  store->acknowledge(store->generation(), Priority::normal, present[10].key.id);
  CHECK(add(udp).dropped_rows == 0);
  CHECK(rows().back().kind == RowKind::batch);
  check_sound();
}

TEST_CASE_METHOD(LimitsFixture, "one that drops its newest takes the room of lower classes only") {
  open();
  StreamState low = keep("low", {Priority::low, WhenFull::drop_oldest, 0});
  StreamState same = keep("same", {Priority::normal, WhenFull::drop_oldest, 0});
  StreamState newest = keep("newest", {Priority::normal, WhenFull::drop_newest, 0});
  add(same, 10);
  add(low, 25);
  add(newest, 20);
  CHECK(rows(Priority::low).front().kind == RowKind::loss);
  CHECK(stats_of("newest").dropped_events == 0);
  add(newest, 20);
  CHECK(stats_of("newest").dropped_events > 0);
  CHECK(stats_of("same").dropped_events == 0);
  check_sound();
}

TEST_CASE_METHOD(LimitsFixture, "a share is kept by all streams of a group, at its own expense") {
  open();
  constexpr std::uint64_t share = 400'000;
  StreamState other = keep("other", {Priority::low, WhenFull::drop_oldest, 0});
  add(other, 3);
  SECTION("its oldest go") {
    StreamState a = keep("udp/a", {Priority::normal, WhenFull::drop_oldest, share});
    StreamState b = keep("udp/b", {Priority::normal, WhenFull::drop_oldest, share});
    for (int i = 0; i < 10; ++i) {
      add(a);
      add(b);
    }
    CHECK(stats_of("udp/a").first_seq == 0);
    CHECK(rows().front().kind == RowKind::loss);
    CHECK(rows().back().kind == RowKind::batch);
    CHECK(stats_of("udp/a").dropped_events > 0);
    CHECK(stats_of("udp/b").dropped_events > 0);
  }
  SECTION("its newest go") {
    StreamState a = keep("udp/a", {Priority::normal, WhenFull::drop_newest, share});
    StreamState b = keep("udp/b", {Priority::normal, WhenFull::drop_newest, share});
    add(a, 10);
    add(b, 10);
    CHECK(rows().front().kind == RowKind::batch);
    CHECK(rows().back().kind == RowKind::loss);
    CHECK(stats_of("udp/b").dropped_events == 100);
  }
  SECTION("one that waits is not refused here") {
    StreamState a = keep("udp/a", {Priority::normal, WhenFull::block, share});
    CHECK(add(a, 10).dropped_rows == 0);
    CHECK(store->group_bytes("udp") > share);
    return;
  }
  CHECK(store->group_bytes("udp") <= share);
  CHECK(store->group_bytes("udp") > share - 2 * row_bytes);
  CHECK(group_of("udp").streams == 2);
  CHECK(group_of("udp").share_bytes_max == share);
  CHECK(group_of("udp").bytes == store->group_bytes("udp"));
  CHECK(stats_of("other").dropped_events == 0);
  check_sound();
}

TEST_CASE_METHOD(LimitsFixture, "rows of an earlier run can be dropped before they are opened") {
  open();
  StreamState old = keep("udp/old", {Priority::normal, WhenFull::drop_oldest, 0});
  add(old, 36);
  store->close();
  open();
  StreamState fresh = keep("udp/fresh", {Priority::normal, WhenFull::drop_oldest, 0});
  CHECK(add(fresh, 10).dropped_rows > 0);
  CHECK(stats_of("udp/old").dropped_events > 0);
  CHECK(stats_of("udp/fresh").dropped_events == 0);
}

TEST_CASE_METHOD(LimitsFixture, "accounts outlive the process, however it ends") {
  open();
  StreamState udp = keep("udp/a", {Priority::normal, WhenFull::drop_oldest, 300'000});
  add(udp, 12);
  store->acknowledge(store->generation(), Priority::normal, rows()[1].key.id);
  add(udp, 1);
  const StreamStats before = stats_of("udp/a");
  CHECK(before.rows == rows().size());
  CHECK(before.first_seq == rows().front().key.seq);
  CHECK(before.bytes == store->group_bytes("udp"));
  CHECK(before.dropped_events > 0);
  if (GENERATE(true, false)) store->close();
  open();
  const StreamStats after = stats_of("udp/a");
  CHECK(after.rows == before.rows);
  CHECK(after.bytes == before.bytes);
  CHECK(after.first_seq == before.first_seq);
  CHECK(after.dropped_events == before.dropped_events);
  CHECK(store->group_bytes("udp") == before.bytes);
  check_sound();
}

TEST_CASE_METHOD(LimitsFixture, "rows expire by buffer time, in their place, also when idle") {
  options.max_age_us = std::chrono::microseconds(1h).count();
  open();
  StreamState app = keep("app", {Priority::normal, WhenFull::block, 0});
  add(app, 3);
  clock.advance(30min);
  add(app, 2);
  REQUIRE_FALSE(store->has_pending_trims());
  clock.step_wall(4'000'000'000'000'000);  // the clock is set: nothing to do with ages
  CHECK_FALSE(store->has_pending_trims());
  clock.advance(31min);
  CHECK(store->has_pending_trims());
  const auto done = commit(Request());
  CHECK(done.expired_rows == 3);
  CHECK(done.expired_events == 30);
  CHECK(done.dropped_rows == 0);
  CHECK_FALSE(store->has_pending_trims());
  auto present = rows();
  REQUIRE(present.size() == 3);
  CHECK(present[0].kind == RowKind::loss);
  CHECK(present[0].loss_reason == expired_reason);
  CHECK(present[0].key.seq == 0);
  CHECK(present[0].key.count == 30);
  CHECK(present[1].kind == RowKind::batch);
  CHECK(store->stats().expired_events == 30);
  CHECK(stats_of("app").expired_events == 30);

  // The time without the agent does not count.
  store->close();
  store.reset();
  clock.advance(10h);
  open();
  commit(Request());
  CHECK(rows().size() == 3);
  clock.advance(31min);
  CHECK(commit(Request()).expired_rows == 2);
  CHECK(rows().size() == 1);
  CHECK(rows()[0].key.count == 50);
  check_sound();
}

TEST_CASE_METHOD(LimitsFixture, "what was handed over does not expire before it is given back") {
  options.max_age_us = std::chrono::microseconds(1h).count();
  open();
  StreamState app = keep("app", {Priority::normal, WhenFull::block, 0});
  add(app, 4);
  store->pin(store->generation(), Priority::normal, 2);
  clock.advance(2h);
  CHECK(commit(Request()).expired_rows == 2);
  CHECK(rows()[0].kind == RowKind::batch);  // rows() unpins
  CHECK(store->has_pending_trims());
  CHECK(commit(Request()).expired_rows == 2);
  CHECK(rows().size() == 1);
  check_sound();
}

TEST_CASE_METHOD(LimitsFixture, "what expired makes room for a request that was refused") {
  options.max_age_us = std::chrono::microseconds(1h).count();
  open();
  StreamState app = keep("app", {Priority::normal, WhenFull::block, 0});
  add(app, 30);
  clock.advance(2h);
  Request large;
  for (int i = 0; i < 30; ++i) large.batch(app, 1, noise(row_bytes, i));
  CHECK(commit(large).expired_rows == 30);
  check_sound();
}

TEST_CASE_METHOD(LimitsFixture, "a loss row that a search comes by takes the one before it in") {
  open();
  StreamState udp = keep("udp", {Priority::normal, WhenFull::drop_oldest, 0});
  // Losses between batches: pinned ones cannot merge while they are made.
  for (int i = 0; i < 12; ++i) {
    add(udp, 1);
    Request loss;
    loss.loss(udp, 5, LossReason::buffer_full);
    commit(loss);
  }
  CHECK(rows().size() == 24);
  add(udp, 60);
  const auto present = rows();
  CHECK(present[0].kind == RowKind::loss);
  CHECK(present[1].kind == RowKind::batch);
  check_sound();
}

TEST_CASE_METHOD(LimitsFixture, "millions of dropped events over many streams take little room") {
  options.max_size = 8 << 20;
  open();
  const WhenFull policy = GENERATE(WhenFull::drop_oldest, WhenFull::drop_newest);
  constexpr int streams = 200;
  std::vector<StreamState> all;
  for (int i = 0; i < streams; ++i) {
    all.push_back(keep("udp/" + std::to_string(i), {Priority::normal, policy, 0}));
  }
  StreamState filler = keep("filler", {Priority::high, WhenFull::block, 0});
  while (!store->is_nearly_full()) add(filler);
  std::uint64_t dropped = 0;
  for (int round = 0; round < 30; ++round) {
    Request request;
    for (StreamState& one : all) request.batch(one, 500, noise(3000, one.next_seq));
    dropped += commit(request).dropped_events;
    // The forwarder reads now and then, and loses its connection.
    if (round % 10 == 3) REQUIRE(store->rows_after(Priority::normal, 0, 100'000).ok());
    if (round % 10 == 7) store->pin(store->generation(), Priority::normal, 0);
  }
  CHECK(dropped > 2'000'000);
  CHECK(store->stats().live_bytes <= options.max_size);
  std::uint64_t losses = 0;
  std::uint64_t numbers = 0;
  for (const Row& row : rows()) {
    losses += row.kind == RowKind::loss;
    numbers += row.key.count;
  }
  CHECK(numbers == std::uint64_t{30} * 500 * streams);
  CHECK(losses <= 6 * streams);
  check_sound();
}
