// What a commit promises when the buffer is full, when the disk fails, and when the process dies.
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "agent/base/unique_fd.hpp"
#include "buffer/parking.hpp"
#include "tests/buffer/store_fixture.hpp"

using namespace penstock;
using namespace penstock::buffer;
using namespace penstock::tests;

namespace {

constexpr std::size_t row_bytes = 50'000;

struct FullFixture : StoreFixture {
  FullFixture() { options.max_size = max_size_min; }

  /// Appends rows until `rows` are stored that nothing was dropped for.
  void fill(StreamState& stream, int rows) {
    for (int i = 0; i < rows; ++i) {
      REQUIRE(commit(Request().batch(stream, 10, noise(row_bytes, stream.next_seq))).dropped_rows ==
              0);
    }
  }
};

bool once(int& left) { return left > 0 && left-- > 0; }

}  // namespace

TEST_CASE_METHOD(FullFixture, "a stream that may not drop finds the buffer full, unchanged") {
  open();
  StreamState app = stream("app");
  int stored = 0;
  for (;; ++stored) {
    const StreamState before = app;
    Request request;
    request.batch(app, 10, noise(row_bytes, before.next_seq)).position("a", std::to_string(stored));
    if (store->is_nearly_full()) CHECK(store->stats().live_bytes > max_size_min * 9 / 10);
    const auto done = store->commit(request.request());
    if (done.ok()) continue;
    CHECK(done.error().code == Errc::full);
    app = before;
    break;
  }
  CHECK(store->is_nearly_full());
  CHECK(stored >= 17);
  CHECK(rows().size() == static_cast<std::size_t>(stored));
  CHECK(*store->position(owner, "a").value() == std::to_string(stored - 1));
  CHECK(store->stats().live_bytes <= max_size_min);

  SECTION("an acknowledgement makes room, also when the next request is refused") {
    store->acknowledge(store->generation(), Priority::normal, 1);
    Request large;
    StreamState ignored = app;
    large.batch(ignored, 1, noise(900'000, 1));
    CHECK(store->commit(large.request()).error().code == Errc::full);
    CHECK_FALSE(store->has_pending_trims());
    CHECK(rows().size() == static_cast<std::size_t>(stored - 1));
    commit(Request().batch(app, 1, noise(row_bytes, 1)));
  }
  SECTION("positions and losses of the source still find room") {
    commit(Request().position("a", "later").loss(app, 4, LossReason::source));
    CHECK(rows().back().kind == RowKind::loss);
  }
}

TEST_CASE_METHOD(FullFixture, "the oldest droppable rows become one loss row that grows") {
  open();
  StreamState udp = stream("udp", Priority::normal, WhenFull::drop_oldest);
  StreamState app = stream("app", Priority::normal);
  fill(app, 1);
  fill(udp, 15);
  std::uint64_t dropped = 0;
  for (int i = 0; i < 10; ++i) {
    const auto done = commit(Request().batch(udp, 10, noise(row_bytes, udp.next_seq)));
    dropped += done.dropped_rows;
    CHECK(done.dropped_events == done.dropped_rows * 10);
  }
  CHECK(dropped >= 5);
  CHECK(store->stats().dropped_events == dropped * 10);
  const auto present = rows();
  REQUIRE(present.size() >= 3);
  CHECK(present[0].key.stream_id == app.id);
  CHECK(present[1].kind == RowKind::loss);
  CHECK(present[1].key.seq == 0);
  CHECK(present[1].key.count == dropped * 10);
  CHECK(present[1].loss_reason == static_cast<std::uint8_t>(LossReason::buffer_full));
  CHECK(present[2].kind == RowKind::batch);
  CHECK(present[2].key.seq == dropped * 10);
  CHECK(store->verify({}).value().problems.empty());
}

TEST_CASE_METHOD(FullFixture, "lower classes are dropped first") {
  open();
  StreamState high = stream("high", Priority::high, WhenFull::drop_oldest);
  StreamState low = stream("low", Priority::low, WhenFull::drop_oldest);
  fill(high, 12);
  fill(low, 4);
  for (int i = 0; i < 3; ++i) commit(Request().batch(high, 10, noise(row_bytes, i)));
  CHECK(rows(Priority::high).front().kind == RowKind::batch);
  CHECK(rows(Priority::low).front().kind == RowKind::loss);
}

TEST_CASE_METHOD(FullFixture,
                 "a pinned row is not dropped; with nothing else left the newcomer is") {
  open();
  StreamState udp = stream("udp", Priority::normal, WhenFull::drop_oldest);
  fill(udp, 16);
  std::uint64_t dropped = 0;
  for (int i = 0; i < 6; ++i) {
    REQUIRE(store->rows_after(Priority::normal, 0, std::size_t{1} << 30).ok());
    dropped += commit(Request().batch(udp, 10, noise(row_bytes, udp.next_seq))).dropped_rows;
  }
  REQUIRE(dropped >= 4);
  auto present = store->rows_after(Priority::normal, 0, std::size_t{1} << 30).value();
  for (int i = 0; i < 16; ++i) CHECK(present[i].kind == RowKind::batch);
  CHECK(present.back().kind == RowKind::loss);
  // A loss row that was handed over cannot grow any more.
  CHECK(present.back().key.count == 10);
  CHECK(present.size() == 16 + 6);
  store->pin(store->generation(), Priority::normal, 0);
  CHECK(commit(Request().batch(udp, 10, noise(row_bytes, 1))).dropped_rows > 0);
  CHECK(rows().front().kind == RowKind::loss);
}

TEST_CASE_METHOD(FullFixture, "losses of unknown size stay apart") {
  open();
  StreamState app = stream("app");
  commit(Request().loss(app, 1, LossReason::source, false).loss(app, 1, LossReason::source, false));
  commit(Request().loss(app, 2, LossReason::source).loss(app, 3, LossReason::source));
  const auto present = rows();
  REQUIRE(present.size() == 3);
  CHECK_FALSE(present[1].loss_is_exact);
  CHECK(present[2].key.count == 5);
}

TEST_CASE_METHOD(FullFixture,
                 "a request larger than the buffer is taken when nothing else is there") {
  open();
  StreamState app = stream("app");
  Request large;
  large.batch(app, 1, noise(3'000'000, 1));
  commit(large);
  StreamState after = app;
  CHECK(store->commit(Request().batch(after, 1, noise(10, 1)).request()).error().code ==
        Errc::full);
  store->acknowledge(store->generation(), Priority::normal, 1);
  commit(Request().batch(app, 1, noise(10, 1)));
}

TEST_CASE_METHOD(StoreFixture, "a failed commit that left nothing may be tried again") {
  int failures = 0;
  faults.before_commit = [&] { return once(failures); };
  open();
  StreamState app = stream("app");
  Request request;
  request.batch(app, 2, "a").position("p", "1");
  failures = 1;
  const auto failed = store->commit(request.request());
  REQUIRE_FALSE(failed.ok());
  CHECK(failed.error().code == Errc::unavailable);
  CHECK(store->generation() == 2);
  CHECK(store->durable_id() == 0);
  CHECK(rows().empty());
  CHECK_FALSE(store->position(owner, "p").value().has_value());
  CHECK(commit(request).durable_id == 1);
  CHECK(rows().size() == 1);
  CHECK(*store->position(owner, "p").value() == "1");
}

TEST_CASE_METHOD(StoreFixture, "what was read in an earlier generation is not acknowledged") {
  int failures = 0;
  faults.before_commit = [&] { return once(failures); };
  open();
  StreamState app = stream("app");
  commit(Request().batch(app, 1, "a").batch(app, 1, "b"));
  const std::uint64_t before = store->generation();
  StreamState ignored = app;
  failures = 1;
  REQUIRE_FALSE(store->commit(Request().batch(ignored, 1, "c").request()).ok());
  REQUIRE(store->generation() == before + 1);
  store->acknowledge(before, Priority::normal, 1);
  CHECK_FALSE(store->has_pending_trims());
  commit(Request().batch(app, 1, "c"));
  CHECK(rows().size() == 3);
  store->acknowledge(before + 1, Priority::normal, 1);
  CHECK(store->has_pending_trims());
}

TEST_CASE_METHOD(StoreFixture, "a commit reported as failed that is there counts, once confirmed") {
  int after = 0;
  int reopen = 0;
  faults.after_commit = [&] { return once(after); };
  faults.reopen = [&] { return once(reopen); };
  open();
  StreamState app = stream("app");
  Request request;
  request.batch(app, 2, "a").position("p", "1");
  SECTION("confirmed within the call") {
    after = 1;
    CHECK(commit(request).durable_id == 1);
    CHECK(store->generation() == 2);
  }
  SECTION("confirmed by the next call, nothing is published before") {
    after = 2;
    const auto failed = store->commit(request.request());
    REQUIRE_FALSE(failed.ok());
    CHECK(failed.error().code == Errc::unavailable);
    CHECK(store->durable_id() == 0);
    CHECK_FALSE(store->position(owner, "p").ok());
    CHECK(commit(request).durable_id == 1);
  }
  SECTION("the file cannot be opened for a while") {
    after = 1;
    reopen = 2;
    REQUIRE_FALSE(store->commit(request.request()).ok());
    CHECK(store->rows_after(Priority::normal, 0, 1).error().code == Errc::unavailable);
    REQUIRE_FALSE(store->commit(request.request()).ok());
    CHECK(commit(request).durable_id == 1);
  }
  CHECK(rows().size() == 1);
  CHECK(commit(Request().batch(app, 1, "b")).durable_id == 2);
  CHECK(store->verify({}).value().problems.empty());
}

TEST_CASE_METHOD(StoreFixture, "while the file can only be read, what is stored can be sent") {
  int before = 0;
  int reopen = 0;
  faults.before_commit = [&] { return once(before); };
  faults.reopen = [&] { return once(reopen); };
  open();
  StreamState app = stream("app");
  commit(Request().batch(app, 1, "a").batch(app, 1, "b").position("p", "1"));
  Request request;
  request.batch(app, 1, "c").position("p", "2");
  before = 1;
  reopen = 2;
  for (int attempt = 0; attempt < 2; ++attempt) {
    CHECK(store->commit(request.request()).error().code == Errc::unavailable);
    CHECK(rows().size() == 2);
    CHECK_FALSE(store->position(owner, "p").ok());
    CHECK(store->stats().rows == 2);
  }
  store->acknowledge(store->generation(), Priority::normal, 1);
  CHECK(commit(request).durable_id == 3);
  CHECK(rows().size() == 2);
  CHECK(*store->position(owner, "p").value() == "2");
}

TEST_CASE_METHOD(StoreFixture, "a real write error leaves what was stored, and the store goes on") {
  open();
  StreamState app = stream("app");
  commit(Request().batch(app, 1, noise(200'000, 1)));
  rlimit before = {};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  struct sigaction ignore = {};
  struct sigaction old = {};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGXFSZ, &ignore, &old);
  rlimit small = before;
  small.rlim_cur = std::filesystem::file_size(options.path / "buffer.mdb") + 8192;
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  Request request;
  request.batch(app, 1, noise(400'000, 2));
  const auto failed = store->commit(request.request());
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::sigaction(SIGXFSZ, &old, nullptr);
  REQUIRE_FALSE(failed.ok());
  CHECK(store->durable_id() == 1);
  CHECK(rows().size() == 1);
  CHECK(commit(request).durable_id == 2);
  CHECK(content(rows().back()) == noise(400'000, 2));
}

TEST_CASE_METHOD(StoreFixture, "kill -9 loses no commit that returned") {
  for (int round = 0; round < 8; ++round) {
    store.reset();
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    UniqueFd from_child(ends[0]);
    UniqueFd to_parent(ends[1]);
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      if (!try_open().ok()) ::_exit(1);
      auto state = store->open_stream("app", Priority::normal, WhenFull::block);
      for (StreamState app = *state;;) {
        Request request;
        request.batch(app, 1, noise(3000, app.next_seq))
            .position("p", std::to_string(app.next_seq));
        if (!store->commit(request.request()).ok()) ::_exit(1);
        if (::write(to_parent.get(), &app.next_seq, sizeof app.next_seq) < 0) ::_exit(1);
      }
    }
    to_parent.reset();
    std::uint64_t told = 0;
    for (int i = 0; i < 3 + round; ++i) {
      REQUIRE(::read(from_child.get(), &told, sizeof told) == sizeof told);
    }
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    for (std::uint64_t last = 0; ::read(from_child.get(), &last, sizeof last) == sizeof last;) {
      told = last;
    }
    open();
    CHECK_FALSE(report.was_clean);
    const StreamState app = stream("app");
    CHECK(app.next_seq >= told);
    CHECK(app.next_seq <= told + 1);
    CHECK(*store->position(owner, "p").value() == std::to_string(app.next_seq));
    CHECK(rows().size() == app.next_seq);
    CHECK(store->verify({}).value().problems.empty());
  }
}

TEST_CASE_METHOD(StoreFixture, "while a commit is undecided nothing else is decided") {
  int after = 0;
  faults.after_commit = [&] { return once(after); };
  open();
  StreamState app = stream("app");
  Request request;
  request.batch(app, 2, "a").position("p", "1");
  after = 2;
  REQUIRE_FALSE(store->commit(request.request()).ok());
  CHECK(store->purge(store->generation(), {}).error().code == Errc::unavailable);
  CHECK(store->compact({}).error().code == Errc::unavailable);
  CHECK(store->commit({}).error().code == Errc::unavailable);
  CHECK(store->open_stream("app", Priority::normal, WhenFull::block).error().code ==
        Errc::unavailable);
  CHECK(store->positions().error().code == Errc::unavailable);
  store->parking()->park(app.id, 1);
  CHECK_FALSE(store->parking()->unpark(app.id, 0).value());
  CHECK(store->durable_id() == 0);
  CHECK(rows().empty());
  CHECK(commit(request).durable_id == 1);
  CHECK(store->positions().value().size() == 1);
}

TEST_CASE_METHOD(StoreFixture, "a file of another buffer in its place is not continued") {
  StoreFixture other;
  other.open();
  StreamState theirs = other.stream("app");
  other.commit(Request().batch(theirs, 7, "theirs"));
  other.store->close();
  const std::filesystem::path file = options.path / "buffer.mdb";
  int swaps = 0;
  faults.before_commit = [&] {
    if (!once(swaps)) return false;
    std::filesystem::rename(file, dir / "own");
    std::filesystem::copy_file(other.options.path / "buffer.mdb", file);
    return true;
  };
  open();
  StreamState app = stream("app");
  commit(Request().batch(app, 1, "a"));
  Request request;
  request.batch(app, 1, "b");
  swaps = 1;
  for (int attempt = 0; attempt < 2; ++attempt) {
    const auto refused = store->commit(request.request());
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code == Errc::unavailable);
    CHECK_THAT(refused.error().text, Catch::Contains("another buffer took its place"));
    CHECK_FALSE(store->rows_after(Priority::normal, 0, 1).ok());
  }
  std::filesystem::rename(dir / "own", file);
  CHECK(commit(request).durable_id == 2);
  CHECK(rows().size() == 2);
}

TEST_CASE_METHOD(StoreFixture, "a store that closes with an undecided commit is not clean") {
  int after = 0;
  faults.after_commit = [&] { return once(after); };
  open();
  StreamState app = stream("app");
  commit(Request().batch(app, 1, "durable"));
  Request request;
  request.batch(app, 1, "a").position("p", "1");
  after = 2;
  REQUIRE_FALSE(store->commit(request.request()).ok());
  REQUIRE_FALSE(store->commit({}).ok());  // the file is open again
  store->close();
  store.reset();
  open();
  CHECK_FALSE(report.was_clean);
  CHECK(rows().size() == 2);
  CHECK(*store->position(owner, "p").value() == "1");
}
