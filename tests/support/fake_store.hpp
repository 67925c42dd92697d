// FakeStore: the store's contract in memory, for tests of what stands on either side of it.
#pragma once

#include <array>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "buffer/content.hpp"
#include "buffer/parking.hpp"

namespace penstock::tests {

/// Never full and always durable. Thread: any.
class FakeStore final : public buffer::Store, private buffer::Parking {
 public:
  explicit FakeStore(std::string device = "gw-7") : device_(std::move(device)) {}

  /// Commits one batch of `count` events to `stream`:
  /// {"time":…,"device":…,…,"seq":N,"message":text}.
  void add_batch(std::string_view stream, std::uint32_t count, std::string_view text = "x",
                 buffer::Priority priority = buffer::Priority::normal);
  void add_loss(std::string_view stream, std::uint32_t count, std::uint8_t reason);
  /// The row becomes unreadable.
  void damage(std::uint64_t row_id);
  /// The row goes without a loss record, as a damaged one does for want of room.
  void remove(std::uint64_t row_id);
  /// From now on reads of rows (or of parked ones) fail; nullopt: they succeed again.
  void fail_reads(std::optional<Error> error);
  void fail_parked_reads(std::optional<Error> error);
  /// How many reads of either kind have failed so far.
  std::uint64_t failed_reads() const;
  /// As after a reopen: rows keep their order and get other ids.
  void reopen();

  std::uint64_t acknowledged(buffer::Priority priority) const;
  std::uint64_t pinned(buffer::Priority priority) const;
  /// Rows that are stored and not acknowledged, without parked ones.
  std::size_t backlog() const;
  std::vector<std::string> parked() const;  ///< names of streams

  const std::string& epoch() const override { return epoch_; }
  std::uint64_t generation() const override;
  Result<buffer::StreamState> open_stream(std::string_view name, buffer::Priority priority,
                                          buffer::WhenFull when_full) override;
  std::string stream_name(std::uint32_t stream_id) const override;
  bool has_stream(std::string_view name) const override;
  void set_policy(std::string_view, const buffer::GroupPolicy&) override {}
  std::uint64_t group_bytes(std::string_view) const override { return 0; }
  Result<std::optional<std::string>> position(std::string_view owner,
                                              std::string_view part) const override;
  Result<std::vector<std::string>> position_parts(std::string_view owner) const override;
  bool is_nearly_full() const override { return false; }
  Result<buffer::CommitReport> commit(const buffer::CommitRequest& request) override;
  bool has_pending_trims() const override;
  Result<std::vector<buffer::Row>> rows_after(buffer::Priority priority, std::uint64_t after_id,
                                              std::size_t bytes_max) const override;
  std::uint64_t durable_id() const override;
  void on_stored(std::function<void()> callback) override;
  void acknowledge(std::uint64_t generation, buffer::Priority priority, std::uint64_t id) override;
  void pin(std::uint64_t generation, buffer::Priority priority, std::uint64_t id) override;
  buffer::Parking* parking() override { return this; }
  buffer::StoreStats stats() const override;
  Result<std::vector<buffer::StreamStats>> stream_stats() const override;
  std::vector<buffer::GroupStats> group_stats() const override { return {}; }
  Result<VerifyReport> verify(
      const std::function<bool(std::uint64_t, std::uint64_t)>& progress) const override;
  Result<std::vector<std::array<std::string, 3>>> positions() const override;
  void close() override {}

 private:
  struct Stream {
    std::string name;
    buffer::StreamState state;
  };
  struct Class {
    std::deque<buffer::Row> rows;
    std::uint64_t acknowledged = 0;
    std::uint64_t pinned = 0;
  };

  struct ParkedRows {
    std::uint64_t from_id = 0;
    std::uint64_t acknowledged = 0;
    std::map<std::uint64_t, std::uint8_t> refused;  // id -> code
    std::deque<buffer::Row> rows;
  };

  std::vector<std::uint32_t> streams() const override;
  void park(std::uint32_t stream_id, std::uint64_t from_id) override;
  void refuse(std::uint32_t stream_id, std::uint64_t id, std::uint8_t code) override;
  Result<std::vector<buffer::Row>> rows_after(std::uint32_t stream_id, std::uint64_t after_id,
                                              std::size_t bytes_max) const override;
  using buffer::Store::peek_after;
  Result<std::vector<buffer::Row>> peek_after(std::uint32_t stream_id, std::uint64_t after_id,
                                              std::size_t bytes_max) const override;
  void acknowledge(std::uint32_t stream_id, std::uint64_t id) override;
  void unpin() override {}
  Result<bool> unpark(std::uint32_t stream_id, std::uint64_t moved_to) override;
  void trim_parked(ParkedRows& parked);

  static std::size_t index(buffer::Priority priority) { return static_cast<std::size_t>(priority); }
  Stream& find_or_add(std::string_view name, buffer::Priority priority);
  void append(const buffer::NewRow& row);
  void trim();

  const std::string device_;
  const std::string epoch_ = "9f3c2a7e";
  mutable std::mutex mutex_;
  mutable std::array<Class, buffer::priority_count> classes_;
  std::vector<Stream> streams_;  // id = index + 1
  std::map<std::uint32_t, ParkedRows> parked_;
  std::map<std::pair<std::string, std::string>, std::string> positions_;
  std::uint64_t next_id_ = 1;
  std::uint64_t generation_ = 1;
  std::uint64_t commits_ = 0;
  buffer::Compressor compressor_;
  std::function<void()> on_stored_;
  std::optional<Error> rows_error_;
  std::optional<Error> parked_error_;
  mutable std::uint64_t failed_reads_ = 0;
};

}  // namespace penstock::tests
