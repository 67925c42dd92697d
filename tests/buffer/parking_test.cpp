// A parked row that got lost, or passed one of its own stream, would be a hole at the receiver.
#include "buffer/parking.hpp"

#include <fmt/core.h>
#include <catch2/catch.hpp>

#include <array>
#include <random>

#include "buffer/lmdb.hpp"
#include "tests/buffer/store_fixture.hpp"

using namespace penstock;
using namespace penstock::buffer;
using namespace penstock::tests;

namespace {

struct ParkingFixture : StoreFixture {
  Parking& parking() { return *store->parking(); }
  std::vector<Row> parked(std::uint32_t stream_id) {
    auto read = parking().peek_after(stream_id, 0, std::size_t{1} << 30);
    REQUIRE(read.ok());
    return *std::move(read);
  }
  void check_sound() {
    const auto verified = store->verify({});
    REQUIRE(verified.ok());
    for (const std::string& problem : verified->problems) CHECK(problem.empty());
    CHECK(verified->damaged_rows == 0);
  }
};

std::vector<std::uint64_t> seqs(const std::vector<Row>& rows) {
  std::vector<std::uint64_t> out;
  for (const Row& row : rows) out.push_back(row.key.seq);
  return out;
}
using Seqs = std::vector<std::uint64_t>;

}  // namespace

TEST_CASE_METHOD(ParkingFixture, "a parked stream's rows move where others are trimmed") {
  open();
  auto bad = stream("bad");
  auto good = stream("good");
  Request rows;
  rows.batch(bad, 2, "b0").batch(good, 1, "g0").batch(bad, 3, "b2").batch(good, 1, "g1");
  commit(rows);
  const auto ids = this->rows();
  parking().park(bad.id, ids[2].key.id);
  CHECK(parking().streams() == std::vector<std::uint32_t>{bad.id});
  store->acknowledge(store->generation(), Priority::normal, ids[3].key.id);
  CHECK(store->has_pending_trims());
  commit(Request().batch(bad, 1, "b5").batch(good, 1, "g2"));
  CHECK_FALSE(store->has_pending_trims());
  const auto waiting = parked(bad.id);
  REQUIRE(seqs(waiting) == Seqs{2, 5});  // the new row went there at once
  CHECK(content(waiting[0]) == "b2");
  CHECK(waiting[0].key.id == ids[2].key.id);
  CHECK(seqs(this->rows()) == Seqs{2});
  CHECK(store->stats().parked_rows == 2);
  CHECK(store->stats().events == 5);
  CHECK(store->stream_stats()->front().rows == 2);
  check_sound();

  SECTION("it goes on after a restart") {
    store->close();
    open();
    CHECK(parking().streams() == std::vector<std::uint32_t>{bad.id});
    commit(Request().batch(bad, 1, "b6"));
    CHECK(seqs(parked(bad.id)) == Seqs{2, 5, 6});
    check_sound();
  }
  SECTION("it ends when the table has no more of it") {
    CHECK_FALSE(parking().unpark(bad.id, ids[2].key.id).value());
    parking().acknowledge(bad.id, waiting[0].key.id);
    CHECK_FALSE(parking().unpark(bad.id, ids[2].key.id).value());
    parking().acknowledge(bad.id, waiting[1].key.id);
    CHECK(parking().unpark(bad.id, ids[2].key.id).value());
    CHECK(parking().streams().empty());
    commit(Request().batch(bad, 1, "b6"));
    CHECK(parked(bad.id).empty());
    CHECK(seqs(this->rows()) == Seqs{2, 6});
    CHECK(store->stats().events == 2);
    check_sound();
  }
}

TEST_CASE_METHOD(ParkingFixture, "a stream stays parked until all that was passed over has moved") {
  open();
  auto bad = stream("bad");
  commit(Request().batch(bad, 1, "b0"));
  const auto id = rows()[0].key.id;
  parking().park(bad.id, id);
  CHECK_FALSE(parking().unpark(bad.id, id).value());
  store->acknowledge(store->generation(), Priority::normal, id);
  CHECK_FALSE(parking().unpark(bad.id, id).value());
  commit(Request());
  CHECK_FALSE(parking().unpark(bad.id, id).value());
  parking().acknowledge(bad.id, id);
  CHECK(parking().unpark(bad.id, id).value());
}

