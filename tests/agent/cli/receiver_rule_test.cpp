// The receiver's proof stands on this class: a wrong verdict hides a loss or invents one.
#include "agent/cli/receiver_rule.hpp"

#include <catch2/catch.hpp>

#include <random>
#include <set>

namespace penstock::cli {
namespace {

constexpr std::int64_t second = 1'000'000;

EventIdentity event(std::uint64_t seq, std::uint64_t hash = 0) {
  return {"gw", "app", "e1", seq, 0, false, hash == 0 ? seq * 7919 + 1 : hash};
}
EventIdentity loss(std::uint64_t seq, std::uint64_t lost) {
  return {"gw", "app", "e1", seq, lost, true, seq ^ (lost << 20)};
}
std::uint64_t missing(const std::vector<Gap>& gaps) {
  std::uint64_t sum = 0;
  for (const Gap& gap : gaps) sum += gap.count;
  return sum;
}

TEST_CASE("numbers in order are fresh, and nothing is missing") {
  ReceiverRule rule({});
  for (std::uint64_t seq = 1200; seq < 9000; ++seq)
    CHECK(rule.take(event(seq), 0) == Verdict::fresh);
  CHECK(rule.find_gaps(1000 * second).empty());
  CHECK(rule.finish().empty());
  CHECK(rule.counts().events == 7800);
  CHECK(rule.counts().streams == 1);
}

TEST_CASE("a number that was covered is a repeat, with other content a conflict") {
  ReceiverRule rule({});
  for (std::uint64_t seq = 0; seq < 5000; ++seq) rule.take(event(seq), 0);
  CHECK(rule.take(event(4999), 0) == Verdict::repeat);
  CHECK(rule.take(event(4999, 5), 0) == Verdict::conflict);
  CHECK(rule.take(event(904), 0) == Verdict::repeat);
  CHECK(rule.take(event(904, 5), 0) == Verdict::conflict);
  CHECK(rule.take(event(903, 5), 0) == Verdict::repeat);  // older than the last 4096
  CHECK(rule.counts().repeats == 3);
  CHECK(rule.counts().conflicts == 2);
  CHECK(rule.counts().events == 5000);
}

TEST_CASE("it tells the ranges that came, and nothing that it gave up") {
  ReceiverRule rule({.holes_max = 4});
  const auto bounds = [&rule](std::size_t ranges_max) {
    std::vector<ReceiverRule::Covered> all;
    rule.covered(ranges_max, all);
    REQUIRE(all.size() == 1);
    CHECK(all[0].stream == "app");
    return all[0].bounds;
  };
  rule.take(event(5), 0);
  CHECK(bounds(64) == std::vector<std::uint64_t>{5, 6});
  for (const std::uint64_t seq : {7, 9, 11}) rule.take(event(seq), 0);
  CHECK(bounds(64) == std::vector<std::uint64_t>{5, 6, 7, 8, 9, 10, 11, 12});
  rule.take(event(5), 0);  // what came last is among them
  CHECK(bounds(2) == std::vector<std::uint64_t>{5, 6, 7, 8});
  rule.take(event(6), 0);
  CHECK(bounds(64) == std::vector<std::uint64_t>{5, 8, 9, 10, 11, 12});
  for (const std::uint64_t seq : {13, 15}) rule.take(event(seq), 0);
  // The hole below 5 was given up: so is the word that all before it came.
  CHECK(bounds(64) == std::vector<std::uint64_t>{5, 8, 9, 10, 11, 12, 13, 14, 15, 16});
  rule.take(event(17), 0);
  const std::vector<std::uint64_t> expected{9, 10, 11, 12, 13, 14, 15, 16, 17, 18};
  CHECK(bounds(64) == expected);
  ReceiverRule again({.holes_max = 4});
  REQUIRE(again.load(rule.save(), 0).ok());
  std::vector<ReceiverRule::Covered> all;
  again.covered(64, all);
  CHECK(all.at(0).bounds == expected);
}

TEST_CASE("streams, devices and epochs are apart") {
  ReceiverRule rule({});
  CHECK(rule.take({"gw", "app", "e1", 0, 0, false, 1}, 0) == Verdict::fresh);
  CHECK(rule.take({"gw", "app", "e2", 0, 0, false, 2}, 0) == Verdict::fresh);
  CHECK(rule.take({"gw", "host", "e1", 0, 0, false, 3}, 0) == Verdict::fresh);
  CHECK(rule.take({"gx", "app", "e1", 0, 0, false, 4}, 0) == Verdict::fresh);
  CHECK(rule.take({"gw", "app", "e1", 0, 0, false, 1}, 0) == Verdict::repeat);
  CHECK(rule.counts().streams == 4);
}

TEST_CASE("a hole becomes a gap once, after gap_after") {
  ReceiverRule rule({});
  rule.take(event(10), 0);
  rule.take(event(15), 5 * second);
  CHECK(rule.find_gaps(64 * second).empty());
  const std::vector<Gap> gaps = rule.find_gaps(65 * second);
  REQUIRE(gaps.size() == 1);
  CHECK(gaps[0].device == "gw");
  CHECK(gaps[0].stream == "app");
  CHECK(gaps[0].epoch == "e1");
  CHECK(gaps[0].first == 11);
  CHECK(gaps[0].count == 4);
  CHECK(rule.find_gaps(900 * second).empty());
  CHECK(rule.finish().empty());
  CHECK(rule.counts().gaps == 1);
  CHECK(rule.counts().missing == 4);
}

TEST_CASE("a hole that is filled in time is no gap, its numbers are late") {
  ReceiverRule rule({});
  rule.take(event(10), 0);
  rule.take(event(15), 0);
  for (const std::uint64_t seq : {12, 14, 11, 13}) CHECK(rule.take(event(seq), 0) == Verdict::late);
  CHECK(rule.take(event(12), 0) == Verdict::repeat);
  CHECK(rule.take(event(12, 1), 0) == Verdict::conflict);
  CHECK(rule.finish().empty());
  CHECK(rule.counts().late == 4);
  CHECK(rule.counts().events == 6);
}

TEST_CASE("the end makes every open hole a gap") {
  ReceiverRule rule({});
  rule.take(event(0), 0);
  rule.take(event(5), 0);
  rule.take(event(3), 0);
  const std::vector<Gap> gaps = rule.finish();
  REQUIRE(gaps.size() == 2);
  CHECK(gaps[0].first == 1);
  CHECK(gaps[0].count == 2);
  CHECK(gaps[1].first == 4);
  CHECK(gaps[1].count == 1);
}

TEST_CASE("the first number is the baseline, unless the start is demanded") {
  const bool from_start = GENERATE(false, true);
  ReceiverRule::Settings settings;
  settings.from_start = from_start;
  ReceiverRule rule(settings);
  CHECK(rule.take(event(100), 0) == Verdict::fresh);
  CHECK(rule.take(event(50), 0) == Verdict::late);
  CHECK(rule.take(event(50), 0) == Verdict::repeat);
  CHECK(missing(rule.finish()) == (from_start ? 99 : 0));
}

TEST_CASE("a loss record covers its numbers") {
  ReceiverRule rule({});
  rule.take(event(0), 0);
  CHECK(rule.take(loss(1, 10), 0) == Verdict::fresh);
  CHECK(rule.take(event(11), 0) == Verdict::fresh);
  CHECK(rule.finish().empty());
  CHECK(rule.counts().loss_records == 1);
  CHECK(rule.counts().lost == 10);
  CHECK(rule.counts().events == 2);

  SECTION("the same again is a repeat") { CHECK(rule.take(loss(1, 10), 0) == Verdict::repeat); }
  SECTION("a number that was told as lost is a repeat, not a conflict") {
    CHECK(rule.take(event(5), 0) == Verdict::repeat);
  }
  SECTION("events that had come are no conflict with a later loss record") {
    CHECK(rule.take(loss(11, 1), 0) == Verdict::repeat);
  }
}

TEST_CASE("a loss record that grew covers only what is new") {
  ReceiverRule rule({});
  rule.take(event(0), 0);
  rule.take(loss(1, 10), 0);
  CHECK(rule.take(loss(1, 15), 0) == Verdict::fresh);
  CHECK(rule.counts().lost == 15);
  CHECK(rule.take(event(16), 0) == Verdict::fresh);
  CHECK(rule.take(event(30), 0) == Verdict::fresh);
  CHECK(rule.take(loss(14, 6), 0) == Verdict::late);  // 17, 18, 19 were open
  CHECK(rule.counts().lost == 18);
  const std::vector<Gap> gaps = rule.finish();
  REQUIRE(gaps.size() == 1);
  CHECK(gaps[0].first == 20);
  CHECK(gaps[0].count == 10);
}

TEST_CASE("the highest numbers do not overflow") {
  constexpr std::uint64_t most = UINT64_MAX;
  ReceiverRule rule({});
  CHECK(rule.take(event(most - 2), 0) == Verdict::fresh);
  CHECK(rule.take(event(most - 1), 0) == Verdict::fresh);
  CHECK(rule.take(event(most - 1), 0) == Verdict::repeat);
  CHECK(rule.take(event(0), 0) == Verdict::late);
}

TEST_CASE("memory is bounded: too many holes are given up as gaps, too many streams are told") {
  ReceiverRule::Settings settings;
  settings.holes_max = 8;
  settings.streams_max = 1;
  ReceiverRule rule(settings);
  for (std::uint64_t seq = 0; seq < 40; seq += 2) rule.take(event(seq), 0);
  CHECK(rule.find_gaps(0).size() == 11);  // 19 holes were opened, 8 are kept
  CHECK(rule.finish().size() == 8);
  CHECK(rule.take({"gw", "other", "e1", 0, 0, false, 1}, 0) == Verdict::untracked);
  CHECK(rule.counts().untracked == 1);
}

TEST_CASE("the verdicts agree with a set of numbers on random traffic") {
  const auto seed = GENERATE(1U, 2U, 3U, 4U, 5U);
  INFO("seed " << seed);
  std::mt19937 random(seed);
  ReceiverRule rule({});
  std::set<std::uint64_t> covered;
  for (int step = 0; step < 4000; ++step) {
    const std::uint64_t seq = random() % 3000 + static_cast<unsigned>(step) / 2;
    const std::uint64_t lost = random() % 8 == 0 ? random() % 20 + 1 : 0;
    const bool is_above =
        covered.empty() || seq + std::max<std::uint64_t>(1, lost) - 1 > *covered.rbegin();
    std::size_t added = 0;
    for (std::uint64_t i = 0; i < std::max<std::uint64_t>(1, lost); ++i) {
      added += covered.insert(seq + i).second ? 1U : 0U;
    }
    const Verdict verdict = rule.take(lost != 0 ? loss(seq, lost) : event(seq), 0);
    const Verdict wanted = added == 0 ? Verdict::repeat : is_above ? Verdict::fresh : Verdict::late;
    REQUIRE(static_cast<int>(verdict) == static_cast<int>(wanted));
    if (step % 500 == 0) {
      ReceiverRule copy({});
      REQUIRE(copy.load(rule.save(), 0).ok());
      REQUIRE(copy.save() == rule.save());
    }
  }
}

TEST_CASE("a saved state goes on where it was") {
  ReceiverRule rule({});
  for (std::uint64_t seq = 0; seq < 300; ++seq) rule.take(event(seq), 0);
  rule.take(event(310), 0);
  const std::string saved = rule.save();

  ReceiverRule again({});
  REQUIRE(again.load(saved, 1000 * second).ok());
  CHECK(again.save() == saved);
  CHECK(again.take(event(299), 0) == Verdict::repeat);
  CHECK(again.take(event(299, 3), 0) == Verdict::conflict);
  CHECK(again.take(event(300), 0) == Verdict::late);
  CHECK(again.take(event(311), 0) == Verdict::fresh);
  CHECK(again.find_gaps(1059 * second).empty());  // the hole ages from the load on
  const std::vector<Gap> gaps = again.find_gaps(1060 * second);
  REQUIRE(gaps.size() == 1);
  CHECK(gaps[0].first == 301);
  CHECK(gaps[0].count == 9);

  ReceiverRule third({});
  REQUIRE(third.load(again.save(), 0).ok());
  CHECK(third.finish().empty());  // told once
}

TEST_CASE("a state that is damaged changes nothing") {
  const std::string text = GENERATE(
      "", "penstock-receiver\t2\nend\t1\n", "penstock-receiver\t1\nend\t2\n",
      "penstock-receiver\t1\nend\t1", "penstock-receiver\t1\nhole\t1\t2\t1\t0\nend\t2\n",
      "penstock-receiver\t1\nstream\ta\tb\tc\tx\nend\t2\n",
      "penstock-receiver\t1\nstream\ta\tb\tc\t5\nhole\t3\t3\t1\t0\nend\t3\n",
      "penstock-receiver\t1\nstream\ta\tb\tc\t5\nhole\t3\t6\t1\t0\nend\t3\n",
      "penstock-receiver\t1\nstream\ta\tb\tc\t5\nhole\t1\t4\t1\t0\nhole\t3\t5\t1\t0\nend\t4\n",
      "penstock-receiver\t1\nstream\ta\tb\tc\t5\nhashes\t3\t1:1\t1:1\t1:1\nend\t3\n",
      "penstock-receiver\t1\nstream\ta\tb\tc\t5\nhashes\t1\tzz:1\nend\t3\n",
      "penstock-receiver\t1\nstream\ta\tb\tc\t5\nstream\ta\tb\tc\t5\nend\t3\n",
      "penstock-receiver\t1\nstream\ta\tb\tc\t5\nnonsense\nend\t3\n");
  ReceiverRule rule({});
  rule.take(event(3), 0);
  const std::string before = rule.save();
  const Result<void> loaded = rule.load(text, 0);
  REQUIRE(!loaded.ok());
  CHECK(loaded.error().code == Errc::corrupt);
  CHECK(rule.save() == before);
}

}  // namespace
}  // namespace penstock::cli
