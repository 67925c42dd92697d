// What is found at start: leftovers, other owners, damage, and things that are not ours.
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <thread>

#include "agent/base/bytes.hpp"
#include "agent/base/unique_fd.hpp"
#include "buffer/crash_marker.hpp"
#include "buffer/file.hpp"
#include "buffer/layout.hpp"
#include "buffer/lmdb.hpp"
#include "buffer/new_epoch.hpp"
#include "buffer/parking.hpp"
#include "tests/buffer/store_fixture.hpp"

using namespace penstock;
using namespace penstock::buffer;
using namespace penstock::tests;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t map_bytes = 256 << 20;

struct OpenFixture : StoreFixture {
  /// A closed buffer with two batches of 5 events, a position and an acknowledged batch in front.
  std::string made() {
    open();
    StreamState app = stream("app");
    commit(Request().batch(app, 5, "first").batch(app, 5, "second").position("a.log", "100"));
    store->close();
    const std::string epoch = store->epoch();
    store.reset();
    return epoch;
  }
  fs::path file() const { return options.path / "buffer.mdb"; }

  /// Changes a stored value in place, without its checksum.
  void change_value(Table table, std::string_view key_prefix, std::size_t byte_from_end) {
    auto env = Env::open(file(), map_bytes, Access::write);
    REQUIRE(env.ok());
    auto txn = (*env)->begin_write();
    REQUIRE(txn.ok());
    std::string key;
    std::string value;
    {
      auto cursor = Cursor::open(*txn, table);
      REQUIRE(cursor->seek(key_prefix).value());
      key = cursor->key();
      value = cursor->value();
    }
    value[value.size() - byte_from_end] ^= 1;
    REQUIRE(txn->put(table, key, value).ok());
    REQUIRE(txn->commit().ok());
  }
};

}  // namespace

TEST_CASE_METHOD(OpenFixture, "leftovers of a birth that did not end are removed") {
  fs::create_directories(options.path);
  write_file(options.path / "buffer.mdb.birth", "half a file");
  write_file(options.path / "buffer.mdb.new", "half a copy");
  open();
  CHECK(report.reason == "created");
  CHECK_FALSE(fs::exists(options.path / "buffer.mdb.birth"));
  CHECK_FALSE(fs::exists(options.path / "buffer.mdb.new"));
}

TEST_CASE_METHOD(OpenFixture, "a second agent is told which one holds the buffer") {
  open();
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  UniqueFd from_child(ends[0]);
  UniqueFd to_parent(ends[1]);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    OpenReport ignored;
    const auto second = Store::open(options, ignored, clock);
    const std::string text = second.ok() ? "opened" : second.error().text;
    ::_exit(::write(to_parent.get(), text.data(), text.size()) < 0 ? 1 : 0);
  }
  to_parent.reset();
  char text[512] = {};
  REQUIRE(::read(from_child.get(), text, sizeof text - 1) > 0);
  ::waitpid(child, nullptr, 0);
  CHECK_THAT(text, Contains("another agent (pid " + std::to_string(::getpid()) +
                            ") is using the buffer " + options.path.string()));
  OpenReport ignored;
  CHECK(Store::open(options, ignored, clock).error().code == Errc::unavailable);
}

TEST_CASE_METHOD(OpenFixture, "a tool reads a buffer as it is and makes nothing") {
  const std::string epoch = made();
  options.device = "";
  options.max_size = 0;
  open();
  CHECK(store->epoch() == epoch);
  CHECK(rows().size() == 2);
  CHECK(store->stats().device == "gw-7");
  store->close();
  CHECK_FALSE(report.is_new_epoch);
  options.path = dir / "nowhere";
  const auto missing = try_open();
  CHECK(missing.error().code == Errc::invalid);
  CHECK_THAT(missing.error().text, Contains("no buffer"));
  CHECK_FALSE(fs::exists(options.path));
}

TEST_CASE_METHOD(OpenFixture, "another device or machine begins a new epoch beside the old one") {
  const std::string epoch = made();
  const bool is_device = GENERATE(true, false);
  (is_device ? options.device : options.machine_id) = "other";
  open();
  CHECK(report.is_new_epoch);
  CHECK(report.reason == (is_device ? "device_changed" : "machine_changed"));
  CHECK(report.previous_epoch == epoch);
  CHECK(report.set_aside == options.path / ("previous-" + epoch + "-1"));
  REQUIRE(report.warnings.size() == 1);
  CHECK_THAT(report.warnings[0], Contains("10 events"));
  CHECK(store->epoch() != epoch);
  CHECK(rows().empty());
  CHECK(stream("app").next_seq == 0);
  CHECK(*store->position(owner, "a.log").value() == "100");
  store->close();

  options.path = report.set_aside;
  options.device = "";
  open();
  CHECK(rows().size() == 2);
  CHECK(store->epoch() == epoch);
}

