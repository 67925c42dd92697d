// CommitPace: when the next commit is due; holds the flash writes of a day within their budget.
#pragma once

#include <chrono>
#include <cstdint>
#include <limits>

namespace penstock::pipeline {

struct PaceOptions {
  std::chrono::microseconds every{1'000'000};
  std::chrono::microseconds max_delay{10'000'000};
  double budget_bytes_per_s = 0;  ///< 0: none
};

/// Commits are `every` apart, so an event after a pause is committed at once (after at most 20 ms,
/// in which others may join it). Each commit draws its estimated device writes from a token bucket;
/// while that cannot pay, a commit waits, but no event longer than max_delay. A forced commit
/// (flush, full) is not asked for here; it draws all the same, and the debt is paid later. All
/// times are of the steady clock in µs. Thread: owner only.
class CommitPace {
 public:
  static constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();
  /// Measured on the device: pages of the trees, the meta page, and what the file system writes for
  /// the new time of the file, whatever the commit holds.
  static constexpr double commit_cost_bytes = 42 * 1024;
  /// The file system's part of that (ext4: journal and inode).
  static constexpr double file_system_bytes = 18 * 1024;
  /// Stored (compressed) bytes for each byte of encoded text; logs and metrics take 0.1 to 0.3.
  static constexpr double stored_share = 0.25;
  /// Positions and trims alone are in no hurry.
  static constexpr std::chrono::microseconds idle_delay{3'000'000};
  /// The bucket holds the budget of this long: so much may be written in one burst.
  static constexpr std::chrono::seconds burst{600};

  CommitPace(const PaceOptions& options, std::int64_t now_us);

  /// Something waits for a commit: rows, or only what is in no hurry (positions, trims).
  void note_rows(std::int64_t now_us);
  void note_idle_work(std::int64_t now_us);
  bool has_work() const { return rows_since_us_ != never || idle_since_us_ != never; }

  /// When to commit if no more comes; `never` if nothing waits. bytes: encoded text that waits.
  std::int64_t due_us(std::int64_t now_us, std::size_t bytes);
  /// A commit begins. true: the budget made it wait.
  bool note_commit(std::int64_t now_us, std::size_t bytes);
  /// What the store counted for that commit takes the place of the estimate; 0: it did not.
  void note_written(std::uint64_t bytes);

 private:
  std::int64_t unstretched_due_us() const;
  double tokens_at(std::int64_t now_us) const;

  const PaceOptions options_;
  double capacity_ = 0;  // bytes
  double tokens_ = 0;    // at tokens_us_; below 0 is debt
  double drawn_ = 0;     // for the commit under way
  std::int64_t tokens_us_;
  std::int64_t last_commit_us_;
  std::int64_t rows_since_us_ = never;
  std::int64_t idle_since_us_ = never;
  bool is_stretched_ = false;  // the next commit was told to wait for the budget
};

}  // namespace penstock::pipeline
