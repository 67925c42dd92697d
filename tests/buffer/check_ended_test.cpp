// A check that ends for want of memory, or from outside, says nothing about the file.
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <new>

#include "tests/buffer/store_fixture.hpp"

namespace {

// In processes that this one makes, the n-th allocation fails (0: none does), or raises a signal.
long failing_allocation = 0;
int signal_instead = 0;
pid_t own_pid = 0;

/// Whether it would be ended if it used the processor, or waited, without an end.
bool is_time_limited() {
  rlimit processor = {};
  ::getrlimit(RLIMIT_CPU, &processor);
  return processor.rlim_cur != RLIM_INFINITY && ::alarm(0) != 0;
}

}  // namespace

// Inlined, g++ 12 would take the two for mismatched.
[[gnu::noinline]] void* operator new(std::size_t size) {
  if (failing_allocation > 0 && ::getpid() != own_pid && --failing_allocation == 0) {
    if (signal_instead != 0 && is_time_limited()) ::raise(signal_instead);
    throw std::bad_alloc();
  }
  void* made = std::malloc(size);
  if (made == nullptr) throw std::bad_alloc();
  return made;
}
[[gnu::noinline]] void operator delete(void* made) noexcept { std::free(made); }
[[gnu::noinline]] void operator delete(void* made, std::size_t) noexcept { std::free(made); }

using namespace penstock;
using namespace penstock::buffer;
using namespace penstock::tests;
using Catch::Contains;

namespace {

class CheckEndedFixture : public StoreFixture {
 public:
  CheckEndedFixture() {
    own_pid = ::getpid();
    signal_instead = 0;
    open();
    StreamState app = stream("app");
    commit(Request().batch(app, 10, "x").position("a.log", "7"));
    store.reset();
  }
};

}  // namespace

TEST_CASE_METHOD(CheckEndedFixture, "memory that runs out in the check is no damage") {
  int refused = 0;
  for (long n = 1;; ++n) {
    CAPTURE(n);
    failing_allocation = n;
    const auto opened = try_open();
    failing_allocation = 0;
    REQUIRE_FALSE(report.is_new_epoch);
    if (opened.ok()) break;  // the check needs fewer than n
    CHECK(opened.error().code == Errc::unavailable);
    CHECK_THAT(opened.error().text, Contains("Cannot allocate memory"));
    ++refused;
  }
  CHECK(refused > 3);
  CHECK(*store->position(owner, "a.log").value() == "7");
}

TEST_CASE_METHOD(CheckEndedFixture, "a check that is ended from outside has found no damage") {
  signal_instead = GENERATE(SIGKILL, SIGTERM);
  failing_allocation = 5;
  const auto refused = try_open();
  failing_allocation = 0;
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code == Errc::unavailable);
  CHECK_THAT(refused.error().text, Contains("ended from outside"));
  open();
  CHECK_FALSE(report.is_new_epoch);
}

TEST_CASE_METHOD(CheckEndedFixture, "a disk that is too slow is no damage") {
  signal_instead = SIGALRM;
  failing_allocation = 5;
  const auto refused = try_open();
  failing_allocation = 0;
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code == Errc::unavailable);
  CHECK_THAT(refused.error().text, Contains("the disk is too slow"));
  open();
  CHECK_FALSE(report.is_new_epoch);
}

TEST_CASE_METHOD(CheckEndedFixture, "a check that uses the processor without an end is a finding") {
  signal_instead = SIGXCPU;
  failing_allocation = 5;
  open();
  failing_allocation = 0;
  CHECK(report.reason == "quarantined");
  CHECK_THAT(report.warnings.at(0), Contains("did not come to an end"));
}
