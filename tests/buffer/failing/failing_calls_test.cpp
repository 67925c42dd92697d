// A call that fails where nobody thought of it would lose what was stored, or leave half of it.
#include <catch2/catch.hpp>

#include <cstdlib>
#include <filesystem>

#include "tests/buffer/failing/life.hpp"

using namespace penstock;
using namespace penstock::tests;

namespace {

constexpr std::uint64_t without_end = UINT64_MAX / 2;

/// Syncs are not what is tested here, and memory has none.
void use_memory() {
  if (std::filesystem::is_directory("/dev/shm")) ::setenv("TMPDIR", "/dev/shm", 0);
}

void fail_every_call(Failure failure, std::uint64_t in_a_row) {
  use_memory();
  std::uint64_t failed = 0;
  for (const Operation& operation : operations()) {
    failed += fail_each_call(operation, failure, in_a_row, 1, 1);
  }
  WARN(failed << " failures");
  CHECK(failed > 0);
}

}  // namespace

TEST_CASE("a call that fails loses nothing, for some calls of each operation") {
  use_memory();
  std::uint64_t first = 1;
  for (const Operation& operation : operations()) {
    fail_each_call(operation, Failure::broken_disk, 1, first++ % 97 + 1, 97);
  }
}

TEST_CASE("every call fails once, or with all that follow it", "[.every][.broken]") {
  fail_every_call(Failure::broken_disk, GENERATE(std::uint64_t{1}, without_end));
}

TEST_CASE("every call that waits is interrupted", "[.every][.broken]") {
  fail_every_call(Failure::interrupted, GENERATE(std::uint64_t{1}, std::uint64_t{3}));
}

TEST_CASE("every write finds the map full", "[.every][.broken]") {
  fail_every_call(Failure::full_map, 1);
}

TEST_CASE("every call fails for want of room, though it was done, or of damage", "[.every]") {
  fail_every_call(GENERATE(Failure::full_disk, Failure::late, Failure::damage), 1);
}
