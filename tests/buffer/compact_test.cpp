// A compaction must lose nothing, whatever fails in it.
#include <fcntl.h>
#include <sys/stat.h>

#include <catch2/catch.hpp>

#include "agent/base/unique_fd.hpp"
#include "buffer/parking.hpp"
#include "tests/buffer/store_fixture.hpp"

using namespace penstock;
using namespace penstock::buffer;
using namespace penstock::tests;

namespace {

struct CompactFixture : StoreFixture {
  std::uint64_t file_bytes() const { return store->stats().file_bytes; }
  /// Rows of this many bytes in all, 64 KiB each.
  void fill(StreamState& stream, std::uint64_t bytes) {
    for (std::uint64_t done = 0; done < bytes;) {
      Request request;
      for (int i = 0; i < 64 && done < bytes; ++i, done += 65'536) {
        request.batch(stream, 1, noise(65'400, stream.next_seq));
      }
      commit(request);
    }
  }
  void acknowledge_all() {
    for (std::size_t i = 0; i < priority_count; ++i) {
      store->acknowledge(store->generation(), static_cast<Priority>(i), store->durable_id());
    }
  }
  bool is_sound() const {
    const auto verified = store->verify({});
    return verified.ok() && verified->problems.empty();
  }
};

}  // namespace

TEST_CASE_METHOD(CompactFixture,
                 "a compaction keeps rows, ids, positions, parked rows and counts") {
  open();
  auto app = stream("app");
  auto urgent = stream("urgent", Priority::high);
  auto refused = stream("refused");
  fill(app, 2 << 20);
  acknowledge_all();
  commit(Request().batch(refused, 2, "parked"));
  store->parking()->park(refused.id, 1);
  acknowledge_all();
  commit(Request().batch(app, 3, "a").batch(urgent, 2, "u").position("a.log", "100"));
  commit(Request().loss(app, 5, LossReason::buffer_full));
  const auto before = rows();
  const std::uint64_t size = file_bytes();
  std::uint64_t last_done = 0;
  const auto done = store->compact([&](std::uint64_t rows, std::uint64_t total) {
    CHECK(rows <= total);
    last_done = rows;
  });
  REQUIRE(done.ok());
  CHECK(done->bytes_before == size);
  CHECK(done->bytes_after == file_bytes());
  CHECK(file_bytes() < 256 * 1024);
  CHECK(store->generation() == 1);

  const auto look = [&] {
    const auto after = rows();
    REQUIRE(after.size() == before.size());
    for (std::size_t i = 0; i < after.size(); ++i) {
      CHECK(after[i].key == before[i].key);
      CHECK(after[i].stored == before[i].stored);
      CHECK_FALSE(after[i].is_damaged);
    }
    CHECK(rows(Priority::high).size() == 1);
    const auto parked = store->parking()->peek_after(refused.id, 0, 1 << 20);
    REQUIRE(parked.ok());
    CHECK(parked->size() == 1);
    CHECK(store->position(owner, "a.log")->value_or("") == "100");
    CHECK(is_sound());
  };
  look();
  commit(Request());
  store->close();
  open();
  CHECK(report.was_clean);
  CHECK_FALSE(report.is_new_epoch);
  look();
  app = stream("app");
  commit(Request().batch(app, 1, "more"));
  CHECK(is_sound());
}

TEST_CASE_METHOD(CompactFixture, "a compaction that cannot make its copy changes nothing") {
  open();
  auto app = stream("app");
  fill(app, 1 << 20);
  acknowledge_all();
  commit(Request().batch(app, 1, "left"));
  const std::uint64_t size = file_bytes();
  // A directory in its place is what not even root can unlink or open.
  REQUIRE(::mkdir((options.path / "buffer.mdb.new").c_str(), 0700) == 0);
  CHECK_FALSE(store->compact({}).ok());
  CHECK(file_bytes() == size);
  CHECK(store->generation() == 1);
  CHECK(rows().size() == 1);
  commit(Request().batch(app, 1, "goes on"));
  REQUIRE(::rmdir((options.path / "buffer.mdb.new").c_str()) == 0);
  REQUIRE(store->compact({}).ok());
  CHECK(file_bytes() < size);
  CHECK(rows().size() == 2);
}

TEST_CASE_METHOD(CompactFixture, "a left copy is removed, reserved blocks are kept") {
  options.preallocate = true;
  open();
  CHECK(store->compact({}).error().code == Errc::invalid);
  store->close();
  store.reset();
  const auto left = options.path / "buffer.mdb.new";
  REQUIRE(UniqueFd(::open(left.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)).is_open());
  options.preallocate = false;
  open();
  CHECK_FALSE(std::filesystem::exists(left));
}

TEST_CASE_METHOD(CompactFixture, "nothing is committed to a copy whose name is not durable") {
  int failures = 0;
  faults.sync_names = [&] { return failures > 0 && failures-- > 0; };
  open();
  auto app = stream("app");
  fill(app, 2 << 20);
  acknowledge_all();
  commit(Request().batch(app, 1, "a"));
  failures = 3;
  const auto compacted = store->compact({});
  REQUIRE_FALSE(compacted.ok());
  CHECK(compacted.error().code == Errc::unavailable);
  Request more;
  more.batch(app, 1, "b");
  const auto refused = store->commit(more.request());
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code == Errc::unavailable);
  CHECK(rows().size() == 1);
  CHECK(failures == 0);
  commit(more);
  CHECK(rows().size() == 2);
  CHECK(is_sound());
}

TEST_CASE_METHOD(CompactFixture, "a compaction that the disk has no room for is refused") {
  open();
  auto app = stream("app");
  commit(Request().batch(app, 1, "a"));
  store->close();
  options.keep_free = std::uint64_t{1} << 60;
  open();
  CHECK(store->compact({}).error().code == Errc::full);
  CHECK(rows().size() == 1);
  CHECK(is_sound());
}