TEST_CASE_METHOD(ParkingFixture, "a refused row becomes a loss record that carries the code") {
  open();
  auto bad = stream("bad");
  commit(Request().batch(bad, 4, "b0").batch(bad, 1, "b4"));
  const auto ids = rows();
  parking().park(bad.id, ids[0].key.id);
  parking().refuse(bad.id, ids[0].key.id, 0x90);
  commit(Request());  // it is not acknowledged in its class: nothing may happen yet
  CHECK(seqs(rows()) == Seqs{0, 4});
  store->acknowledge(store->generation(), Priority::normal, ids[1].key.id);
  commit(Request());
  const auto waiting = parked(bad.id);
  REQUIRE(seqs(waiting) == Seqs{0, 4});
  CHECK(waiting[0].kind == RowKind::loss);
  CHECK(waiting[0].key.count == 4);
  CHECK(waiting[0].loss_reason == static_cast<std::uint8_t>(LossReason::refused));
  CHECK(waiting[0].refusal_code == 0x90);
  CHECK(content(waiting[1]) == "b4");
  CHECK(store->stats().events == 1);
  CHECK_FALSE(store->has_pending_trims());
  check_sound();
}

TEST_CASE_METHOD(ParkingFixture, "parked rows count in the size and are dropped by their policy") {
  options.max_size = 1 << 20;
  open();
  auto bad = stream("bad", Priority::normal, WhenFull::drop_oldest);
  auto good = stream("good", Priority::normal, WhenFull::block);
  const std::size_t size = 60'000;
  for (int i = 0; i < 10; ++i) commit(Request().batch(bad, 1, noise(size, i)));
  const auto ids = rows();
  parking().park(bad.id, ids[0].key.id);
  store->acknowledge(store->generation(), Priority::normal, ids.back().key.id);
  commit(Request());
  REQUIRE(parked(bad.id).size() == 10);
  // Two are on their way: they stay as they are.
  REQUIRE(parking().rows_after(bad.id, 0, 2 * size)->size() == 1);
  std::uint64_t dropped = 0;
  for (int i = 0; i < 10; ++i) {
    dropped += commit(Request().batch(good, 1, noise(size, 100 + i))).dropped_events;
  }
  CHECK(dropped > 2);
  const auto waiting = parked(bad.id);
  CHECK(waiting.size() == 10 - dropped + 1);
  CHECK(waiting[0].kind == RowKind::batch);
  CHECK(waiting[1].kind == RowKind::loss);
  CHECK(waiting[1].key.seq == 1);
  CHECK(waiting[1].key.count == dropped);
  check_sound();
}

TEST_CASE_METHOD(ParkingFixture,
                 "a damaged row does not move: what it had is missing before the next") {
  open();
  auto bad = stream("bad");
  commit(Request().batch(bad, 1, noise(3000, 7)).batch(bad, 2, "next"));
  const auto id = rows()[0].key.id;
  store->close();
  {
    const auto env = Env::open(options.path / "buffer.mdb", 1 << 28, Access::write).value();
    Txn txn = env->begin_write().value();
    std::string key;
    std::string value;
    {
      Cursor cursor = Cursor::open(txn, Table::normal).value();  // the commit frees open ones
      REQUIRE(cursor.first().value());
      key = cursor.key();
      value = cursor.value();
    }
    value[100] ^= 1;
    REQUIRE(txn.put(Table::normal, key, value).ok());
    REQUIRE(txn.commit().ok());
  }
  open();
  parking().park(bad.id, id);
  store->acknowledge(store->generation(), Priority::normal, id + 1);
  commit(Request());
  CHECK(seqs(parked(bad.id)) == Seqs{1});
  CHECK(store->stats().events == 2);
  // Number 0 is still to come, as far as the account knows: so it is told as missing.
  CHECK(store->stream_stats()->front().first_seq == 0);
  CHECK(store->stream_stats()->front().rows == 1);
}

namespace {

/// Random steps beside a plain account of what each stream must still hold.
class Walk {
 public:
  Walk(ParkingFixture& fixture, std::uint64_t seed) : at_(fixture), random_(seed) {
    at_.options.max_size = 64 << 20;
    open();
  }
  void run(int steps) {
    for (int i = 0; i < steps; ++i) {
      step();
      check();
    }
    at_.check_sound();
  }

 private:
  struct Account {
    StreamState state;
    std::uint64_t done = 0;      // all below is acknowledged, by whichever way
    std::uint64_t moved_to = 0;  // passed over in the class
    bool is_parked = false;
  };

