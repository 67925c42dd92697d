#include "agent/forward/width.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdint>
#include <map>
#include <random>
#include <utility>
#include <variant>
#include <vector>

#include "agent/forward/brain.hpp"

using namespace penstock::forward;
using penstock::buffer::Priority;

namespace {

void answer(Width& width, int count, std::int64_t round_trip_us, bool is_full = true) {
  for (int i = 0; i < count; ++i) {
    if (is_full) width.on_full();
    width.on_acknowledged(round_trip_us, 7);
  }
}

/// A line as tests/peers/gate.py makes one: a lost segment comes a round trip and 0.2 s later, and
/// all behind it waits.
struct Line {
  double bytes_per_us = 1;
  std::int64_t one_way_us = 300'000;
  double loss = 0;

  bool loses() { return std::uniform_real_distribution<>(0, 1)(random) < loss; }
  /// When the answer to a message that is sent now comes back.
  std::int64_t answer_at_us(std::int64_t now_us, std::uint64_t bytes) {
    free_us = std::max(free_us, now_us) +
              static_cast<std::int64_t>(static_cast<double>(bytes) / bytes_per_us);
    bool is_lost = false;
    for (std::uint64_t at = 0; at < bytes; at += 1'460) is_lost = loses() || is_lost;
    const std::int64_t again_us = 2 * one_way_us + 200'000;
    up_us = std::max(up_us, free_us + one_way_us + (is_lost ? again_us : 0));
    down_us = std::max(down_us, up_us + one_way_us + (loses() ? again_us : 0));
    return down_us;
  }

  std::mt19937 random{7};
  std::int64_t free_us = 0;
  std::int64_t up_us = 0;
  std::int64_t down_us = 0;
};

struct Drained {
  double bytes_per_us = 0;
  std::size_t most_messages = 0;
};

/// A real brain with a backlog of rows of that size.
Drained drain(Line line, std::uint64_t row_bytes, std::uint64_t rows) {
  Brain brain({.tells_status = false});
  std::multimap<std::int64_t, std::uint64_t> answers;
  std::vector<Event> events{StoreChanged{1, {}}, Stored{}};
  std::int64_t now_us = 1'000'000;
  std::uint64_t acknowledged = 0;
  Drained out;
  while (acknowledged < rows) {
    if (events.empty()) {
      const auto [at_us, message] = *answers.begin();
      answers.erase(answers.begin());
      now_us = at_us;
      ++acknowledged;
      events.push_back(Acknowledged{1, message, 0, now_us});
    }
    std::vector<Action> actions;
    brain.step(now_us, events.front(), actions);
    events.erase(events.begin());
    for (const Action& action : actions) {
      if (std::holds_alternative<Connect>(action)) {
        Limits limits;
        limits.receive_max = 1'000;
        events.push_back(LinkUp{1, limits});
      } else if (const auto* fetch = std::get_if<Fetch>(&action)) {
        Fetched found{fetch->generation, fetch->priority, fetch->after_id, {}, true};
        const std::uint64_t last =
            fetch->priority == Priority::normal ? std::min(rows, fetch->after_id + 20) : 0;
        for (std::uint64_t id = fetch->after_id + 1; id <= last; ++id) {
          found.rows.push_back({id, 100, 10, 1, id * 10, id * 10 + 10});
        }
        found.is_end = last == 0 || last == rows;
        events.push_back(found);
      } else if (const auto* encode = std::get_if<Encode>(&action)) {
        events.push_back(Encoded{1, encode->row, {{row_bytes, 10}}});
      } else if (const auto* publish = std::get_if<Publish>(&action)) {
        answers.emplace(line.answer_at_us(now_us, row_bytes), publish->message);
        out.most_messages = std::max(out.most_messages, answers.size());
      }
    }
  }
  out.bytes_per_us =
      static_cast<double>(rows * row_bytes) / static_cast<double>(now_us - 1'000'000);
  return out;
}

/// One that has all the memory from the beginning, and does nothing else.
double drain_at_once(Line line, std::uint64_t row_bytes, std::uint64_t rows, std::size_t window) {
  std::int64_t now_us = 0;
  std::multimap<std::int64_t, std::uint64_t> answers;
  for (std::uint64_t sent = 0; sent < rows; ++sent) {
    if (answers.size() == window) {
      now_us = answers.begin()->first;
      answers.erase(answers.begin());
    }
    answers.emplace(line.answer_at_us(now_us, row_bytes), sent);
  }
  return static_cast<double>(rows * row_bytes) / static_cast<double>(answers.rbegin()->first);
}

}  // namespace

TEST_CASE("it widens while something waits and answers come as quickly as ever") {
  Width width(64, 2U << 20);
  CHECK(width.messages() == 8);
  CHECK(width.bytes() == 1U << 20);
  answer(width, 8 + 7, 600'000);
  CHECK(width.messages() == 8);
  answer(width, 1, 600'000);
  CHECK(width.messages() == 16);
  CHECK(width.bytes() == 2U << 20);
  answer(width, 16 + 32, 1'200'000);
  CHECK(width.messages() == 64);
  answer(width, 64, 600'000);
  CHECK(width.messages() == 64);
  CHECK(width.bytes() == 2U << 20);
  width.begin();
  CHECK(width.messages() == 8);
  CHECK(width.bytes() == 1U << 20);
}

TEST_CASE("it stays as it is while nothing waits for room") {
  Width width(64, 2U << 20);
  answer(width, 100, 600'000, false);
  CHECK(width.messages() == 8);
}

TEST_CASE("one quick answer in a round is enough: the others met a loss") {
  Width width(64, 2U << 20);
  answer(width, 8 + 1, 600'000);
  answer(width, 7, 30'000'000);
  CHECK(width.messages() == 16);
}

TEST_CASE("what found the line empty is no sign that there is room") {
  Width width(64, 2U << 20);
  for (int burst = 0; burst < 10; ++burst) {
    answer(width, 4, 600'000);
    answer(width, 10, 30'000'000);
    width.on_acknowledged(30'000'000, 0);
  }
  CHECK(width.messages() == 8);
}

TEST_CASE("it narrows to where it began when even the quickest answers are late") {
  Width width(64, 2U << 20);
  answer(width, 8 + 8 + 16 + 32, 10'000);
  REQUIRE(width.messages() == 64);
  answer(width, 64 + 32 + 16 + 8 + 8, 100'000);
  CHECK(width.messages() == 8);
  CHECK(width.bytes() == 1U << 20);
}

TEST_CASE("it never exceeds what is configured") {
  Width width(3, 5'000);
  CHECK(width.messages() == 3);
  CHECK(width.bytes() == 5'000);
  answer(width, 100, 600'000);
  CHECK(width.messages() == 3);
  CHECK(width.bytes() == 5'000);
  answer(width, 100, 600'000'000);
  CHECK(width.messages() == 3);
  CHECK(width.bytes() == 5'000);
}

TEST_CASE("a long, lossy line carries nearly what one sender with all the memory gets through") {
  for (const double loss : {0.0, 0.05}) {
    for (const std::uint64_t row_bytes : {1'000U, 10'000U, 95'000U}) {
      const Line line{.loss = loss};
      const std::uint64_t rows = 40'000'000 / row_bytes / (row_bytes == 1'000 ? 10 : 1);
      const std::size_t window = std::min<std::size_t>(64, (2U << 20) / row_bytes);
      const double ours = drain(line, row_bytes, rows).bytes_per_us;
      const double best = drain_at_once(line, row_bytes, rows, window);
      INFO(row_bytes << " bytes, loss " << loss << ": " << ours << " of " << best);
      CHECK(ours >= 0.8 * best);
    }
  }
}

TEST_CASE("on a narrow line no more waits than at first") {
  const Drained drained = drain({.bytes_per_us = 0.02}, 95'000, 60);
  CHECK(drained.most_messages == 8);
  CHECK(drained.bytes_per_us >= 0.8 * 0.02);
}
