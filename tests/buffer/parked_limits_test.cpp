// Limits of parked streams: a row that waits aside must go, stay or expire as it would in its
// class.
#include <catch2/catch.hpp>
#include <chrono>

#include "buffer/lmdb.hpp"
#include "buffer/parking.hpp"
#include "tests/buffer/store_fixture.hpp"

using namespace penstock;
using namespace penstock::buffer;
using namespace penstock::tests;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t row_bytes = 60'000;
constexpr std::int64_t hour_us = 3'600'000'000;

struct ParkedLimits : StoreFixture {
  Parking& parking() { return *store->parking(); }
  std::vector<Row> parked(const StreamState& state) {
    auto read = parking().peek_after(state.id, 0, std::size_t{1} << 30);
    REQUIRE(read.ok());
    return *std::move(read);
  }
  /// What is stored of these streams moves into the table.
  void park_all(std::initializer_list<StreamState> states) {
    for (const StreamState& state : states) parking().park(state.id, 1);
    store->acknowledge(store->generation(), Priority::normal, store->durable_id());
    commit(Request());
  }
  /// "b" or "l" for each parked row, a loss with the numbers that it covers.
  std::string shape(const StreamState& state) {
    std::string text;
    for (const Row& row : parked(state)) {
      text += row.kind == RowKind::batch ? "b" : "l" + std::to_string(row.key.count);
    }
    return text;
  }
  /// Closes the store, and changes its file in a transaction of its own.
  template <typename Change>
  void change_file(Change change) {
    store->close();
    const auto env =
        Env::open(options.path / "buffer.mdb", std::uint64_t{1} << 28, Access::write).value();
    Txn txn = env->begin_write().value();
    change(txn);
    REQUIRE(txn.commit().ok());
  }
  /// One flipped bit: the row has no numbers any more. Returns its value.
  static std::string break_key(Txn& txn, const RowKey& row) {
    RowKeyBytes key = encode_parked_key(row, RowKind::batch);
    const auto value = txn.get(Table::parked, view(key)).value();
    REQUIRE(value);
    std::string copy(*value);
    REQUIRE(txn.erase(Table::parked, view(key)).value());
    key.back() ^= 1;
    REQUIRE(txn.put(Table::parked, view(key), copy).ok());
    return copy;
  }
  void check_sound() {
    const auto verified = store->verify({});
    REQUIRE(verified.ok());
    CHECK(verified->problems == std::vector<std::string>{});
  }
};

}  // namespace

TEST_CASE_METHOD(ParkedLimits, "the oldest parked row that may go is dropped, whosever it is") {
  options.max_size = max_size_min;
  open();
  auto kept = stream("kept", Priority::normal, WhenFull::block);
  auto second = stream("g/second", Priority::normal, WhenFull::drop_oldest);
  auto first = stream("g/first", Priority::normal, WhenFull::drop_oldest);
  auto other = stream("other", Priority::normal, WhenFull::drop_oldest);
  for (std::uint64_t i = 0; i < 3; ++i) {
    Request request;
    for (StreamState* state : {&kept, &first, &second, &other}) {
      request.batch(*state, 1, noise(row_bytes, 10 * i + state->id));
    }
    commit(request);
  }
  park_all({kept, second, first, other});

  SECTION("of all where the buffer is full") {
    auto good = stream("good", Priority::high, WhenFull::block);
    std::uint64_t dropped = 0;
    while (dropped < 4) {
      dropped += commit(Request().batch(good, 1, noise(row_bytes, 99))).dropped_rows;
    }
    CHECK(shape(kept) == "bbb");
    CHECK(shape(first) == (dropped == 4 ? "l2b" : "l2l1"));
    CHECK(shape(second) == "l1bb");
    CHECK(shape(other) == "l1bb");
  }
  SECTION("of its group where a share is full") {
    store->set_policy("g", {Priority::normal, WhenFull::drop_oldest, 5 * row_bytes});
    commit(Request().batch(second, 1, noise(row_bytes, 98)));
    CHECK(shape(kept) == "bbb");
    CHECK(shape(other) == "bbb");
    CHECK((shape(first) + shape(second)).find('l') != std::string::npos);
  }
  SECTION("a new one in the end, behind those that are there") {
    std::uint64_t dropped = 0;
    while (dropped < 2) {
      for (const StreamState& state : {first, second, other}) {
        REQUIRE(parking().rows_after(state.id, 0, std::size_t{1} << 30).ok());
      }
      dropped += commit(Request().batch(second, 1, noise(row_bytes, 97))).dropped_rows;
    }
    CHECK(shape(first) == "bbb");
    CHECK(shape(second).substr(0, 3) == "bbb");
    CHECK(parked(second).back().kind == RowKind::loss);
    CHECK(parked(second).back().time_unix_us == clock.wall_us());
  }
  check_sound();
}

