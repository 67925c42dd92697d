// What a damaged key hides must be told as lost, and never as the loss of other numbers.
#include "buffer/continuity.hpp"

#include <catch2/catch.hpp>

using namespace penstock::buffer;

namespace {

Row row(std::uint32_t stream, std::uint64_t seq, std::uint32_t count, bool is_damaged = false) {
  Row made;
  made.key = {seq + 1, stream, seq, count};
  made.is_damaged = is_damaged;
  return made;
}

std::vector<std::uint64_t> left_of(std::vector<Row> rows) {
  remove_doubtful(rows);
  std::vector<std::uint64_t> seqs;
  for (const Row& left : rows) seqs.push_back(left.key.seq);
  return seqs;
}
using Seqs = std::vector<std::uint64_t>;

}  // namespace

TEST_CASE("numbers that are missing are told before the row behind them, each time") {
  Continuity continuity;
  StreamStats known;
  known.state.id = 1;
  known.first_seq = 20;
  continuity.begin({known});
  CHECK(continuity.missing_before({1, 1, 30, 10}) == 10);  // the oldest of all
  CHECK(continuity.missing_before({2, 1, 40, 10}) == 0);
  CHECK(continuity.missing_before({3, 2, 500, 5}) == 0);  // a stream that is new
  CHECK(continuity.missing_before({5, 1, 57, 3}) == 7);
  CHECK(continuity.missing_before({6, 1, 60, 1}) == 0);
  SECTION("on another connection again") {
    CHECK(continuity.missing_before({5, 1, 57, 3}) == 7);
    CHECK(continuity.missing_before({6, 1, 60, 1}) == 0);
    CHECK(continuity.missing_before({2, 1, 40, 10}) == 0);
    CHECK(continuity.missing_before({5, 1, 57, 3}) == 7);
  }
  SECTION("a buffer that was opened again does not begin anew") {
    known.first_seq = 0;
    continuity.begin({known});
    CHECK(continuity.missing_before({7, 1, 61, 1}) == 0);
    CHECK(continuity.missing_before({8, 2, 505, 1}) == 0);
  }
}

TEST_CASE("what was told before rows come again is told again where it does not come itself") {
  Continuity continuity;
  CHECK(continuity.missing_before({1, 1, 0, 10}) == 0);
  CHECK(continuity.missing_before({2, 1, 10, 10}, true) == 0);
  CHECK(continuity.missing_before({3, 1, 20, 10}, true) == 0);
  SECTION("it comes") {
    continuity.rewind();
    CHECK(continuity.missing_before({2, 1, 10, 10}, true) == 0);
    CHECK(continuity.missing_before({3, 1, 20, 10}, true) == 0);
  }
  SECTION("the first one is gone") {
    continuity.rewind();
    CHECK(continuity.missing_before({3, 1, 20, 10}, true) == 10);
  }
  SECTION("both are gone") {
    continuity.rewind();
    CHECK(continuity.missing_before({4, 1, 30, 10}) == 20);
    CHECK(continuity.missing_before({5, 1, 40, 10}) == 0);
  }
  SECTION("and more") {
    continuity.rewind();
    CHECK(continuity.missing_before({4, 1, 35, 10}) == 25);
  }
  SECTION("nothing is where they come on") {
    CHECK(continuity.missing_before({4, 1, 30, 10}) == 0);
  }
}

TEST_CASE("a damaged row is believed where its numbers fit those of its stream around it") {
  CHECK(left_of({row(1, 0, 10), row(1, 10, 10), row(2, 7, 1)}) == Seqs{0, 10, 7});
  CHECK(left_of({row(1, 0, 10), row(1, 10, 10, true), row(1, 20, 10)}) == Seqs{0, 10, 20});
  CHECK(left_of({row(1, 10, 10, true), row(1, 20, 10)}) == Seqs{10, 20});
  CHECK(left_of({row(1, 0, 10), row(2, 3, 3), row(1, 10, 10, true)}) == Seqs{0, 3, 10});
}

TEST_CASE("a damaged row whose numbers do not fit is not passed on") {
  CHECK(left_of({row(1, 0, 10), row(1, 266, 10, true), row(1, 20, 10)}) == Seqs{0, 20});
  CHECK(left_of({row(1, 0, 10), row(1, 10, 74, true), row(1, 20, 10)}) == Seqs{0, 20});
  CHECK(left_of({row(1, 0, 10), row(2, 0, 10), row(2, 10, 10, true), row(2, 10, 5)}) ==
        Seqs{0, 0, 10});
  CHECK(left_of({row(1, 100, 10), row(1, 90, 10, true), row(1, 120, 10)}) == Seqs{100, 120});
  CHECK(left_of({row(3, 8, 8, true), row(3, 2, 2)}) == Seqs{2});
  CHECK(left_of({row(1, 0, 10), row(1, 10, 9, true), row(1, 20, 10)}) == Seqs{0, 20});
  CHECK(left_of({row(1, 10, 10, true), row(1, 2, 3, true), row(1, 30, 10)}) == Seqs{30});
  CHECK(left_of({row(1, 0, 10), row(1, 10, 10, true), row(1, 2, 3, true), row(1, 30, 10)}) ==
        Seqs{0, 10, 30});
  CHECK(left_of({row(1, 5, 5, true)}).empty());  // nothing of its stream speaks for it
}

TEST_CASE("a damaged row of a stream in its turn is told where the last one ended") {
  Continuity continuity;
  CHECK(continuity.place_of_damaged({4, 1, 77, 9}) == RowKey{4, 1, 77, 1});  // the first of all
  CHECK(continuity.missing_before({5, 1, 100, 10}) == 0);
  CHECK(continuity.place_of_damaged({6, 1, 4096, 9}) == RowKey{6, 1, 110, 1});
  CHECK(continuity.missing_before({6, 1, 110, 1}) == 0);
  CHECK(continuity.missing_before({7, 1, 120, 10}) == 9);
  CHECK(continuity.place_of_damaged({6, 1, 4096, 9}) == RowKey{6, 1, 110, 1});  // again
}
