// RecordingStore: a store in memory that checks the numbers, keeps every commit and fails on cue.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "buffer/store.hpp"

namespace penstock::tests {

/// Only what intake uses does something. Thread: any; the hook runs on the committing thread.
class RecordingStore final : public buffer::Store {
 public:
  struct SeenRow {
    std::string stream;
    buffer::NewRow row;
    std::string value;
  };
  struct Commit {
    std::vector<SeenRow> rows;
    std::map<std::string, std::string> positions;  // "<owner>|<part>", NUL shown as '/'
    /// "stream:seq+count" of each row, "!" in front of a loss.
    std::vector<std::string> shape() const;
  };

  // What a test sets.
  void fail_next(std::vector<Errc> failures);
  /// From now on a commit with a batch of one of these is answered with `full`.
  void refuse_batches_of(std::set<std::string> streams);
  void set_nearly_full(bool value);
  void set_pending_trims(bool value);
  void set_open_fails(bool value);
  void preset_stream(const std::string& name, std::uint64_t next_seq);
  void preset_position(const std::string& owner, const std::string& part, const std::string& bytes);
  std::function<void()> before_commit;

  // What a test reads.
  std::vector<Commit> commits() const;
  std::size_t attempts() const;
  /// All values offered so far, failed attempts included, one text per attempt.
  std::vector<std::string> offered() const;
  /// All events of a stream, in order, as one text per batch.
  std::vector<std::string> values(const std::string& stream) const;
  std::map<std::string, buffer::WhenFull> policies() const;
  std::string problem() const;  ///< the first broken rule; "" = none

  const std::string& epoch() const override { return epoch_; }
  std::uint64_t generation() const override { return 1; }
  Result<buffer::StreamState> open_stream(std::string_view name, buffer::Priority priority,
                                          buffer::WhenFull when_full) override;
  std::string stream_name(std::uint32_t stream_id) const override;
  bool has_stream(std::string_view name) const override;
  void set_policy(std::string_view, const buffer::GroupPolicy&) override {}
  std::uint64_t group_bytes(std::string_view) const override { return group_bytes_; }
  void set_group_bytes(std::uint64_t bytes) { group_bytes_ = bytes; }
  Result<std::optional<std::string>> position(std::string_view owner,
                                              std::string_view part) const override;
  Result<std::vector<std::string>> position_parts(std::string_view owner) const override;
  bool is_nearly_full() const override;
  Result<std::uint64_t> damaged_positions(std::string_view) const override {
    return damaged_positions_;
  }
  void set_damaged_positions(std::uint64_t count) { damaged_positions_ = count; }
  Result<buffer::CommitReport> commit(const buffer::CommitRequest& request) override;
  bool has_pending_trims() const override;
  Result<std::vector<buffer::Row>> rows_after(buffer::Priority, std::uint64_t,
                                              std::size_t) const override {
    return std::vector<buffer::Row>();
  }
  std::uint64_t durable_id() const override { return 0; }
  void on_stored(std::function<void()>) override {}
  void acknowledge(std::uint64_t, buffer::Priority, std::uint64_t) override {}
  void pin(std::uint64_t, buffer::Priority, std::uint64_t) override {}
  buffer::StoreStats stats() const override { return {}; }
  Result<std::vector<buffer::StreamStats>> stream_stats() const override {
    return std::vector<buffer::StreamStats>();
  }
  std::vector<buffer::GroupStats> group_stats() const override;  // names and counts of streams
  Result<VerifyReport> verify(
      const std::function<bool(std::uint64_t, std::uint64_t)>&) const override {
    return VerifyReport();
  }
  Result<std::vector<std::array<std::string, 3>>> positions() const override {
    return std::vector<std::array<std::string, 3>>();
  }
  void close() override {}

 private:
  struct Stream {
    std::string name;
    std::uint64_t next_seq = 0;
    buffer::WhenFull when_full = buffer::WhenFull::block;
  };

  const std::string epoch_ = "9f3c2a7e";
  mutable std::mutex mutex_;  // guards: all below
  std::vector<Stream> streams_;
  std::map<std::pair<std::string, std::string>, std::string> positions_;
  std::vector<Commit> commits_;
  std::vector<std::string> offered_;
  std::deque<Errc> failures_;
  std::set<std::string> refused_;
  std::size_t attempts_ = 0;
  std::atomic<std::uint64_t> group_bytes_{0};
  std::atomic<std::uint64_t> damaged_positions_{0};
  bool is_nearly_full_ = false;
  bool has_pending_trims_ = false;
  bool open_fails_ = false;
  std::string problem_;
};

}  // namespace penstock::tests
