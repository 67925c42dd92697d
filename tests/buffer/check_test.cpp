// A damaged file must never take the agent down with it, start after start, nor bring back an older
// state unseen.
#include "buffer/check.hpp"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <functional>

#include "agent/base/bytes.hpp"
#include "buffer/crash_marker.hpp"
#include "buffer/fair_lock.hpp"
#include "buffer/file.hpp"
#include "buffer/lmdb_layout.hpp"
#include "tests/buffer/store_fixture.hpp"

using namespace penstock;
using namespace penstock::buffer;
using namespace penstock::tests;
using Catch::Contains;
namespace fs = std::filesystem;

namespace {

constexpr std::size_t page = 4096;
constexpr std::size_t transaction_offset = sizeof(void*) == 8 ? 144 : 88;

class CheckFixture : public StoreFixture {
 public:
  fs::path file() const { return options.path / "buffer.mdb"; }

  /// A buffer of `batches` commits, closed. Returns its epoch.
  std::string made(int batches) {
    open();
    StreamState app = stream("app");
    for (int i = 0; i < batches; ++i) {
      commit(Request()
                 .batch(app, 10, noise(9000, static_cast<std::uint64_t>(i)))
                 .position("a.log", std::to_string(i)));
    }
    const std::string epoch = store->epoch();
    store->close();
    store.reset();
    return epoch;
  }
  Checked check(CheckDepth depth) {
    auto checked = check_apart(file(), map_bytes_for(options.max_size), depth);
    INFO((checked.ok() ? std::string() : checked.error().text));
    REQUIRE(checked.ok());
    return *std::move(checked);
  }
  void change(std::size_t at, const std::function<char(char)>& changed) {
    std::string bytes = read_file(file());
    REQUIRE(at < bytes.size());
    bytes[at] = changed(bytes[at]);
    write_file(file(), bytes);
  }
};

/// How a child ends in which `act` is called.
int status_of(const std::function<void()>& act) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const rlimit no_core = {0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    act();
    ::_exit(0);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return status;
}

void crash_in_the_store(const fs::path& directory, int number) {
  if (!mark_crashes_in(directory).ok()) ::_exit(1);
  FairLock turn;
  turn.lock();
  ::raise(number);
}

}  // namespace

TEST_CASE_METHOD(CheckFixture, "a sound file is told so, with what is in it") {
  const std::string epoch = made(3);
  const auto depth = GENERATE(CheckDepth::recent, CheckDepth::all);
  const Checked checked = check(depth);
  CHECK(checked.is_sound);
  CHECK(checked.problem.empty());
  CHECK(epoch_text(checked.epoch) == epoch);
  REQUIRE(checked.positions.size() == 1);
  CHECK(checked.positions[0] == OwnedPosition{std::string(owner), "a.log", "2"});
  REQUIRE(checked.streams.size() == 1);
  CHECK(checked.streams[0].stream == "app");
  CHECK(checked.streams[0].next_seq == 30);
}

TEST_CASE_METHOD(CheckFixture, "no header can be changed so that an older commit comes back") {
  const std::string epoch = made(5);
  const std::string sound = read_file(file());
  const auto meta = GENERATE(std::size_t{0}, page);
  for (std::size_t bit = 0; bit < 8 * sizeof(void*); ++bit) {
    CAPTURE(meta, bit);
    std::string changed = sound;
    char& byte = changed[meta + transaction_offset + bit / 8];
    byte = static_cast<char>(static_cast<unsigned char>(byte) ^ (1U << bit % 8));
    write_file(file(), changed);
    open();
    CHECK(report.reason == "quarantined");
    CHECK(report.previous_epoch.empty());  // nothing of such a file is believed
    store.reset();
    fs::remove_all(report.set_aside);
  }
}

TEST_CASE_METHOD(CheckFixture, "a header whose numbers cannot be is damage, not a reason to wait") {
  struct Place {
    const char* name;
    std::size_t at;
  };
  // LMDB 0.9, mdb.c: MDB_meta. The last byte of a number makes it absurd.
  constexpr std::size_t word = sizeof(void*);
  constexpr std::size_t magic = word + 8;
  constexpr std::size_t tables = magic + 8 + 2 * word;
  constexpr std::size_t last_page = tables + 2 * (8 + 5 * word);
  const auto place =
      GENERATE(Place{"LMDB's version", magic + 4}, Place{"pages in use", tables + 8 + word - 1},
               Place{"its last page", last_page + word - 1});
  INFO(place.name);
  made(5);
  const bool is_first = load_le<std::size_t>(read_file(file()).data() + transaction_offset) >
                        load_le<std::size_t>(read_file(file()).data() + page + transaction_offset);
  change((is_first ? 0 : page) + place.at, [](char c) { return static_cast<char>(c ^ 0x20); });
  open();
  CHECK(report.reason == "quarantined");
}

TEST_CASE_METHOD(CheckFixture, "a page that hides a stream's record is damage") {
  using namespace lmdb_layout;
  const std::string epoch = made(5);
  const std::string sound = read_file(file());
  const bool is_under_other_key = GENERATE(true, false);
  std::size_t changed = 0;
  for (std::size_t at = 2 * page; at < sound.size(); at += page) {
    const auto half = [&](std::size_t place) {
      return load_le<std::uint16_t>(sound.data() + at + place);
    };
    const std::size_t key = sound.find(encode_stream_key(1), at);
    if (half(flags_at) != leaf_flag || key >= at + page || key - at < half(upper_at)) continue;
    ++changed;
    if (is_under_other_key) {
      change(key, [](char c) { return static_cast<char>(c ^ 1); });
    } else {  // it is the last one in its page
      change(at + lower_at, [](char c) { return static_cast<char>(c - 2); });
    }
  }
  REQUIRE(changed > 0);
  open();
  CHECK(report.reason == "quarantined");
  CHECK(report.previous_epoch == epoch);
}

