#include "agent/forward/verification.hpp"

#include <catch2/catch.hpp>

using namespace penstock::forward;
using penstock::buffer::Priority;

namespace {

Window::RowInfo row(std::uint64_t id, std::uint32_t stream, std::uint64_t seq, std::uint64_t end) {
  return {{Priority::normal, id, 0}, stream, static_cast<std::uint32_t>(end - seq), seq, end};
}

}  // namespace

TEST_CASE("rows are verified once each receiver has all their numbers") {
  Verification waiting(2);
  waiting.add({row(1, 7, 0, 10), row(2, 7, 10, 20)});
  CHECK(waiting.rows() == 2);
  CHECK_FALSE(waiting.say(0, {{7, {0, 15}}}));
  CHECK_FALSE(waiting.take(Priority::normal));
  CHECK(waiting.slowest_receiver() == 1);
  CHECK_FALSE(waiting.say(1, {{7, {0, 20}}}));
  const auto progress = waiting.take(Priority::normal);
  REQUIRE(progress);
  CHECK(progress->row_id == 1);
  CHECK(progress->rows == 1);
  CHECK(progress->events == 10);
  CHECK(waiting.slowest_receiver() == 0);
  static_cast<void>(waiting.say(0, {{7, {0, 20}}}));
  CHECK(waiting.take(Priority::normal)->row_id == 2);
  CHECK(waiting.rows() == 0);
}

TEST_CASE("a receiver that began later has not what came before") {
  Verification waiting(1);
  waiting.add({row(1, 7, 0, 10), row(2, 7, 10, 20)});
  CHECK(waiting.say(0, {{7, {10, 30}}}));  // a hole
  CHECK_FALSE(waiting.take(Priority::normal));
  CHECK(waiting.say(0, {{7, {0, 9, 10, 30}}}));
  CHECK_FALSE(waiting.take(Priority::normal));
  CHECK_FALSE(waiting.say(0, {{7, {0, 30}}}));
  CHECK(waiting.take(Priority::normal)->row_id == 2);
}

TEST_CASE("old gaps below what waits are of no account") {
  Verification waiting(1);
  waiting.add({row(1, 7, 1'000, 1'010)});
  CHECK_FALSE(waiting.say(0, {{7, {0, 500, 900, 1'010}}}));
  CHECK(waiting.take(Priority::normal)->row_id == 1);
}

TEST_CASE("what is passed over waits only for what is before it") {
  Verification waiting(1);
  waiting.add({row(1, 7, 0, 10), row(2, 0, 0, 0), row(3, 0, 0, 0)});
  CHECK_FALSE(waiting.take(Priority::normal));
  waiting.settle(7);
  const auto progress = waiting.take(Priority::normal);
  REQUIRE(progress);
  CHECK(progress->row_id == 3);
  CHECK(progress->rows == 0);
}

TEST_CASE("parked rows are verified in the order of their stream") {
  Verification waiting(1);
  waiting.add_parked(row(1, 7, 0, 10));
  waiting.add_parked(row(2, 8, 0, 10));
  waiting.add_parked(row(3, 7, 10, 20));
  static_cast<void>(waiting.say(0, {{7, {10, 20}}, {8, {0, 10}}}));
  const auto verified = waiting.take_parked();
  REQUIRE(verified.size() == 1);
  CHECK(verified[0].stream_id == 8);
  waiting.forget_all();
  CHECK(waiting.rows() == 0);
}