TEST_CASE_METHOD(OpenFixture, "a new epoch that is asked for begins once") {
  const std::string epoch = made();
  REQUIRE(ask_new_epoch(options.path, epoch).ok());
  options.device = "";
  open();  // a tool changes nothing
  CHECK(store->epoch() == epoch);
  store->close();
  options.device = "gw-7";
  open();
  CHECK(report.is_new_epoch);
  CHECK(report.reason == "asked_for");
  CHECK(report.previous_epoch == epoch);
  CHECK(fs::exists(report.set_aside / "buffer.mdb"));
  CHECK(*store->position(owner, "a.log").value() == "100");
  const std::string next = store->epoch();
  CHECK(next != epoch);
  store->close();
  open();
  CHECK_FALSE(report.is_new_epoch);
  CHECK(store->epoch() == next);
}

TEST_CASE_METHOD(OpenFixture, "an unknown machine is not another one") {
  made();
  options.machine_id = "";
  open();
  CHECK_FALSE(report.is_new_epoch);
}

TEST_CASE_METHOD(OpenFixture, "an emptied buffer of another device is not kept") {
  made();
  open();
  store->acknowledge(store->generation(), Priority::normal, 2);
  store->close();
  options.device = "gw-8";
  open();
  CHECK(report.is_new_epoch);
  CHECK(report.set_aside.empty());
  CHECK(*store->position(owner, "a.log").value() == "100");
}

TEST_CASE_METHOD(OpenFixture, "a buffer of another device that only has losses to tell is kept") {
  const bool is_parked = GENERATE(false, true);
  open();
  StreamState app = stream("app");
  commit(Request().loss(app, 5, LossReason::source));
  if (is_parked) {
    store->parking()->park(app.id, 1);
    store->acknowledge(store->generation(), Priority::normal, store->durable_id());
    commit(Request());
  }
  store->close();
  options.device = "gw-8";
  open();
  CHECK(report.is_new_epoch);
  REQUIRE(report.warnings.size() == 1);
  CHECK_THAT(report.warnings[0], Contains("loss"));
  CHECK(fs::exists(report.set_aside / "buffer.mdb"));
}

