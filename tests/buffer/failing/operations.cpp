// The operations whose calls fail one by one.
#include <chrono>

#include "buffer/parking.hpp"
#include "tests/buffer/failing/life.hpp"

namespace penstock::tests {
namespace {

using namespace buffer;
using namespace std::chrono_literals;

constexpr std::size_t long_row = 13'000;  // has pages of its own

Result<void> outcome(const auto& done) {
  if (!done.ok()) return done.error();
  return {};
}

/// In a full buffer's way: asked again until there is room.
Result<void> commit_when_there_is_room(Life& life) {
  for (int attempt = 0;; ++attempt) {
    const auto done = life.store->commit(life.request.request());
    if (done.ok() || done.error().code != Errc::full || attempt == 10) return outcome(done);
  }
}

Result<void> commit_request(Life& life) {
  return outcome(life.store->commit(life.request.request()));
}

void know_all(Life& life) {
  life.know("app", Priority::normal, WhenFull::block);
  life.know("urgent", Priority::high, WhenFull::block);
  life.know("bad", Priority::normal, WhenFull::block);
  life.know("drop", Priority::low, WhenFull::drop_oldest);
}

/// Rows in each class, long ones and losses among them, positions, and "bad" with rows that are
/// parked.
void begin_mixed(Life& life) {
  life.open();
  know_all(life);
  auto& bad = life.of("bad");
  life.commit(Request().batch(bad, 2, "b0").batch(bad, 1, "b2").batch(bad, 1, "b3"));
  life.store->parking()->park(bad.id, 1);
  life.acknowledge_all();
  life.commit(Request());
  auto& app = life.of("app");
  auto& drop = life.of("drop");
  life.commit(Request()
                  .batch(app, 2, "a0")
                  .batch(app, 1, noise(long_row, 1))
                  .batch(drop, 3, "d0")
                  .batch(life.of("urgent"), 1, "u0")
                  .batch(app, 1, "a3")
                  .loss(app, 2, LossReason::source)
                  .loss(bad, 1, LossReason::source)
                  .position("short", "1")
                  .position("long", noise(5000, 3))
                  .position("gone", "2"));
}

void arrange_open(Life& life) {
  life.open();
  know_all(life);
}

/// Trims, rows of each kind, positions that change, grow and go.
void arrange_commit(Life& life) {
  arrange_open(life);
  life.store->acknowledge(life.store->generation(), Priority::normal, 5);
  auto& app = life.of("app");
  life.request.loss(app, 3, LossReason::source)
      .batch(app, 1, noise(long_row, 4))
      .batch(life.of("urgent"), 2, "u1")
      .batch(life.of("drop"), 2, "d3")
      .position("short", "2")
      .position("long", noise(6000, 5))
      .position("gone", "");
}

/// Rows that move aside, refused ones, and new ones behind those that are there.
void arrange_parking(Life& life) {
  arrange_open(life);
  auto& parking = *life.store->parking();
  auto& bad = life.of("bad");
  auto& app = life.of("app");
  parking.acknowledge(bad.id, 1);
  parking.refuse(bad.id, 2, 0x90);
  parking.park(app.id, 1);
  life.acknowledge_all();
  life.request.loss(bad, 2, LossReason::source)
      .batch(bad, 1, "b7")
      .batch(app, 1, "a6")
      .batch(bad, 1, noise(long_row, 6))
      .position("short", "2");
}

void begin_full(Life& life) {
  life.options.max_size = max_size_min;
  life.open();
  life.know("block", Priority::normal, WhenFull::block);
  life.know("drop/old", Priority::normal, WhenFull::drop_oldest);
  life.know("drop/parked", Priority::normal, WhenFull::drop_oldest);
  life.know("drop_new", Priority::low, WhenFull::drop_newest);
  auto& parked = life.of("drop/parked");
  life.commit(Request()
                  .batch(parked, 1, noise(long_row, 1))
                  .batch(parked, 1, noise(long_row, 2))
                  .batch(parked, 1, noise(long_row, 3)));
  life.store->parking()->park(parked.id, 1);
  life.acknowledge_all();
  life.commit(Request());
  auto& old = life.of("drop/old");
  life.commit(Request().batch(life.of("block"), 1, noise(long_row, 4)).batch(old, 2, "o"));
  life.commit(Request().loss(old, 1, LossReason::buffer_full).batch(old, 1, noise(long_row, 5)));
  life.commit(Request().loss(old, 2, LossReason::buffer_full).batch(life.of("drop_new"), 1, "n"));
  while (life.store->stats().live_bytes < max_size_min - 24 * long_row) {
    life.commit(Request().batch(old, 1, noise(long_row, old.next_seq)));
  }
}

void know_full(Life& life) {
  life.open();
  life.know("block", Priority::normal, WhenFull::block);
  life.know("drop/old", Priority::normal, WhenFull::drop_oldest);
  life.know("drop/parked", Priority::normal, WhenFull::drop_oldest);
  life.know("drop_new", Priority::low, WhenFull::drop_newest);
}

/// More than fits: parked rows, rows of the class and new ones give way.
void arrange_full(Life& life) {
  know_full(life);
  auto& old = life.of("drop/old");
  life.request.batch(life.of("drop_new"), 1, noise(long_row, 7));
  for (int i = 0; i < 28; ++i) life.request.batch(old, 1, noise(long_row, old.next_seq));
  life.request.position("short", "1");
}

/// The group has to make its own room.
void arrange_share(Life& life) {
  know_full(life);
  life.store->set_policy("drop", {Priority::normal, WhenFull::drop_oldest, 600'000});
  auto& old = life.of("drop/old");
  for (int i = 0; i < 3; ++i) life.request.batch(old, 1, noise(long_row, old.next_seq));
  life.request.position("short", "1");
}

/// Nothing may go but what is acknowledged, and that is not enough.
void arrange_refused(Life& life) {
  know_full(life);
  life.acknowledge_all();
  life.request.position("short", "1");
}

Result<void> commit_too_much(Life& life) {
  Request large;
  StreamState ignored = life.of("block");
  large.batch(ignored, 1, noise(900'000, 8)).batch(ignored, 1, noise(300'000, 9));
  const auto refused = life.store->commit(large.request());
  if (refused.ok()) return Error{Errc::invalid, "it is taken"};
  if (refused.error().code != Errc::full) return refused.error();
  return commit_request(life);
}

/// All has come of age, also what is parked.
void begin_aged(Life& life) {
  life.options.max_age_us = 3'600'000'000;
  begin_mixed(life);
  auto& drop = life.of("drop");
  life.commit(Request()
                  .loss(drop, 1, LossReason::expired)
                  .batch(drop, 1, "d4")
                  .loss(drop, 2, LossReason::expired));
}

void arrange_aged(Life& life) {
  arrange_open(life);
  life.clock.advance(2h);
  life.request.batch(life.of("app"), 1, "a6").position("short", "3");
}

void arrange_purge(Life& life) {
  arrange_open(life);
  const auto add = [&life](const std::vector<Row>& rows) {
    for (const Row& row : rows) life.places.push_back({row.priority, row.is_parked, row.key});
  };
  add(life.rows());
  add(life.store->parking()->peek_after(life.of("bad").id, 0, 1 << 20).value());
}

/// The disk has done what it says that it has not.
void arrange_undecided(Life& life) {
  life.faults.after_commit = [&life] { return life.fails_once > 0 && life.fails_once-- > 0; };
  arrange_commit(life);
  life.fails_once = 1;
}

Result<void> read_all(Life& life) {
  Store& store = *life.store;
  Parking& parking = *store.parking();
  PENSTOCK_TRY(store.rows_after(Priority::normal, 0, 1 << 20));
  PENSTOCK_TRY(parking.rows_after(life.of("bad").id, 0, 1 << 20));
  PENSTOCK_TRY(store.position(owner, "short"));
  PENSTOCK_TRY(store.position_parts(owner));
  PENSTOCK_TRY(store.damaged_positions(owner));
  PENSTOCK_TRY(store.positions());
  PENSTOCK_TRY(store.verify({}));
  static_cast<void>(store.stats());  // as far as it can be read
  PENSTOCK_TRY_ASSIGN(const bool has_ended, parking.unpark(life.of("bad").id, 0));
  if (has_ended) return Error{Errc::invalid, "it is not parked any more"};
  return {};
}

/// What is acknowledged of it ends with the next commit.
void arrange_unpark(Life& life) {
  arrange_open(life);
  life.store->parking()->acknowledge(life.of("bad").id, life.store->durable_id());
  life.request.batch(life.of("bad"), 1, "b5").position("short", "2");
}

Result<void> unpark(Life& life) {
  const auto has_ended = life.store->parking()->unpark(life.of("bad").id, 0);
  if (!has_ended.ok()) {
    static_cast<void>(life.store->commit({}));  // opens the file again where it is closed
    return has_ended.error();
  }
  // While the outcome of an earlier commit is not known nothing ends.
  if (!life.has_committed) PENSTOCK_TRY(commit_request(life));
  life.has_committed = true;
  if (!*has_ended) return Error{Errc::invalid, "it is still parked"};
  return {};
}

Result<void> purge(Life& life) {
  return outcome(life.store->purge(life.store->generation(), life.places));
}

Result<void> compact(Life& life) { return outcome(life.store->compact({})); }

Result<void> close(Life& life) {
  if (life.store) life.store->close();
  life.store.reset();
  return {};
}

}  // namespace

std::vector<Operation> operations() {
  std::vector<Operation> all = {
      {"a commit", begin_mixed, arrange_commit, commit_when_there_is_room},
      {"a commit beside parked rows", begin_mixed, arrange_parking, commit_when_there_is_room},
      {"a commit to a full buffer", begin_full, arrange_full, commit_when_there_is_room, true},
      {"a commit to a full share", begin_full, arrange_share, commit_when_there_is_room, true},
      {"a commit that is refused", begin_full, arrange_refused, commit_too_much, true},
      {"a commit when rows have expired", begin_aged, arrange_aged, commit_when_there_is_room},
      {"a commit of unknown outcome", begin_mixed, arrange_undecided, commit_when_there_is_room},
      {"an end of parking", begin_mixed, arrange_unpark, unpark},
      {"a purge", begin_mixed, arrange_purge, purge},
      {"a compaction", begin_mixed, arrange_open, compact},
      {"reading", begin_mixed, arrange_open, read_all},
      {"the end", begin_mixed, arrange_commit, close, false, false},
  };
  for (Operation& one : starts(begin_mixed)) all.push_back(std::move(one));
  return all;
}

}  // namespace penstock::tests
