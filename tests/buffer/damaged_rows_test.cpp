// A damaged row that a limit, a person or a broker takes out: its key must not become a loss record
// of other numbers, and what it had must be told as missing.
#include <catch2/catch.hpp>
#include <chrono>

#include "buffer/continuity.hpp"
#include "buffer/lmdb.hpp"
#include "buffer/parking.hpp"
#include "tests/buffer/store_fixture.hpp"

using namespace penstock;
using namespace penstock::buffer;
using namespace penstock::tests;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t row_bytes = 3'000;
constexpr std::uint32_t row_events = 10;
constexpr std::size_t rows_stored = 5;

enum class Damage { id, count, first_number, content };
enum class Way { drop, expiry, purge, refusal };

struct DamagedRows : StoreFixture {
  void fill(bool is_parked) {
    open();
    app = stream("app/a", Priority::normal, WhenFull::drop_oldest);
    auto other = stream("other");
    for (std::size_t i = 0; i < rows_stored; ++i) {
      commit(Request().batch(app, row_events, noise(row_bytes, i)).batch(other, 3, "x"));
    }
    if (!is_parked) return;
    park();
    store->acknowledge(store->generation(), Priority::normal, store->durable_id());
    commit(Request());
  }
  void park() { store->parking()->park(app.id, 1); }
  void damage_row(const Row& row, Damage how) {
    const Table table = row.is_parked ? Table::parked : Table::normal;
    const auto encode = row.is_parked ? encode_parked_key : encode_row_key;
    RowKey key = row.key;
    if (how == Damage::id) key.id |= std::uint64_t{1} << 40U;
    if (how == Damage::count) key.count ^= 1U << 16U;
    if (how == Damage::first_number) key.seq ^= 8;
    store->close();
    {
      const auto env =
          Env::open(options.path / "buffer.mdb", std::uint64_t{1} << 28, Access::write).value();
      Txn txn = env->begin_write().value();
      const RowKeyBytes sound = encode(row.key, row.kind);
      std::string value(*txn.get(table, view(sound)).value());
      if (how == Damage::content) value[20] ^= 1;
      REQUIRE(txn.erase(table, view(sound)).value());
      REQUIRE(txn.put(table, view(encode(key, row.kind)), value).ok());
      REQUIRE(txn.commit().ok());
    }
    open();
    stream("app/a", Priority::normal, WhenFull::drop_oldest);
    begin();
    if (row.is_parked) park();
  }
  std::vector<Row> stored(bool is_parked) {
    if (is_parked) return store->parking()->peek_after(app.id, 0, 1 << 30).value();
    auto all = store->peek_after(Priority::normal, 0, 1 << 30).value();
    all.erase(std::remove_if(all.begin(), all.end(),
                             [&](const Row& row) { return row.key.stream_id != app.id; }),
              all.end());
    return all;
  }
  void begin() {
    continuity = Continuity();
    continuity.begin(store->stream_stats().value());
  }
  /// What a receiver hears of the stream; "" if that is every number once. is_parked: its rows wait
  /// apart.
  std::string heard(bool is_parked) {
    std::uint64_t next = 0;
    std::uint64_t lost = 0;
    auto all = stored(is_parked);
    if (!is_parked) remove_doubtful(all);
    for (Row& row : all) {
      if (is_parked && row.is_damaged) row.key = continuity.place_of_damaged(row.key);
      const std::uint64_t missing = continuity.missing_before(row.key, row.is_damaged);
      if (row.key.seq - missing != next) {
        return "not " + std::to_string(next) + " but " + std::to_string(row.key.seq - missing);
      }
      lost += missing;
      if (row.is_damaged || row.kind == RowKind::loss) lost += row.key.count;
      next = row.key.seq + row.key.count;
    }
    if (next != app.next_seq) return "ends at " + std::to_string(next);
    return lost == 0 ? "nothing is lost" : "";
  }
  void limit_share(std::uint64_t bytes) {
    store->set_policy("app", {Priority::normal, WhenFull::drop_oldest, bytes});
    commit(Request().batch(app, row_events, noise(row_bytes, 99)));
  }

