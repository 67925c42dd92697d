#include "agent/pipeline/pace.hpp"

#include <algorithm>

namespace penstock::pipeline {
namespace {

constexpr double us_per_s = 1e6;
constexpr std::int64_t gather_us_max = 20'000;
/// Even the smallest budget buys a few commits in a row.
constexpr double burst_commits_min = 16;

double cost_of(std::size_t bytes) {
  return CommitPace::commit_cost_bytes + CommitPace::stored_share * static_cast<double>(bytes);
}

}  // namespace

CommitPace::CommitPace(const PaceOptions& options, std::int64_t now_us)
    : options_(options),
      capacity_(std::max(options.budget_bytes_per_s * static_cast<double>(burst.count()),
                         burst_commits_min * commit_cost_bytes)),
      tokens_(capacity_),
      tokens_us_(now_us),
      last_commit_us_(now_us - options.every.count()) {}

void CommitPace::note_rows(std::int64_t now_us) {
  if (rows_since_us_ == never) rows_since_us_ = now_us;
}

void CommitPace::note_idle_work(std::int64_t now_us) {
  if (idle_since_us_ == never) idle_since_us_ = now_us;
}

double CommitPace::tokens_at(std::int64_t now_us) const {
  const double earned =
      static_cast<double>(now_us - tokens_us_) / us_per_s * options_.budget_bytes_per_s;
  return std::min(capacity_, tokens_ + earned);
}

std::int64_t CommitPace::unstretched_due_us() const {
  std::int64_t due = never;
  if (rows_since_us_ != never) {
    const std::int64_t gather = std::min(gather_us_max, options_.every.count() / 50);
    due = std::max(rows_since_us_ + gather, last_commit_us_ + options_.every.count());
  }
  if (idle_since_us_ != never) {
    due = std::min(due, idle_since_us_ + std::max(idle_delay, options_.every).count());
  }
  return due;
}

std::int64_t CommitPace::due_us(std::int64_t now_us, std::size_t bytes) {
  const std::int64_t due = unstretched_due_us();
  if (due == never || options_.budget_bytes_per_s <= 0) return due;
  const double missing = cost_of(bytes) - tokens_at(now_us);
  if (missing <= 0) return due;
  const std::int64_t since = std::min(rows_since_us_, idle_since_us_);
  const auto wait = static_cast<std::int64_t>(
      std::min(missing / options_.budget_bytes_per_s * us_per_s, 1e15) + 1);
  const std::int64_t stretched = std::min(now_us + wait, since + options_.max_delay.count());
  if (stretched > due) is_stretched_ = true;
  return std::max(due, stretched);
}

bool CommitPace::note_commit(std::int64_t now_us, std::size_t bytes) {
  const bool was_stretched = is_stretched_ && now_us > unstretched_due_us();
  is_stretched_ = false;
  drawn_ = cost_of(bytes);
  tokens_ = std::max(-capacity_, tokens_at(now_us) - drawn_);
  tokens_us_ = now_us;
  last_commit_us_ = now_us;
  rows_since_us_ = never;
  idle_since_us_ = never;
  return was_stretched;
}

void CommitPace::note_written(std::uint64_t bytes) {
  if (bytes == 0) return;
  const double cost = file_system_bytes + static_cast<double>(bytes);
  tokens_ = std::clamp(tokens_ + drawn_ - cost, -capacity_, capacity_);
  drawn_ = cost;
}

}  // namespace penstock::pipeline
