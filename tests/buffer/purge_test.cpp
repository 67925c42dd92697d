// Rows that a person takes out must be told as lost, and what is on its way must not change.
#include <catch2/catch.hpp>

#include "agent/base/wire.hpp"
#include "buffer/parking.hpp"
#include "tests/buffer/store_fixture.hpp"

using namespace penstock;
using namespace penstock::buffer;
using namespace penstock::tests;

namespace {

std::vector<RowPlace> places_of(const std::vector<Row>& rows) {
  std::vector<RowPlace> places;
  for (const Row& row : rows) places.push_back({row.priority, row.is_parked, row.key});
  return places;
}

constexpr auto purged = static_cast<std::uint8_t>(LossReason::purged);

}  // namespace

TEST_CASE_METHOD(StoreFixture, "purged rows become one loss record; no limit is blamed") {
  open();
  auto app = stream("app");
  commit(Request().batch(app, 2, "a").batch(app, 3, "b").batch(app, 1, "c"));
  auto chosen = places_of(rows());
  chosen.pop_back();
  const auto done = store->purge(store->generation(), chosen);
  REQUIRE(done.ok());
  CHECK(done->rows == 2);
  CHECK(done->events == 5);
  const auto left = rows();
  REQUIRE(left.size() == 2);
  CHECK(left[0].kind == RowKind::loss);
  CHECK(left[0].loss_reason == purged);
  CHECK(left[0].key.seq == 0);
  CHECK(left[0].key.count == 5);
  CHECK(content(left[1]) == "c");
  CHECK(store->stats().dropped_events == 0);
  CHECK(store->stats().events == 1);
  const auto verified = store->verify({});
  REQUIRE(verified.ok());
  CHECK(verified->problems.empty());
}

TEST_CASE_METHOD(StoreFixture,
                 "rows that were handed over, acknowledged or gone stay as they are") {
  open();
  auto app = stream("app");
  commit(Request().batch(app, 1, "a").batch(app, 1, "b").batch(app, 1, "c"));
  const auto all = rows();
  store->acknowledge(store->generation(), Priority::normal, all[0].key.id);
  store->pin(store->generation(), Priority::normal, all[1].key.id);
  const auto done = store->purge(store->generation(), places_of(all));
  REQUIRE(done.ok());
  CHECK(done->rows == 1);
  const auto again = store->purge(store->generation(), places_of(all));
  REQUIRE(again.ok());
  CHECK(again->rows == 0);
  CHECK_FALSE(store->purge(store->generation() + 1, places_of(all)).ok());
}

TEST_CASE_METHOD(StoreFixture, "parked rows are purged in their place") {
  open();
  auto app = stream("app");
  commit(Request().batch(app, 2, "a").batch(app, 3, "b"));
  const auto all = rows();
  store->parking()->park(app.id, 1);
  store->acknowledge(store->generation(), Priority::normal, all[1].key.id);
  commit(Request());
  const auto parked = store->parking()->peek_after(app.id, 0, 1 << 20);
  REQUIRE(parked.ok());
  REQUIRE(parked->size() == 2);
  REQUIRE(store->purge(store->generation(), places_of(*parked)).ok());
  const auto left = store->parking()->peek_after(app.id, 0, 1 << 20);
  REQUIRE(left.ok());
  REQUIRE(left->size() == 1);
  CHECK(left->front().loss_reason == purged);
  CHECK(left->front().key.count == 5);
  const auto verified = store->verify({});
  REQUIRE(verified.ok());
  CHECK(verified->problems.empty());
}

TEST_CASE_METHOD(StoreFixture, "a purge that the disk refuses leaves the store usable") {
  open();
  auto app = stream("app");
  commit(Request().batch(app, 2, "a"));
  const auto chosen = places_of(rows());
  faults.before_commit = [] { return true; };
  CHECK_FALSE(store->purge(store->generation(), chosen).ok());
  faults.before_commit = nullptr;
  REQUIRE(rows().size() == 1);
  CHECK(rows()[0].kind == RowKind::batch);
  REQUIRE(store->purge(store->generation(), chosen).ok());
  CHECK(rows()[0].kind == RowKind::loss);
}