  std::uint64_t below(std::uint64_t bound) { return random_() % bound; }
  void open() {
    at_.open();
    for (std::size_t i = 0; i < accounts_.size(); ++i) {
      accounts_[i].state = at_.stream(fmt::format("s{}", i), Priority::normal);
      accounts_[i].is_parked = false;
      accounts_[i].moved_to = 0;
    }
    for (const std::uint32_t id : at_.parking().streams()) account(id).is_parked = true;
    reached_ = 0;
  }
  Account& account(std::uint32_t id) {
    for (Account& account : accounts_) {
      if (account.state.id == id) return account;
    }
    throw std::runtime_error("unknown stream");
  }

  void step() {
    switch (below(8)) {
      case 0:
      case 1:
      case 2: append(); break;
      case 3: serve_class(); break;
      case 4:
      case 5: serve_parked(); break;
      case 6:
        at_.faults = {};
        static_cast<void>(at_.store->commit({}));
        break;
      case 7:
        if (below(4) == 0) {
          if (below(2) == 0) at_.store->close();
          open();
        }
        break;
    }
  }
  void append() {
    Request request;
    for (std::uint64_t n = 1 + below(3); n > 0; --n) {
      Account& account = accounts_[below(accounts_.size())];
      request.batch(account.state, static_cast<std::uint32_t>(1 + below(4)), "text");
    }
    int failures = static_cast<int>(below(3));
    const auto fails = [&failures] { return failures-- > 0; };
    if (below(4) == 0) at_.faults.before_commit = fails;
    if (below(4) == 0) at_.faults.after_commit = fails;
    while (!at_.store->commit(request.request()).ok()) {
    }
    at_.faults = {};
  }
  /// As the forwarder does: rows in order, some refused, those of parked streams passed over.
  void serve_class() {
    const auto rows = at_.store->rows_after(Priority::normal, reached_, 1 + below(2'000));
    if (!rows.ok()) return;
    for (const Row& row : *rows) {
      Account& account = this->account(row.key.stream_id);
      if (!account.is_parked && below(6) == 0) {
        at_.parking().park(row.key.stream_id, row.key.id);
        account.is_parked = true;
      }
      if (account.is_parked) {
        account.moved_to = row.key.id;
      } else if (row.key.seq <= account.done) {
        account.done = std::max(account.done, row.key.seq + row.key.count);
      } else {
        FAIL("a stream's rows come out of order");
      }
      reached_ = row.key.id;
      at_.store->acknowledge(at_.store->generation(), Priority::normal, row.key.id);
    }
    at_.store->pin(at_.store->generation(), Priority::normal, 0);
  }
  void serve_parked() {
    for (Account& account : accounts_) {
      if (!account.is_parked) continue;
      const auto rows = at_.parking().rows_after(account.state.id, 0, 1);
      if (!rows.ok()) continue;
      std::uint64_t acknowledged = 0;
      for (const Row& row : *rows) {
        if (row.key.seq > account.done) FAIL("a parked row was passed by a later one");
        account.done = std::max(account.done, row.key.seq + row.key.count);
        acknowledged = row.key.id;
      }
      if (acknowledged != 0) {
        at_.parking().acknowledge(account.state.id, acknowledged);
        static_cast<void>(at_.store->commit({}));
      }
      const auto ended = at_.parking().unpark(account.state.id, account.moved_to);
      if (ended.ok() && *ended) account.is_parked = false;
    }
  }
  /// Everything that is not done is stored, in order, parked rows first.
  void check() {
    const auto peeked = at_.store->peek_after(Priority::normal, 0, std::size_t{1} << 30);
    if (!peeked.ok()) return;
    for (Account& account : accounts_) {
      std::vector<Row> rows = at_.parked(account.state.id);
      for (const Row& row : *peeked) {
        if (row.key.stream_id == account.state.id) rows.push_back(row);
      }
      std::uint64_t next = rows.empty() ? account.state.next_seq : rows.front().key.seq;
      CHECK(next <= account.done);
      for (const Row& row : rows) {
        CHECK(row.key.seq == next);
        next = row.key.seq + row.key.count;
      }
      CHECK(next == account.state.next_seq);
    }
  }

  ParkingFixture& at_;
  std::mt19937_64 random_;
  std::array<Account, 3> accounts_;
  std::uint64_t reached_ = 0;
};

}  // namespace

TEST_CASE_METHOD(ParkingFixture, "random parking loses nothing and keeps each stream's order") {
  const auto seed = GENERATE(1, 2, 3);
  INFO("seed " << seed);
  Walk(*this, static_cast<std::uint64_t>(seed)).run(150);
}