  StreamState app;
  Continuity continuity;
};

}  // namespace

TEST_CASE_METHOD(DamagedRows, "a damaged row that is taken out is missing, and nothing else") {
  const bool is_parked = GENERATE(false, true);
  const auto how = GENERATE(Damage::count, Damage::first_number, Damage::content);
  const auto way = GENERATE(Way::drop, Way::expiry, Way::purge, Way::refusal);
  const auto which = GENERATE(std::size_t{0}, rows_stored / 2, rows_stored - 1);
  CAPTURE(is_parked, static_cast<int>(how), static_cast<int>(way), which);
  if (way == Way::refusal && !is_parked) return;
  if (way == Way::expiry) options.max_age_us = std::chrono::microseconds(1h).count();
  fill(is_parked);
  damage_row(stored(is_parked)[which], how);
  const auto present = stored(is_parked);
  switch (way) {
    case Way::drop: limit_share(2 * row_bytes); break;
    case Way::expiry:
      clock.advance(2h);
      CHECK(commit(Request()).expired_events >= (rows_stored - 1) * row_events);
      break;
    case Way::purge: {
      std::vector<RowPlace> places;
      for (const Row& row : present) places.push_back({row.priority, row.is_parked, row.key});
      const auto done = store->purge(store->generation(), places);
      REQUIRE(done.ok());
      CHECK(done->rows == rows_stored);
      CHECK(done->events == (rows_stored - 1) * row_events);
      break;
    }
    case Way::refusal:
      for (const Row& row : present) store->parking()->refuse(app.id, row.key.id, 0x90);
      commit(Request());
      break;
  }
  CHECK(stored(is_parked).size() < rows_stored);
  // What was the last row is missing before the next one.
  commit(Request().batch(app, 1, "behind"));
  CHECK(heard(is_parked) == "");
  continuity.rewind();
  CHECK(heard(is_parked) == "");
  begin();
  CHECK(heard(is_parked) == "");
}

TEST_CASE_METHOD(DamagedRows, "a stream whose last row was damaged is told of it after a restart") {
  const bool is_parked = GENERATE(false, true);
  fill(is_parked);
  auto present = stored(is_parked);
  damage_row(present.back(), Damage::count);
  present = stored(is_parked);
  const Row& last = present.back();
  // All before it has been forwarded; then it goes, and the process ends.
  if (is_parked) {
    store->parking()->acknowledge(app.id, present[rows_stored - 2].key.id);
  } else {
    store->acknowledge(store->generation(), Priority::normal, present[rows_stored - 2].key.id);
  }
  commit(Request());
  const std::vector<RowPlace> place{{last.priority, last.is_parked, last.key}};
  REQUIRE(store->purge(store->generation(), place).value().rows == 1);
  store.reset();
  open();
  begin();
  const std::uint64_t first = (rows_stored - 1) * row_events;
  CHECK(store->stream_stats()->front().first_seq == first);
  if (is_parked) park();
  commit(Request().batch(app, 1, "behind"));
  const auto left = stored(is_parked);
  REQUIRE(left.size() == 1);
  CHECK(continuity.missing_before(left[0].key) == row_events);
}

TEST_CASE_METHOD(DamagedRows, "an id that was never given does not end the search for the oldest") {
  fill(false);
  damage_row(stored(false)[1], Damage::id);
  limit_share(6'000);  // what one row takes, and no more than one
  for (int i = 0; i < 3; ++i) {
    commit(Request().batch(app, row_events, noise(row_bytes, 100)));
    CHECK(stored(false).back().kind == RowKind::batch);
  }
  CHECK(store->stats().rows == rows_stored + 3);  // the other stream's, two losses and a batch
  CHECK(heard(false) == "");
}

TEST_CASE_METHOD(DamagedRows, "a damaged row that was sent and then dropped is missing again") {
  fill(false);
  damage_row(stored(false)[0], Damage::content);
  CHECK(heard(false) == "");
  continuity.rewind();               // the connection is lost before it was acknowledged
  limit_share(rows_stored * 4'200);  // so that one goes
  REQUIRE(stored(false)[0].kind == RowKind::batch);
  CHECK(heard(false) == "");
}
