// Outages that come and go must not make the file larger than the largest of them needs, and in the
// end the space must be given back.
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <random>

#include "tests/buffer/store_fixture.hpp"

using namespace penstock;
using namespace penstock::buffer;
using namespace penstock::tests;

namespace {

struct DrainFixture : StoreFixture {
  DrainFixture() {
    options.max_size = 64 << 20;
    open();
    app = stream("app");
  }

  void look() {
    const auto stats = store->stats();
    peak_live_bytes = std::max(peak_live_bytes, stats.live_bytes);
    peak_file_bytes = std::max(peak_file_bytes, stats.file_bytes);
  }

  void append_some() {
    Request request;
    for (int i = 0; i < 16; ++i) {
      request.batch(app, 1, noise(1 + random() % 96'000, random()));
    }
    commit(request);
  }

  /// Hands on and acknowledges about this much, while a little comes in.
  void drain_some() {
    const auto rows = store->rows_after(Priority::normal, acknowledged_id, 1 << 20);
    REQUIRE(rows.ok());
    if (!rows->empty()) acknowledged_id = rows->back().key.id;
    store->acknowledge(store->generation(), Priority::normal, acknowledged_id);
    commit(Request().batch(app, 1, noise(500, random())));
  }

  std::uint64_t file_bytes() const { return store->stats().file_bytes; }
  bool is_sound() const {
    const auto verified = store->verify({});
    return verified.ok() && verified->problems.empty();
  }
  void acknowledge_all() {
    store->acknowledge(store->generation(), Priority::normal, store->durable_id());
  }

  /// An outage until `bytes` are stored, and what follows it.
  void cycle(std::uint64_t bytes) {
    while (store->stats().live_bytes < bytes) {
      append_some();
      look();
    }
    while (acknowledged_id + 2 < store->durable_id()) {
      drain_some();
      look();
    }
    commit(Request());
    clock.advance(std::chrono::hours(1));
  }

  void run(int cycles, std::uint64_t bytes_max) {
    for (int i = 0; i < cycles; ++i) {
      cycle((bytes_max >> 2) + random() % (bytes_max - (bytes_max >> 2)));
      // LMDB keeps what it freed in pieces: half as much again is what it needs.
      INFO("cycle " << i << ", file " << peak_file_bytes << ", live " << peak_live_bytes);
      REQUIRE(2 * peak_file_bytes <= 3 * peak_live_bytes);
    }
    commit(Request().batch(app, 1, "the last"));
    const auto stats = store->stats();
    CHECK(stats.file_bytes < (32 << 20));
    CHECK(is_sound());
    WARN(cycles << " outages, peak backlog " << peak_live_bytes << " bytes, peak file "
                << peak_file_bytes << ", file in the end " << stats.file_bytes);
  }

  std::mt19937_64 random{20261126};
  StreamState app;
  std::uint64_t acknowledged_id = 0;
  std::uint64_t peak_live_bytes = 0;
  std::uint64_t peak_file_bytes = 0;
};

}  // namespace

TEST_CASE_METHOD(DrainFixture, "outages do not make the file grow") { run(8, 40 << 20); }

TEST_CASE_METHOD(DrainFixture, "a month of hourly outages does not make the file grow",
                 "[.month]") {
  run(720, 40 << 20);
}

TEST_CASE_METHOD(DrainFixture, "outages below what is compacted do not make the file grow") {
  run(60, 6 << 20);
}

TEST_CASE_METHOD(DrainFixture, "a drained outage is given back, while running and at start") {
  while (store->stats().live_bytes < (34 << 20)) append_some();
  CHECK(file_bytes() > (33 << 20));
  SECTION("while running, beside rows that wait") {
    acknowledge_all();
    commit(Request().batch(app, 1, "next"));
    CHECK(file_bytes() < (1 << 20));
    CHECK(rows().size() == 1);
  }
  SECTION("at the next start") {
    acknowledge_all();
    store->close();
    store.reset();
    open();
    CHECK(file_bytes() < (1 << 20));
    CHECK(report.was_clean);
  }
  SECTION("not a second time soon after one that failed") {
    REQUIRE(::mkdir((options.path / "buffer.mdb.new").c_str(), 0700) == 0);
    acknowledge_all();
    commit(Request());
    CHECK(file_bytes() > (33 << 20));
    REQUIRE(::rmdir((options.path / "buffer.mdb.new").c_str()) == 0);
    commit(Request().batch(app, 1, "at once"));
    CHECK(file_bytes() > (33 << 20));
    clock.advance(std::chrono::minutes(11));
    commit(Request().batch(app, 1, "later"));
    CHECK(file_bytes() < (1 << 20));
  }
  CHECK(is_sound());
}