TEST_CASE_METHOD(ParkedLimits, "parked rows expire each in its time, a damaged one not at all") {
  options.max_age_us = hour_us;
  open();
  auto damaged = stream("damaged");
  auto app = stream("app");
  commit(Request().batch(damaged, 1, noise(3000, 1)).batch(app, 1, "a0"));
  park_all({damaged, app});
  store->close();
  {
    const auto env =
        Env::open(options.path / "buffer.mdb", std::uint64_t{1} << 28, Access::write).value();
    Txn txn = env->begin_write().value();
    std::string key;
    std::string value;
    {
      Cursor cursor = Cursor::open(txn, Table::parked).value();  // the commit frees open ones
      REQUIRE(cursor.first().value());
      key = cursor.key();
      value = cursor.value();
    }
    value[100] ^= 1;
    REQUIRE(txn.put(Table::parked, key, value).ok());
    REQUIRE(txn.commit().ok());
  }
  open();
  clock.advance(30min);
  commit(Request().batch(app, 2, "a1"));
  CHECK(shape(app) == "bb");
  clock.advance(40min);
  CHECK(commit(Request()).expired_events == 1);
  CHECK(shape(app) == "l1b");
  CHECK(store->has_pending_trims() == false);
  clock.advance(30min);
  CHECK(store->has_pending_trims());
  CHECK(commit(Request()).expired_events == 2);
  CHECK(shape(app) == "l3");
  REQUIRE(parked(damaged).size() == 1);
  CHECK(parked(damaged)[0].is_damaged);
}

TEST_CASE_METHOD(ParkedLimits, "a parked row that was handed over expires when it is given back") {
  options.max_age_us = hour_us;
  open();
  auto app = stream("app");
  commit(Request().batch(app, 1, "a0"));
  park_all({app});
  REQUIRE(parking().rows_after(app.id, 0, 1 << 20)->size() == 1);
  clock.advance(2h);
  CHECK(commit(Request()).expired_rows == 0);
  CHECK(shape(app) == "b");
  parking().unpin();
  CHECK(store->has_pending_trims());
  CHECK(commit(Request()).expired_rows == 1);
  CHECK(shape(app) == "l1");
  check_sound();
}

TEST_CASE_METHOD(ParkedLimits, "what a parked stream does not have changes nothing") {
  open();
  auto bad = stream("bad");
  commit(Request().batch(bad, 1, "b0").loss(bad, 2, LossReason::source).batch(bad, 1, "b3"));
  // Not parked yet.
  parking().acknowledge(bad.id, 1);
  parking().refuse(bad.id, 1, 0x90);
  CHECK(parking().unpark(bad.id, 1).value());
  parking().park(bad.id, 1);
  parking().park(bad.id, 3);  // the first word counts
  parking().refuse(bad.id, 1, 0x91);
  parking().refuse(bad.id, 2, 0x92);
  parking().refuse(bad.id, 77, 0x93);
  store->acknowledge(store->generation(), Priority::normal, store->durable_id());
  commit(Request());
  const auto waiting = parked(bad);
  REQUIRE(waiting.size() == 3);
  CHECK(waiting[0].refusal_code == 0x91);
  CHECK(waiting[1].loss_reason == static_cast<std::uint8_t>(LossReason::source));
  CHECK(waiting[1].refusal_code == 0);
  // One that is acknowledged is not refused any more.
  parking().refuse(bad.id, 3, 0x94);
  parking().acknowledge(bad.id, 3);
  CHECK(parking().unpark(bad.id, 3).value());
  SECTION("it ends with the commit that trims its rows") {
    CHECK(parking().streams().empty());
    commit(Request().batch(bad, 1, "b4"));
    CHECK(parked(bad).empty());
    CHECK(rows().size() == 1);
  }
  SECTION("it is parked again before that") {
    parking().park(bad.id, 4);
    CHECK(parking().streams() == std::vector<std::uint32_t>{bad.id});
    commit(Request().batch(bad, 1, "b4"));
    CHECK(parked(bad).size() == 1);
  }
  check_sound();
}

TEST_CASE_METHOD(ParkedLimits, "nothing stops at a parked row whose key cannot be") {
  options.max_age_us = hour_us;
  open();
  auto bad = stream("bad");
  commit(Request().batch(bad, 1, "b0").batch(bad, 1, "b1").batch(bad, 1, "b2"));
  park_all({bad});
  const auto stored = parked(bad);
  change_file([&](Txn& txn) {
    const std::string value = break_key(txn, stored[1].key);
    // An id that was never given.
    const auto key = encode_parked_key({std::uint64_t{1} << 40, bad.id, 3, 1}, RowKind::batch);
    REQUIRE(txn.put(Table::parked, view(key), value).ok());
  });
  open();
  SECTION("reading, trimming and the end of parking") {
    const auto left = parked(bad);
    REQUIRE(left.size() == 2);
    CHECK(left[1].key == stored[2].key);
    parking().acknowledge(bad.id, left[0].key.id);
    commit(Request());
    CHECK_FALSE(parking().unpark(bad.id, 0).value());
    parking().acknowledge(bad.id, left[1].key.id);
    commit(Request());
    CHECK(parking().unpark(bad.id, 0).value());
    CHECK(store->stats().parked_rows == 0);
  }
  SECTION("expiry") {
    clock.advance(2h);
    CHECK(commit(Request()).expired_rows == 2);
    CHECK(shape(bad) == "l1l1");
  }
}

TEST_CASE_METHOD(ParkedLimits, "a parked row whose key cannot be is not counted for ever") {
  open();
  auto bad = stream("bad");
  commit(Request().batch(bad, 1, "b0").batch(bad, 1, "b1").batch(bad, 1, "b2"));
  park_all({bad});
  const auto stored = parked(bad);
  change_file([&](Txn& txn) { break_key(txn, stored[1].key); });
  open();
  parking().acknowledge(bad.id, stored[2].key.id);
  commit(Request());
  CHECK(parked(bad).empty());
  CHECK(store->stream_stats().value().at(0).rows == 0);
}
