// The commit's rhythm decides how old data may get in memory and how long an SD card lives.
#include "agent/pipeline/pace.hpp"

#include <catch2/catch.hpp>

#include "agent/pipeline/day_total.hpp"

using namespace penstock::pipeline;
using namespace std::chrono_literals;

namespace {

constexpr std::int64_t ms = 1000;
constexpr std::int64_t s = 1000 * ms;
constexpr double budget = 500e6 / 86'400;  // the default, 500 MB a day

}  // namespace

TEST_CASE("a rare event is committed at once, a trickle every `every`", "[pace]") {
  CommitPace pace({.every = 1s, .max_delay = 10s}, 0);
  CHECK(pace.due_us(0, 0) == CommitPace::never);
  pace.note_rows(100 * s);
  CHECK(pace.due_us(100 * s, 100) == 100 * s + 20 * ms);
  CHECK_FALSE(pace.note_commit(100 * s + 20 * ms, 100));
  CHECK(pace.due_us(100 * s + 20 * ms, 0) == CommitPace::never);
  pace.note_rows(100 * s + 300 * ms);
  pace.note_rows(100 * s + 700 * ms);
  CHECK(pace.due_us(100 * s + 700 * ms, 100) == 101 * s + 20 * ms);
}

TEST_CASE("`every: 0` commits as soon as there is something", "[pace]") {
  CommitPace pace({.every = 0s, .max_delay = 10s}, 0);
  pace.note_rows(5 * s);
  CHECK(pace.due_us(5 * s, 100) == 5 * s);
}

TEST_CASE("positions and trims alone wait a few seconds", "[pace]") {
  CommitPace pace({.every = 1s, .max_delay = 10s}, 0);
  pace.note_idle_work(50 * s);
  CHECK(pace.due_us(50 * s, 0) == 53 * s);
  pace.note_rows(51 * s);
  CHECK(pace.due_us(51 * s, 100) == 51 * s + 20 * ms);
}

TEST_CASE("the write budget stretches a trickle, at most to max_delay", "[pace]") {
  CommitPace pace({.every = 1s, .max_delay = 10s, .budget_bytes_per_s = budget}, 0);
  std::int64_t now = 0;
  double written = 0;
  int stretched = 0;
  std::int64_t longest = 0;
  while (now < 86'400 * s) {  // a day of one small event a second
    const std::int64_t since = now;
    pace.note_rows(since);
    for (std::int64_t due = 0; (due = pace.due_us(now, 200)) > now;) now = due;
    longest = std::max(longest, now - since);
    stretched += pace.note_commit(now, 200);
    written += CommitPace::commit_cost_bytes + 50;
    now += s;
  }
  CHECK(written < 500e6 + budget * 600 + 2 * CommitPace::commit_cost_bytes);
  CHECK(written > 0.8 * 500e6);
  CHECK(longest <= 10 * s);
  CHECK(longest > s);
  CHECK(stretched > 10'000);
}

TEST_CASE("a budget that is used up delays by max_delay, never more", "[pace]") {
  CommitPace pace({.every = 1s, .max_delay = 10s, .budget_bytes_per_s = 100}, 0);
  for (int i = 0; i < 100; ++i) pace.note_commit(i * s, 1'000'000);  // forced: full commits
  pace.note_rows(200 * s);
  CHECK(pace.due_us(200 * s, 100) == 210 * s);
  CHECK(pace.due_us(205 * s, 100) == 210 * s);
  CHECK(pace.note_commit(210 * s, 100));

  // Its debt is bounded: the bucket fills again.
  const std::int64_t later = 210 * s + 2 * static_cast<std::int64_t>(16 * 24 * 1024 / 100) * s;
  pace.note_rows(later);
  CHECK(pace.due_us(later, 100) == later + 20 * ms);
  CHECK_FALSE(pace.note_commit(later + 20 * ms, 100));
}

TEST_CASE("max_delay shorter than `every` does not hurry commits", "[pace]") {
  CommitPace pace({.every = 5s, .max_delay = 1s, .budget_bytes_per_s = 1}, 0);
  for (int i = 0; i < 40; ++i) pace.note_commit(i, 100);
  pace.note_rows(1 * s);
  CHECK(pace.due_us(1 * s, 100) == 5 * s + 39);
}

TEST_CASE("what a commit really wrote is what it costs", "[pace]") {
  CommitPace pace({.every = 1s, .max_delay = 10s, .budget_bytes_per_s = budget}, 0);
  constexpr std::uint64_t pages = 100 * 4096;
  for (int i = 0; i < 10; ++i) {  // more than ten minutes of the budget
    pace.note_commit(0, 200);
    pace.note_written(pages);
  }
  pace.note_rows(1 * s);
  CHECK(pace.due_us(1 * s, 200) > 5 * s);

  CommitPace cheap({.every = 1s, .max_delay = 10s, .budget_bytes_per_s = budget}, 0);
  for (int i = 0; i < 10; ++i) {
    cheap.note_commit(0, 4'000'000);  // text that zstd makes nearly nothing of
    cheap.note_written(8 * 4096);
  }
  cheap.note_rows(1 * s);
  CHECK(cheap.due_us(1 * s, 200) == 1 * s + 20 * ms);
}

TEST_CASE("a day's total forgets what is a day old", "[pace]") {
  constexpr std::int64_t hour = 3600 * s;
  DayTotal total;
  CHECK(total.at(7 * s) == 0);
  total.add(7 * s, 5);
  total.add(hour + s, 3);
  CHECK(total.at(hour + s) == 8);
  CHECK(total.at(24 * hour - s) == 8);
  CHECK(total.at(24 * hour) == 3);
  total.add(25 * hour, 1);
  CHECK(total.at(25 * hour) == 1);
  CHECK(total.at(400 * hour) == 0);
}
