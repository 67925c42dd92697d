#include <catch2/catch.hpp>
#include <chrono>

#include "buffer/layout.hpp"
#include "buffer/lmdb.hpp"
#include "tests/buffer/store_fixture.hpp"

using namespace penstock;
using namespace penstock::buffer;
using namespace penstock::tests;
using namespace std::chrono_literals;

namespace {

std::uint32_t epoch_of_text(const std::string& text) {
  return static_cast<std::uint32_t>(std::stoul(text, nullptr, 16));
}

}  // namespace

TEST_CASE_METHOD(StoreFixture, "a new buffer says so and begins at 0") {
  open();
  CHECK(report.is_new_epoch);
  CHECK(report.reason == "created");
  CHECK(report.warnings.empty());
  CHECK(store->epoch().size() == 8);
  CHECK(stream("app").next_seq == 0);
  CHECK(store->durable_id() == 0);
  CHECK(rows().empty());
  CHECK_FALSE(store->has_pending_trims());
  const auto mode = std::filesystem::status(options.path).permissions();
  CHECK(mode == std::filesystem::perms::owner_all);
  CHECK_FALSE(std::filesystem::exists(options.path / "buffer.mdb.birth"));
}

TEST_CASE_METHOD(StoreFixture, "what was committed is there after a reopening") {
  open();
  const std::string epoch = store->epoch();
  StreamState app = stream("app");
  StreamState other = stream("other/part", Priority::high);
  Request first;
  first.batch(app, 3, "[1,2,3]").batch(other, 1, "[x]").loss(app, 2, LossReason::source);
  first.position("a.log", "100").position("b.log", "7");
  CHECK(commit(first).durable_id == 3);
  Request second;
  second.batch(app, 2, "[6,7]").position("b.log", "").position("c.log", "1");
  CHECK(commit(second).durable_id == 4);

  const bool was_closed = GENERATE(true, false);
  if (was_closed) store->close();
  open();
  CHECK(report.was_clean == was_closed);
  CHECK_FALSE(report.is_new_epoch);
  CHECK(store->epoch() == epoch);
  CHECK(stream("app").next_seq == 7);
  CHECK(stream("other/part", Priority::high).next_seq == 1);
  CHECK(stream("new").next_seq == 0);
  CHECK(store->stream_name(app.id) == "app");
  CHECK(store->stream_name(77).empty());

  const auto normal = rows();
  REQUIRE(normal.size() == 3);
  CHECK(normal[0].key == RowKey{1, app.id, 0, 3});
  CHECK(content(normal[0]) == "[1,2,3]");
  CHECK(normal[1].kind == RowKind::loss);
  CHECK(normal[1].key == RowKey{3, app.id, 3, 2});
  CHECK(normal[1].loss_reason == static_cast<std::uint8_t>(LossReason::source));
  CHECK(normal[1].loss_is_exact);
  CHECK(normal[1].time_unix_us == 1'700'000'000'000'000);
  CHECK(content(normal[2]) == "[6,7]");
  const auto high = rows(Priority::high);
  REQUIRE(high.size() == 1);
  CHECK(content(high[0]) == "[x]");

  CHECK(*store->position(owner, "a.log").value() == "100");
  CHECK_FALSE(store->position(owner, "b.log").value().has_value());
  CHECK_FALSE(store->position("other", "a.log").value().has_value());
  CHECK(store->position_parts(owner).value().size() == 2);
  CHECK(store->positions().value().size() == 2);
  CHECK(store->stats().events == 6);
  CHECK(store->stats().rows == 4);
}

TEST_CASE_METHOD(StoreFixture, "a position may be longer than a key of LMDB") {
  open();
  const std::string part(5000, 'p');
  const std::string bytes(4096, '\0');
  commit(Request().position(part, bytes));
  CHECK(*store->position(owner, part).value() == bytes);
  CHECK(store->position_parts(owner).value() == std::vector<std::string>{part});
}

TEST_CASE_METHOD(StoreFixture, "reading takes a window and goes on behind it") {
  open();
  StreamState app = stream("app");
  Request request;
  for (int i = 0; i < 10; ++i) request.batch(app, 1, noise(1000, i));
  commit(request);
  const auto window = store->rows_after(Priority::normal, 2, 3200);
  REQUIRE(window.ok());
  REQUIRE(window->size() == 3);
  CHECK(window->front().key.id == 3);
  CHECK(content(window->front()) == noise(1000, 2));
  CHECK(store->rows_after(Priority::normal, 2, 1).value().size() == 1);
  CHECK(store->rows_after(Priority::normal, 10, 1).value().empty());
  CHECK(store->rows_after(Priority::low, 0, 1).value().empty());
}

TEST_CASE_METHOD(StoreFixture, "acknowledged rows go with the next commit") {
  open();
  StreamState app = stream("app");
  commit(Request().batch(app, 1, "a").batch(app, 1, "b").batch(app, 1, "c"));
  store->acknowledge(store->generation(), Priority::normal, 2);
  CHECK(store->has_pending_trims());
  CHECK(rows().size() == 3);
  SECTION("without rows") { commit(Request()); }
  SECTION("with rows") { commit(Request().batch(app, 1, "d")); }
  SECTION("on closing") {
    store->close();
    open();
  }
  CHECK_FALSE(store->has_pending_trims());
  CHECK(rows().front().key.id == 3);
  store->acknowledge(store->generation(), Priority::normal, 1);
  CHECK_FALSE(store->has_pending_trims());
  CHECK(store->verify({}).value().problems.empty());
}

TEST_CASE_METHOD(StoreFixture, "an acknowledgement of what is not durable counts up to what is") {
  open();
  StreamState app = stream("app");
  commit(Request().batch(app, 1, "a"));
  store->acknowledge(store->generation(), Priority::normal, 99);
  commit(Request().batch(app, 1, "b"));
  CHECK(rows().size() == 1);
}

TEST_CASE_METHOD(StoreFixture, "the callback comes after commits that stored rows") {
  open();
  int calls = 0;
  std::uint64_t durable = 0;
  store->on_stored([&] {
    ++calls;
    durable = store->durable_id();
  });
  StreamState app = stream("app");
  commit(Request().batch(app, 1, "a"));
  CHECK(calls == 1);
  CHECK(durable == 1);
  commit(Request().position("a", "1"));
  CHECK(calls == 1);
}

TEST_CASE_METHOD(StoreFixture, "a stream changes its class once it has no backlog") {
  open();
  StreamState app = stream("app", Priority::normal);
  StreamState other = stream("other", Priority::normal);
  commit(Request().batch(other, 1, "o").batch(app, 1, "a"));
  CHECK(stream("app", Priority::high).priority == Priority::normal);
  commit(Request().batch(app, 1, "b"));
  CHECK(rows(Priority::high).empty());
  store->acknowledge(store->generation(), Priority::normal, 3);
  commit(Request().batch(app, 1, "c"));
  REQUIRE(rows(Priority::high).size() == 1);
  CHECK(rows(Priority::high)[0].key.seq == 2);
  CHECK(rows(Priority::normal).empty());
  store->close();
  open();
  CHECK(stream("app", Priority::high).priority == Priority::high);
}

TEST_CASE_METHOD(StoreFixture, "statistics by stream and verification see every row") {
  open();
  StreamState app = stream("app");
  StreamState other = stream("other", Priority::low);
  commit(Request().batch(app, 5, "a").batch(app, 5, "b").batch(other, 1, "c"));
  store->acknowledge(store->generation(), Priority::normal, 1);
  clock.advance(90s);
  commit(Request().loss(other, 3, LossReason::source));
  const auto streams = store->stream_stats();
  REQUIRE(streams.ok());
  REQUIRE(streams->size() == 2);
  CHECK((*streams)[0].name == "app");
  CHECK((*streams)[0].rows == 1);
  CHECK((*streams)[0].first_seq == 5);
  CHECK((*streams)[1].rows == 2);
  CHECK((*streams)[1].state.next_seq == 4);
  std::vector<std::pair<std::uint64_t, std::uint64_t>> seen;
  const auto verified = store->verify([&](std::uint64_t done, std::uint64_t total) {
    seen.emplace_back(done, total);
    return true;
  });
  REQUIRE(verified.ok());
  CHECK(verified->rows == 3);
  CHECK(verified->damaged_rows == 0);
  CHECK(verified->problems.empty());
  CHECK(seen.back() == std::pair<std::uint64_t, std::uint64_t>{3, 3});
  CHECK(store->stats().oldest_age_s == 90);
  CHECK(store->stats().events == 6);
}

TEST_CASE_METHOD(StoreFixture, "buffer time goes on over runs and not over the time between") {
  open();
  StreamState app = stream("app");
  commit(Request().batch(app, 1, "a"));
  clock.advance(60s);
  commit(Request().position("a", "1"));
  store->close();
  store.reset();
  clock.advance(1000s);
  open();
  clock.advance(30s);
  CHECK(store->stats().oldest_age_s == 90);
}

TEST_CASE_METHOD(StoreFixture, "a stored row is damaged when its content does not decompress") {
  open();
  StreamState app = stream("app");
  commit(Request().batch(app, 1, "abcabcabc"));
  Row row = rows().front();
  CHECK(content(row) == "abcabcabc");
  row.raw_size = 8;
  CHECK(content_of(row).error().code == Errc::corrupt);
  row.raw_size = 10;
  CHECK(content_of(row).error().code == Errc::corrupt);
  row.raw_size = row_content_max + 1;
  CHECK(content_of(row).error().code == Errc::corrupt);
  row.raw_size = 9;
  row.stored[row.stored.size() / 2] ^= 0x40;
  row.stored.resize(row.stored.size() - 1);
  CHECK(content_of(row).error().code == Errc::corrupt);
}

TEST_CASE_METHOD(StoreFixture, "verification tells what does not fit together") {
  open();
  StreamState app = stream("app");
  commit(Request().batch(app, 5, "a").batch(app, 5, "b").batch(app, 5, "c"));
  const std::uint32_t epoch = epoch_of_text(store->epoch());
  const auto stored = rows();
  store->close();
  store.reset();
  {
    const auto env =
        Env::open(options.path / "buffer.mdb", std::uint64_t{1} << 28, Access::write).value();
    Txn txn = env->begin_write().value();
    // The second begins one late, the third is of a stream that nobody knows.
    const RowKey keys[] = {{2, app.id, 6, 4}, {3, app.id + 6, 0, 5}};
    for (std::size_t i = 0; i < 2; ++i) {
      const Row& row = stored[i + 1];
      REQUIRE(txn.erase(Table::normal, view(encode_row_key(row.key, RowKind::batch))).value());
      const RowKeyBytes key = encode_row_key(keys[i], RowKind::batch);
      std::string value(row.stored.size() + row_overhead, '\0');
      encode_row(value.data(), epoch, Table::normal, view(key), row.stored,
                 {0, true, row.raw_size, 0, 0});
      REQUIRE(txn.put(Table::normal, view(key), value).ok());
    }
    REQUIRE(txn.commit().ok());
  }
  open();
  const auto verified = store->verify({});
  REQUIRE(verified.ok());
  CHECK(verified->damaged_rows == 0);
  std::string problems;
  for (const std::string& problem : verified->problems) problems += problem + '\n';
  for (const char* part : {"does not continue its stream at 5", "its account says 3",
                           "ends at 10, its counter says 15", "stream 7 has rows and no record",
                           "the counters of events are wrong"}) {
    CHECK_THAT(problems, Catch::Contains(part));
  }
  const auto ended = store->verify([](std::uint64_t, std::uint64_t) { return false; });
  CHECK(ended.value().problems.empty());
}

TEST_CASE_METHOD(StoreFixture, "a group that is not known has no rows") {
  open();
  CHECK(store->group_bytes("nobody") == 0);
  store->pin(store->generation() + 1, Priority::normal, 1);  // of another generation
  StreamState app = stream("app");
  commit(Request().batch(app, 1, "a"));
  CHECK(store->group_bytes("app") > 0);
}
