// Damage that is met while the store is in use must not be tried again for ever: the next opening
// begins a new epoch, or goes on with a sound file.
#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "agent/base/bytes.hpp"
#include "agent/base/unique_fd.hpp"
#include "buffer/crash_marker.hpp"
#include "buffer/damage_watch.hpp"
#include "buffer/layout.hpp"
#include "buffer/lmdb_layout.hpp"
#include "tests/buffer/store_fixture.hpp"

using namespace penstock;
using namespace penstock::buffer;
using namespace penstock::buffer::lmdb_layout;
using namespace penstock::tests;
namespace fs = std::filesystem;

namespace {

constexpr std::size_t page = 4096;
// LMDB 0.9, mdb.c: MDB_meta.
constexpr std::size_t tables_at = page_header + 8 + 2 * word;
constexpr std::size_t free_root_at = tables_at + 8 + 4 * word;
constexpr std::size_t transaction_at = tables_at + 2 * (8 + 5 * word) + word;

class DamageFixture : public StoreFixture {
 public:
  DamageFixture() {
    open();
    app = stream("app");
    store->on_damaged([this] { ++told; });
    for (int i = 0; i < 30; ++i) commit(batch(i));
    store->acknowledge(store->generation(), Priority::normal, 20);
    for (int i = 0; i < 5; ++i) commit(batch(i));
  }
  fs::path file() const { return options.path / "buffer.mdb"; }
  Request batch(int i) {
    return Request()
        .batch(app, 10, noise(9000, static_cast<std::uint64_t>(i)))
        .position("a.log", std::to_string(i));
  }
  void write(std::size_t at, std::string_view bytes) const {
    const UniqueFd fd(::open(file().c_str(), O_WRONLY | O_CLOEXEC));
    REQUIRE(::pwrite(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(at)) ==
            static_cast<ssize_t>(bytes.size()));
  }
  /// Where the row's key is, in every page that has it or had it.
  std::vector<std::size_t> keys_of(std::uint64_t id) const {
    const std::string bytes = read_file(file());
    const RowKeyBytes row = encode_row_key({id, app.id, (id - 1) * 10, 10}, RowKind::batch);
    std::vector<std::size_t> keys;
    for (std::size_t at = 2 * page; at < bytes.size(); at += page) {
      const std::size_t key = bytes.find(view(row), at);
      if (key == std::string::npos || key >= at + page) continue;
      // Before its nodes a page has what its memory held before.
      if (key - at < load_le<std::uint16_t>(bytes.data() + at + upper_at)) continue;
      keys.push_back(key);
    }
    return keys;
  }
  /// Where the first page of the list of free pages is.
  std::size_t free_list() const {
    const std::string bytes = read_file(file());
    const auto transaction = [&](std::size_t meta) {
      return load_le<std::size_t>(bytes.data() + meta + transaction_at);
    };
    const std::size_t meta = transaction(0) > transaction(page) ? 0 : page;
    return load_le<std::size_t>(bytes.data() + meta + free_root_at) * page;
  }
  /// The answer of the commit that is the last one to be tried.
  Error last_answer() {
    Result<CommitReport> done = Error{};
    for (unsigned i = 0; i < 2 * DamageWatch::failures_max && told == 0; ++i) {
      StreamState same = app;
      done = store->commit(Request().batch(same, 10, noise(9000, 77)).request());
      if (done.ok()) app = same;
    }
    return done.ok() ? Error{Errc::stopped, "committed"} : done.error();
  }

  StreamState app;
  int told = 0;
};

}  // namespace

TEST_CASE_METHOD(DamageFixture, "a damaged list of free pages ends in a new epoch") {
  const std::string epoch = store->epoch();
  write(free_list() + flags_at, std::string(2, '\0'));
  CHECK(last_answer().code == Errc::corrupt);
  CHECK(told == 1);
  CHECK(crash_count(options.path) == CrashCount::once);
  store->close();
  open();
  CHECK(report.reason == "quarantined");
  CHECK(report.previous_epoch == epoch);
  CHECK(*store->position(owner, "a.log").value() == "4");
  app = stream("app");
  CHECK(app.next_seq == 0);
  commit(batch(1));
  CHECK(crash_count(options.path) == CrashCount::none);
}

TEST_CASE_METHOD(DamageFixture, "rows that cannot be reached end in a new epoch") {
  const std::string epoch = store->epoch();
  // Every page that has its key says that it is something else.
  for (const std::size_t key : keys_of(25)) {
    write(key / page * page + flags_at, std::string(2, '\0'));
  }
  Result<std::vector<Row>> rows = Error{};
  for (unsigned i = 0; i < DamageWatch::failures_max; ++i) {
    CHECK(told == 0);
    rows = store->rows_after(Priority::normal, 20, 100'000);
    REQUIRE_FALSE(rows.ok());
    CHECK(rows.error().code == Errc::corrupt);
  }
  CHECK(told == 1);
  store->close();
  open();
  CHECK(report.reason == "quarantined");
  CHECK(report.previous_epoch == epoch);
}

TEST_CASE_METHOD(DamageFixture, "a long row whose pages are counted wrongly is not trimmed") {
  const std::string epoch = store->epoch();
  const std::string bytes = read_file(file());
  const std::uint32_t pages = GENERATE(2, 300, 2'000'000'000);  // it has 3
  char number[sizeof pages];
  store_le(number, pages);
  for (const std::size_t key : keys_of(25)) {
    const auto first = load_le<std::size_t>(bytes.data() + key + row_key_size);
    write(first * page + pages_at, {number, sizeof number});
  }
  const bool is_met = GENERATE(true, false);
  if (is_met) {
    store->acknowledge(store->generation(), Priority::normal, 30);
    CHECK(last_answer().code == Errc::corrupt);
    CHECK(told == 1);
  }
  store->close();
  open();
  CHECK(report.reason == "quarantined");
  CHECK(report.previous_epoch == epoch);
  REQUIRE(report.last_numbers.size() == 1);
  CHECK(report.last_numbers[0].next_seq == 350);
}

TEST_CASE_METHOD(DamageFixture, "a damaged number does not become that of the oldest row") {
  for (const std::size_t key : keys_of(25)) {
    write(key + row_key_size - 5, std::string(1, static_cast<char>(240 ^ 0x80)));
  }
  store->acknowledge(store->generation(), Priority::normal, 25);
  commit(Request());
  const auto streams = store->stream_stats();
  REQUIRE(streams.ok());
  CHECK(streams->front().rows == 10);
  CHECK(streams->front().first_seq == 240);
}

TEST_CASE_METHOD(StoreFixture, "a disk that fails, or is full, is no damage") {
  open();
  StreamState app = stream("app");
  commit(Request().batch(app, 10, "x"));
  int told = 0;
  store->on_damaged([&] { ++told; });
  const auto failing = GENERATE(0, 1);
  faults.before_commit = [=] { return failing == 0; };
  faults.reopen = [=] { return failing == 1; };
  faults.after_commit = faults.reopen;
  const Request request = Request().batch(app, 10, "y");
  for (unsigned i = 0; i < 3 * DamageWatch::failures_max; ++i) {
    CHECK(store->commit(request.request()).error().code == Errc::unavailable);
  }
  CHECK(told == 0);
  CHECK(crash_count(options.path) == CrashCount::none);
  faults = {};
  CHECK(store->commit(request.request()).ok());
}
