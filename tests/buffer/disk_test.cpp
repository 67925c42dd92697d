// A disk that is really full: a small tmpfs, which only root can mount.
#include <fcntl.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "agent/base/unique_fd.hpp"
#include "tests/buffer/store_fixture.hpp"

using namespace penstock;
using namespace penstock::buffer;
using namespace penstock::tests;
namespace fs = std::filesystem;

namespace {

struct SmallDisk : StoreFixture {
  SmallDisk() {
    is_mounted = ::geteuid() == 0 &&
                 ::mount("tmpfs", dir.path().c_str(), "tmpfs", 0, "size=6m,mode=0700") == 0;
    if (!is_mounted) WARN("not run: mounting a tmpfs needs root");
  }
  ~SmallDisk() {
    store.reset();
    if (is_mounted) ::umount2(dir.path().c_str(), MNT_DETACH);
  }
  /// Others fill the disk to the last block.
  void fill_disk() const {
    const int fd = ::open((dir / "ballast").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    const std::string block(4096, 'b');
    while (::write(fd, block.data(), block.size()) == 4096) continue;
    ::close(fd);
  }
  void free_disk() const { fs::remove(dir / "ballast"); }
  void remount(unsigned long flags) const {
    REQUIRE(::mount(nullptr, dir.path().c_str(), nullptr, MS_REMOUNT | flags, nullptr) == 0);
  }

  bool is_mounted = false;
};

}  // namespace

TEST_CASE_METHOD(SmallDisk, "a tool reads what is on a file system that is read-only") {
  if (!is_mounted) return;
  open();
  StreamState app = stream("app");
  for (int i = 0; i < 3; ++i) commit(Request().batch(app, 10, "[" + std::to_string(i) + "]"));
  store->close();
  store.reset();
  const bool has_lock = GENERATE(true, false);
  if (!has_lock) fs::remove(options.path / "LOCK");
  remount(MS_RDONLY);

  SECTION("an agent waits until it can write") {
    CHECK(try_open().error().code == Errc::unavailable);
  }
  options.device.clear();
  SECTION("all of it is there, and nothing is written") {
    open();
    CHECK(rows().size() == 3);
    CHECK(store->stats().events == 30);
    CHECK(store->verify({})->problems.empty());
    store->acknowledge(store->generation(), Priority::normal, store->durable_id());
    CHECK(store->commit({}).error().code == Errc::unavailable);
    CHECK(store->purge(store->generation(), {}).error().code == Errc::unavailable);
    CHECK(rows().size() == 3);
    store->close();
  }
  SECTION("what an agent holds since before is its own") {
    if (has_lock) {
      const UniqueFd lock(::open((options.path / "LOCK").c_str(), O_RDONLY | O_CLOEXEC));
      REQUIRE(::flock(lock.get(), LOCK_EX | LOCK_NB) == 0);
      CHECK(try_open().error().text.find("is using the buffer") != std::string::npos);
    }
  }
}

TEST_CASE_METHOD(SmallDisk, "a damaged buffer that is set aside keeps only what was written") {
  if (!is_mounted) return;
  options.preallocate = true;
  options.max_size = 3 << 20;  // there is no room for two
  open();
  CHECK(report.warnings.empty());
  StreamState app = stream("app");
  for (int i = 0; i < 10; ++i) commit(Request().batch(app, 10, noise(20'000, app.next_seq)));
  store->close();
  store.reset();
  const fs::path file = options.path / "buffer.mdb";
  std::string bytes = read_file(file);
  bytes[16] = static_cast<char>(~bytes[16]);  // of the first header
  bytes[4096 + 16] = static_cast<char>(~bytes[4096 + 16]);
  {
    const UniqueFd fd(::open(file.c_str(), O_WRONLY | O_CLOEXEC));
    for (const off_t at : {off_t{16}, off_t{4096 + 16}}) {
      REQUIRE(::pwrite(fd.get(), &bytes[static_cast<std::size_t>(at)], 1, at) == 1);
    }
  }
  open();
  CHECK(report.reason == "quarantined");
  REQUIRE_FALSE(report.set_aside.empty());
  CHECK(report.warnings.size() == 1);  // of the damage; blocks are reserved for the new one
  CHECK(read_file(report.set_aside / "buffer.mdb") == bytes);
}

TEST_CASE_METHOD(SmallDisk, "with reserved blocks a disk filled by others stops nothing") {
  if (!is_mounted) return;
  options.preallocate = true;
  options.max_size = 3 << 20;
  open();
  CHECK(report.warnings.empty());
  fill_disk();
  StreamState app = stream("app");
  for (int i = 0; i < 200; ++i) {
    commit(Request().batch(app, 1, noise(60'000, i)));
    store->acknowledge(store->generation(), Priority::normal, store->durable_id() - 1);
  }
  CHECK_FALSE(store->is_nearly_full());
  CHECK(store->verify({}).value().problems.empty());
}

TEST_CASE_METHOD(SmallDisk, "on a full disk a delete has blocks of its own") {
  if (!is_mounted) return;
  options.max_size = 64 << 20;
  open();
  StreamState app = stream("app");
  Request many;
  for (int i = 0; i < 200; ++i) many.batch(app, 1, noise(6'000, i));
  commit(many);
  fill_disk();
  store->acknowledge(store->generation(), Priority::normal, 150);
  commit(Request());
  CHECK(rows().size() == 50);
  CHECK_FALSE(store->has_pending_trims());
  commit(Request());
  commit(Request().batch(app, 1, noise(60'000, 9)));
}

TEST_CASE_METHOD(SmallDisk, "on a full disk nothing is lost, and trims make room inside the file") {
  if (!is_mounted) return;
  options.max_size = 64 << 20;
  open();
  StreamState app = stream("app");
  for (int i = 0; i < 30; ++i) commit(Request().batch(app, 1, noise(60'000, i)));
  const std::uint64_t stored = app.next_seq;
  fill_disk();
  StreamState next = app;
  Request refused;  // more than the blocks ahead
  for (int i = 0; i < 20; ++i) refused.batch(next, 1, noise(60'000, 90 + i));
  const auto failed = store->commit(refused.request());
  REQUIRE_FALSE(failed.ok());
  CHECK(failed.error().code == Errc::full);
  CHECK(rows().size() == stored);
  store->acknowledge(store->generation(), Priority::normal, 28);
  CHECK(store->has_pending_trims());
  int attempts = 0;
  for (;;) {
    const auto done = store->commit(refused.request());
    if (done.ok()) break;
    INFO(done.error().text);
    REQUIRE(++attempts < 10);
  }
  CHECK_FALSE(store->has_pending_trims());
  CHECK(rows().size() == 22);
  CHECK(content(rows().back()) == noise(60'000, 109));
  store->close();
  store.reset();
  open();
  CHECK(report.was_clean);
  CHECK(rows().size() == 22);
  free_disk();
  commit(Request().batch(next, 1, noise(600'000, 5)));
  CHECK(store->verify({}).value().problems.empty());
}

TEST_CASE_METHOD(SmallDisk, "on a full disk the oldest droppable rows go") {
  if (!is_mounted) return;
  options.max_size = 64 << 20;
  open();
  StreamState udp = stream("udp", Priority::normal, WhenFull::drop_oldest);
  for (int i = 0; i < 30; ++i) commit(Request().batch(udp, 1, noise(60'000, i)));
  fill_disk();
  std::uint64_t dropped = 0;
  for (int i = 0; i < 20; ++i) {
    Request request;
    request.batch(udp, 1, noise(60'000, i));
    int attempts = 0;
    for (;;) {
      const auto done = store->commit(request.request());
      if (done.ok()) {
        dropped += done->dropped_rows;
        break;
      }
      REQUIRE(++attempts < 10);
    }
  }
  CHECK(dropped >= 15);
  CHECK(udp.next_seq == 50);
  CHECK(store->verify({}).value().problems.empty());
}

TEST_CASE_METHOD(SmallDisk, "a full disk at the first start is one clear error") {
  if (!is_mounted) return;
  fill_disk();
  const auto failed = try_open();
  REQUIRE_FALSE(failed.ok());
  CHECK_THAT(failed.error().text, Catch::Matchers::Contains("No space left"));
  free_disk();
  open();
  CHECK(report.reason == "created");
}

TEST_CASE_METHOD(StoreFixture, "a directory of another user is refused with its owner's name") {
  if (::geteuid() != 0) {
    WARN("not run: becoming another user needs root");
    return;
  }
  open();
  store->close();
  store.reset();
  fs::permissions(dir.path(),
                  fs::perms::owner_all | fs::perms::group_exec | fs::perms::others_exec);
  REQUIRE(::seteuid(65534) == 0);
  const auto refused = try_open();
  REQUIRE(::seteuid(0) == 0);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code == Errc::unavailable);
  CHECK_THAT(refused.error().text, Catch::Matchers::Contains("Permission denied") &&
                                       Catch::Matchers::Contains("belongs to root"));
}
