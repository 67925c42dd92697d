// Losses of many reasons must not fill the buffer: above a few, those that touch become one.
#include <catch2/catch.hpp>

#include "agent/base/wire.hpp"
#include "buffer/parking.hpp"
#include "buffer/transaction.hpp"
#include "tests/buffer/store_fixture.hpp"

using namespace penstock;
using namespace penstock::buffer;
using namespace penstock::tests;

namespace {

constexpr std::size_t row_bytes = 3'000;
constexpr auto full_reason = static_cast<std::uint8_t>(LossReason::buffer_full);
constexpr auto source_reason = static_cast<std::uint8_t>(LossReason::source);
constexpr std::size_t kept_max = Transaction::losses_kept_max;

struct JoinedLosses : StoreFixture {
  JoinedLosses() { options.max_size = 1 << 20; }

  void open_udp(WhenFull when_full) {
    open();
    udp = stream("udp", Priority::normal, when_full);
  }
  /// As an overloaded source does: a batch, and what it lost before it.
  void overload(int times, bool is_exact = true) {
    for (int i = 0; i < times; ++i) {
      const std::uint32_t lost = is_exact ? 3 : 1;
      events += 10;
      given += lost;
      commit(Request()
                 .loss(udp, lost, LossReason::source, is_exact)
                 .batch(udp, 10, noise(row_bytes, udp.next_seq)));
    }
  }
  std::vector<Row> losses(const std::vector<Row>& all) {
    std::vector<Row> found;
    for (const Row& row : all) {
      if (row.kind == RowKind::loss) found.push_back(row);
    }
    return found;
  }
  /// Every number once, in order.
  void check_numbers(const std::vector<Row>& all) {
    std::uint64_t next = 0;
    for (const Row& row : all) {
      CHECK(row.key.seq == next);
      next = row.key.seq + row.key.count;
    }
    CHECK(next == udp.next_seq);
  }
  std::vector<Row> parked() {
    return store->parking()->peek_after(udp.id, 0, std::size_t{1} << 30).value();
  }
  void check_sound() {
    const auto verified = store->verify({});
    REQUIRE(verified.ok());
    CHECK(verified->problems == std::vector<std::string>{});
  }

  StreamState udp;
  std::uint64_t events = 0;
  std::uint64_t given = 0;
};

}  // namespace

TEST_CASE_METHOD(JoinedLosses, "an overloaded source does not fill the buffer with its losses") {
  const WhenFull policy = GENERATE(WhenFull::drop_oldest, WhenFull::drop_newest);
  open_udp(policy);
  overload(2000);
  const auto all = rows();
  check_numbers(all);
  const auto told = losses(all);
  // Beside those between the batches that are left.
  CHECK(told.size() <= kept_max + 1 + (all.size() - told.size()));
  CHECK(all.size() - told.size() > 100);
  CHECK(told.front().loss_reason == (policy == WhenFull::drop_oldest ? source_reason : 1));
  const auto joined = std::max_element(told.begin(), told.end(), [](const auto& a, const auto& b) {
    return a.key.count < b.key.count;
  });
  CHECK(joined->key.count > 10'000);
  CHECK(joined->loss_reason == full_reason);
  CHECK(joined->loss_is_exact);
  // What the limits dropped is counted as such, whatever the records say.
  const auto account = store->stream_stats()->front();
  CHECK(account.dropped_events == events - 10 * (all.size() - told.size()));
  check_sound();
}

TEST_CASE_METHOD(JoinedLosses, "a few losses are told apart, and those that were handed over") {
  open_udp(WhenFull::drop_oldest);
  overload(3);
  store->set_policy("udp", {Priority::normal, WhenFull::drop_oldest, 5'000});
  overload(1);
  auto told = losses(rows());
  REQUIRE(told.size() == 7);
  for (std::size_t i = 0; i < told.size(); ++i) {
    CHECK(told[i].loss_reason == (i % 2 == 0 ? source_reason : full_reason));
  }
  const auto sent = store->rows_after(Priority::normal, 0, 1 << 20).value();
  overload(20);
  const auto all = rows();
  check_numbers(all);
  for (std::size_t i = 0; i < sent.size(); ++i) {
    CHECK(all[i].key == sent[i].key);
    CHECK(all[i].loss_reason == sent[i].loss_reason);
  }
  check_sound();
}

TEST_CASE_METHOD(JoinedLosses, "a record that took in one of unknown size is of unknown size") {
  open_udp(WhenFull::drop_oldest);
  store->set_policy("udp", {Priority::normal, WhenFull::drop_oldest, 5'000});
  SECTION("between batches") { overload(40, false); }
  SECTION("alone") {
    for (int i = 0; i < 40; ++i) commit(Request().loss(udp, 1, LossReason::source, false));
  }
  const auto all = rows();
  check_numbers(all);
  const auto told = losses(all);
  CHECK(told.size() <= kept_max + 2);
  CHECK_FALSE(told[kept_max - 1].loss_is_exact);
  CHECK(told[kept_max - 1].key.count > 20);
  check_sound();
}

TEST_CASE_METHOD(JoinedLosses, "losses of a parked stream are joined like others") {
  open_udp(WhenFull::drop_oldest);
  overload(1);
  store->parking()->park(udp.id, 1);
  store->acknowledge(store->generation(), Priority::normal, store->durable_id());
  commit(Request());
  overload(1000);
  const auto all = parked();
  CHECK(rows().empty());
  check_numbers(all);
  const auto told = losses(all);
  CHECK(told.size() <= kept_max + 1 + (all.size() - told.size()));
  CHECK(all.size() - told.size() > 100);
  check_sound();
}

TEST_CASE_METHOD(JoinedLosses, "a buffer that losses had filled takes data again") {
  open_udp(WhenFull::drop_oldest);
  // As it was left by one that kept them all: reasons alternate, with no batch between.
  constexpr int rows_per_commit = 500;
  for (bool is_full = false; !is_full;) {
    StreamState next = udp;
    Request request;
    for (int i = 0; i < rows_per_commit; ++i) {
      request.loss(next, 3, i % 2 == 0 ? LossReason::source : LossReason::expired);
      request.batch(next, 1, "x");
    }
    is_full = !store->commit(request.request()).ok() || store->is_nearly_full();
    if (!is_full) udp = next;
  }
  CHECK(losses(rows()).size() > 1'000);
  auto other = stream("other", Priority::normal, WhenFull::drop_oldest);
  std::uint64_t dropped = 0;
  for (int i = 0; i < 40; ++i) {
    dropped += commit(Request().batch(other, 1, noise(30'000, other.next_seq))).dropped_events;
  }
  CHECK(losses(rows()).size() < 1'000);
  CHECK(dropped > 0);
  check_sound();
}
