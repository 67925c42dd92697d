// A disk that refuses what it seemed to have room for must not be asked for the same again and
// again.
#include <catch2/catch.hpp>

#include "tests/buffer/failing/failing_calls.hpp"
#include "tests/buffer/store_fixture.hpp"

using namespace penstock;
using namespace penstock::buffer;
using namespace penstock::tests;

namespace {

constexpr std::uint64_t given_up_bytes = 64 * 4096;  // at the first refusal
constexpr std::size_t row_bytes = 13'000;

struct RefusingDisk : StoreFixture {
  RefusingDisk() {
    open();
    udp = stream("udp", Priority::normal, WhenFull::drop_oldest);
    for (int i = 0; i < 200; ++i) add();
    store->close();
    // From now on there is none left beyond what is kept for others.
    options.keep_free = std::uint64_t{1} << 40;
    set_free_blocks(0);
    open();
    udp = stream("udp", Priority::normal, WhenFull::drop_oldest);
    unused_before = least_unused();
  }
  ~RefusingDisk() { set_free_blocks(-1); }

  /// What stays free of data in the file while it is in use and full.
  std::uint64_t least_unused() {
    while (add().dropped_rows == 0) continue;
    std::uint64_t least = UINT64_MAX;
    for (int i = 0; i < 20; ++i) {
      add();
      const StoreStats stats = store->stats();
      least = std::min(least, stats.file_bytes - std::min(stats.file_bytes, stats.live_bytes));
    }
    return least;
  }
  CommitReport add() { return commit(one_more(udp)); }
  static Request one_more(StreamState& to) {
    return Request().batch(to, 1, noise(row_bytes, to.next_seq));
  }
  /// The next commit finds no room, although the store thought that there is some.
  void refuse_one() {
    StreamState next = udp;
    const Request request = one_more(next);
    arm({Failure::full_disk, 1, 1, true});
    const auto refused = store->commit(request.request());
    disarm();
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code == Errc::full);
  }

  StreamState udp;
  std::uint64_t unused_before = 0;
};

}  // namespace

TEST_CASE_METHOD(RefusingDisk, "room that the disk has refused stays given up while it has none") {
  refuse_one();
  CHECK(least_unused() > unused_before + given_up_bytes / 2);
  CHECK(store->verify({}).value().problems.empty());
}

TEST_CASE_METHOD(RefusingDisk, "it is used again once the disk has room") {
  refuse_one();
  set_free_blocks(std::int64_t{1} << 40);
  add();
  set_free_blocks(0);
  CHECK(least_unused() < unused_before + given_up_bytes / 2);
  CHECK(store->verify({}).value().problems.empty());
}