TEST_CASE_METHOD(OpenFixture, "a file that is no LMDB file is set aside") {
  const std::string content = GENERATE(std::string(), std::string(100'000, 'x'));
  fs::create_directories(options.path);
  write_file(file(), content);
  open();
  CHECK(report.is_new_epoch);
  CHECK(report.reason == "quarantined");
  CHECK(report.set_aside == options.path / "corrupt-unknown-1");
  CHECK(read_file(report.set_aside / "buffer.mdb") == content);
  store->close();
  store.reset();
  write_file(file(), content);
  open();
  CHECK(report.set_aside == options.path / "corrupt-unknown-2");
  options.device = "";
  write_file(file(), content);
  CHECK(try_open().error().code != Errc::full);
}

TEST_CASE_METHOD(OpenFixture, "a file cut short is set aside, not mapped beyond its end") {
  open();
  StreamState app = stream("app");
  for (int i = 0; i < 4; ++i) commit(Request().batch(app, 1, noise(600'000, i)));
  store->close();
  store.reset();
  fs::resize_file(file(), fs::file_size(file()) / 3);
  open();
  CHECK(report.reason == "quarantined");
  CHECK(rows().empty());
}

TEST_CASE_METHOD(OpenFixture, "damaged state is set aside, and readable positions go on") {
  const std::string epoch = made();
  const auto key = GENERATE(as<std::string>{}, "i", "c", "s");
  change_value(Table::state, key, 1);
  open();
  CHECK(report.is_new_epoch);
  CHECK(report.reason == "quarantined");
  CHECK(report.previous_epoch == epoch);
  CHECK(report.set_aside == options.path / ("corrupt-" + epoch + "-1"));
  CHECK(*store->position(owner, "a.log").value() == "100");
  CHECK(stream("app").next_seq == 0);
}

TEST_CASE_METHOD(OpenFixture, "a damaged row is told, the others are read") {
  made();
  const std::size_t byte_from_end = GENERATE(1, 9, 25, 33);
  change_value(Table::normal, view(first_key_from(1)), byte_from_end);
  open();
  const auto present = rows();
  REQUIRE(present.size() == 2);
  CHECK(present[0].is_damaged);
  CHECK(present[0].key == RowKey{1, 1, 0, 5});
  CHECK_FALSE(present[1].is_damaged);
  const auto verified = store->verify({});
  CHECK(verified->damaged_rows == 1);
  REQUIRE(verified->problems.size() == 1);
  CHECK_THAT(verified->problems[0], Contains("numbers 0 to 4"));
}

TEST_CASE_METHOD(OpenFixture, "a key with an impossible id stops neither reading nor trimming") {
  made();
  {
    auto env = Env::open(file(), map_bytes, Access::write);
    auto txn = (*env)->begin_write();
    const std::string value(100, 'x');
    const RowKeyBytes key = encode_row_key({std::uint64_t{1} << 40, 1, 0, 5}, RowKind::batch);
    REQUIRE(txn->put(Table::normal, view(key), value).ok());
    REQUIRE(txn->commit().ok());
  }
  open();
  for (const Row& row : rows()) CHECK_FALSE(row.is_damaged);
  store->acknowledge(store->generation(), Priority::normal, store->durable_id());
  commit(Request());
  CHECK(rows().empty());
  CHECK(store->stats().rows == 0);
}

TEST_CASE_METHOD(OpenFixture, "a damaged position is an error of its own") {
  made();
  change_value(Table::state, "p", 1);
  open();
  CHECK(store->position(owner, "a.log").error().code == Errc::corrupt);
  CHECK(store->position_parts(owner).value().empty());
  CHECK(store->damaged_positions(owner).value() == 1);
  CHECK(store->damaged_positions("file").value() == 0);
  CHECK(store->verify({}).value().problems.size() == 1);
  commit(Request().position("a.log", "200"));
  CHECK(*store->position(owner, "a.log").value() == "200");
  CHECK(store->damaged_positions(owner).value() == 0);
}

TEST_CASE_METHOD(OpenFixture, "a newer format is refused and left alone") {
  made();
  {
    auto env = Env::open(file(), map_bytes, Access::write);
    auto txn = (*env)->begin_write();
    Identity newer;
    newer.format = format_version + 1;
    newer.epoch = 7;
    REQUIRE(txn->put(Table::state, identity_key, encode_identity(newer)).ok());
    REQUIRE(txn->commit().ok());
  }
  const auto refused = try_open();
  CHECK(refused.error().code == Errc::invalid);
  CHECK_THAT(refused.error().text, Contains("newer penstock") && Contains("format is 3"));
}

TEST_CASE_METHOD(OpenFixture, "a flipped bit in the format number is damage, not a newer format") {
  made();
  Identity identity;
  identity.device = options.device;
  identity.machine_id = options.machine_id;
  change_value(Table::state, identity_key, encode_identity(identity).size());  // its first byte
  open();
  CHECK(report.reason == "quarantined");
  CHECK_THAT(report.warnings.at(0), Contains("identity is damaged"));
}

TEST_CASE_METHOD(OpenFixture, "a path that cannot be a buffer is refused in one line") {
  SECTION("a file") {
    write_file(options.path, "x");
    const auto refused = try_open();
    CHECK_THAT(refused.error().text, Contains("not a directory"));
  }
  SECTION("a file system of the kernel's own") {
    options.path = "/proc/penstock";
    CHECK_FALSE(try_open().ok());
  }
  SECTION("too small") {
    options.max_size = max_size_min - 1;
    CHECK(try_open().error().code == Errc::invalid);
  }
  SECTION("larger than the addresses of this machine hold") {
    options.max_size = max_size_limit() + 1;
    const auto refused = try_open();
    CHECK(refused.error().code == Errc::invalid);
    CHECK_THAT(refused.error().text, Contains("buffer.max_size") && Contains("-bit machine"));
  }
  CHECK_FALSE(fs::exists(file()));
}

TEST_CASE("the map leaves room for deletes, and fits the addresses of the machine") {
  struct Sizes {
    std::uint64_t max_size_mib;
    unsigned address_bits;
    std::uint64_t map_mib;
  };
  const auto sizes = GENERATE(values<Sizes>(
      {{1, 64, 65}, {1024, 64, 2048}, {1, 32, 65}, {512, 32, 1024}, {1024, 32, 1536}}));
  INFO(sizes.max_size_mib << " MiB, " << sizes.address_bits << " bits");
  REQUIRE(sizes.max_size_mib << 20 <= max_size_limit(sizes.address_bits));
  CHECK(map_bytes_for(sizes.max_size_mib << 20, sizes.address_bits) == sizes.map_mib << 20);
  const std::uint64_t largest = max_size_limit(sizes.address_bits);
  CHECK(map_bytes_for(largest, sizes.address_bits) > largest);
}

TEST_CASE_METHOD(OpenFixture, "a child that outlives a killed agent is waited for, and told of") {
  made();
  const pid_t gone = ::fork();
  if (gone == 0) ::_exit(0);
  REQUIRE(::waitpid(gone, nullptr, 0) == gone);
  UniqueFd lock(::open((options.path / "LOCK").c_str(), O_RDWR | O_TRUNC | O_CLOEXEC));
  const std::string pid = std::to_string(gone) + "\n";
  REQUIRE(::write(lock.get(), pid.data(), pid.size()) == static_cast<ssize_t>(pid.size()));
  REQUIRE(::flock(lock.get(), LOCK_EX) == 0);
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const UniqueFd log(ends[0]);
  UniqueFd to_log(ends[1]);
  const UniqueFd terminal(::dup(STDERR_FILENO));
  REQUIRE(::dup2(to_log.get(), STDERR_FILENO) == STDERR_FILENO);
  char said[1024] = {};
  // It lets go when the wait was told, so nothing depends on who is faster.
  std::thread child([&] {
    pollfd line{log.get(), POLLIN, 0};
    if (::poll(&line, 1, 4'000) == 1 && ::read(log.get(), said, sizeof said - 1) < 0) said[0] = 0;
    lock.reset();
  });
  const auto opened = try_open();
  child.join();
  ::dup2(terminal.get(), STDERR_FILENO);
  CHECK_THAT(said, Contains("event=buffer_held") && Contains("pid=" + std::to_string(gone)) &&
                       Contains("waiting up to 5 s"));
  REQUIRE(opened.ok());
}

TEST_CASE_METHOD(OpenFixture, "blocks are reserved when there is room for them") {
  options.preallocate = true;
  open();
  CHECK(report.warnings.empty());
  CHECK(fs::file_size(file()) == options.max_size + (1 << 20));
  CHECK(reserved_bytes_for(options.max_size) == options.max_size + (1 << 20));
  CHECK(reserved_bytes_for(std::uint64_t{1} << 30) == 1088 << 20);
  store->close();
  store.reset();
  options.keep_free = std::uint64_t{1} << 60;
  options.max_size *= 2;
  open();
  REQUIRE(report.warnings.size() == 1);
  CHECK_THAT(report.warnings[0], Contains("could not reserve 17 MiB"));
  CHECK(store->is_nearly_full() == false);
}

TEST_CASE_METHOD(OpenFixture, "a buffer without an identity is damaged") {
  made();
  {
    auto env = Env::open(file(), map_bytes, Access::write);
    auto txn = (*env)->begin_write();
    REQUIRE(txn->erase(Table::state, identity_key).value());
    REQUIRE(txn->commit().ok());
  }
  open();
  CHECK(report.reason == "quarantined");
  CHECK(report.previous_epoch.empty());
  CHECK_THAT(report.warnings.at(0), Contains("identity is damaged"));
}

TEST_CASE_METHOD(OpenFixture, "what cannot be marked is told so") {
  CHECK(ask_new_epoch(dir / "none", "9f3c2a7e").error().code == Errc::unavailable);
  CHECK(mark_crashes_in(std::string(5000, 'x')).error().code == Errc::invalid);
  fs::create_directories(options.path);
  options.device.clear();
  CHECK_THAT(try_open().error().text, Contains("there is no buffer at"));
}

TEST_CASE_METHOD(OpenFixture, "counters that are older than the rows are damage") {
  const bool is_parked = GENERATE(false, true);
  made();
  const auto counters = [&](std::string_view replacement) {
    auto env = Env::open(file(), map_bytes, Access::write).value();
    Txn txn = env->begin_write().value();
    const auto value = txn.get(Table::state, counters_key).value();
    REQUIRE(value);
    std::string before(*value);
    if (!replacement.empty()) REQUIRE(txn.put(Table::state, counters_key, replacement).ok());
    REQUIRE(txn.commit().ok());
    return before;
  };
  const std::string older = counters("");
  open();
  StreamState app = stream("app");
  commit(Request().batch(app, 5, "third"));
  if (is_parked) {
    store->parking()->park(app.id, 1);
    store->acknowledge(store->generation(), Priority::normal, store->durable_id());
    commit(Request());
  }
  store->close();
  store.reset();
  counters(older);
  open();
  CHECK(report.reason == "quarantined");
  CHECK_THAT(report.warnings.at(0), Contains("its counters are older than its rows"));
}