TEST_CASE_METHOD(CheckFixture, "a list of free pages that names pages in use is damage") {
  made(40);
  const std::string sound = read_file(file());
  // A list's length, then page numbers that fall: a longer one is not in the file's other pages.
  std::size_t changed = 0;
  for (std::size_t at = 2 * page; at + 24 <= sound.size(); at += sizeof(std::size_t)) {
    const auto number = [&](std::size_t i) {
      return load_le<std::size_t>(sound.data() + at + i * sizeof(std::size_t));
    };
    if (number(0) < 2 || number(0) > 40 || number(1) >= sound.size() / page) continue;
    if (number(2) < 2 || number(2) >= number(1)) continue;
    change(at + 2 * sizeof(std::size_t) + 1, [](char c) { return static_cast<char>(c ^ 0x40); });
    ++changed;
  }
  REQUIRE(changed > 0);
  const Checked checked = check(CheckDepth::recent);
  CHECK_FALSE(checked.is_sound);
  CHECK_THAT(checked.problem, Contains("list of free pages"));
}

TEST_CASE_METHOD(CheckFixture, "a page far back is looked at after a crash only") {
  made(200);
  CHECK(check(CheckDepth::all).is_sound);
  // The first row's value is in pages of its own; their number follows the row's key.
  const RowKeyBytes key = encode_row_key({1, 1, 0, 10}, RowKind::batch);
  std::string bytes = read_file(file());
  std::size_t changed = 0;
  for (std::size_t at = bytes.find(view(key)); at != std::string::npos;
       at = bytes.find(view(key), at + 1), ++changed) {
    std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(at + key.size()), 4, '\x7f');
  }
  REQUIRE(changed > 0);
  write_file(file(), bytes);
  CHECK(check(CheckDepth::recent).is_sound);
  const Checked all = check(CheckDepth::all);
  CHECK_FALSE(all.is_sound);
  CHECK_FALSE(all.problem.empty());
  CHECK(all.positions.size() == 1);
  CHECK(all.streams.size() == 1);
}

TEST_CASE_METHOD(CheckFixture, "a crash inside the store leaves a marker, elsewhere none") {
  made(1);
  const auto number = GENERATE(SIGSEGV, SIGBUS, SIGABRT);
  CHECK(crash_count(options.path) == CrashCount::none);
  int status = status_of([&] {
    if (!mark_crashes_in(options.path).ok()) ::_exit(1);
    ::raise(number);
  });
  CHECK((WIFSIGNALED(status) && WTERMSIG(status) == number));
  CHECK(crash_count(options.path) == CrashCount::none);
  status = status_of([&] { crash_in_the_store(options.path, number); });
  CHECK((WIFSIGNALED(status) && WTERMSIG(status) == number));
  CHECK(crash_count(options.path) == CrashCount::once);
  status_of([&] { crash_in_the_store(options.path, number); });
  CHECK(crash_count(options.path) == CrashCount::again);
  forget_crashes(options.path);
  CHECK(crash_count(options.path) == CrashCount::none);
}

TEST_CASE_METHOD(CheckFixture, "after one crash the buffer goes on, until it has proved itself") {
  const std::string epoch = made(3);
  status_of([&] { crash_in_the_store(options.path, SIGSEGV); });
  open();
  CHECK_FALSE(report.is_new_epoch);
  CHECK(crash_count(options.path) == CrashCount::once);
  StreamState app = stream("app");
  SECTION("a clean end") {
    commit(Request().batch(app, 1, "x"));
    CHECK(crash_count(options.path) == CrashCount::once);
    store->close();
  }
  SECTION("ten minutes of use") {
    clock.advance(std::chrono::seconds(601));
    commit(Request().batch(app, 1, "x"));
  }
  CHECK(crash_count(options.path) == CrashCount::none);
}

TEST_CASE_METHOD(CheckFixture, "a second crash sets the buffer aside: there is no third") {
  const std::string epoch = made(3);
  for (int i = 0; i < 2; ++i) status_of([&] { crash_in_the_store(options.path, SIGBUS); });
  open();
  CHECK(report.reason == "quarantined");
  CHECK(report.previous_epoch == epoch);
  CHECK(report.set_aside == options.path / ("corrupt-" + epoch + "-1"));
  REQUIRE(report.last_numbers.size() == 1);
  CHECK(report.last_numbers[0].next_seq == 30);
  CHECK(*store->position(owner, "a.log").value() == "2");
  REQUIRE(report.warnings.size() == 1);
  CHECK_THAT(report.warnings[0], Contains("twice") && Contains("buffer salvage"));
  CHECK(crash_count(options.path) == CrashCount::none);
  store.reset();
  open();
  CHECK_FALSE(report.is_new_epoch);
}

TEST_CASE_METHOD(CheckFixture, "a tool is told of damage, and changes nothing") {
  made(3);
  change(page + transaction_offset, [](char c) { return static_cast<char>(c ^ 1); });
  const std::string before = read_file(file());
  options.device = "";
  const auto refused = try_open();
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code == Errc::corrupt);
  CHECK_THAT(refused.error().text, Contains("headers do not fit together"));
  CHECK(read_file(file()) == before);
}
