// StoreModel: what the store must hold, in a deque per class, and the check of the store against
// it.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "buffer/store.hpp"

namespace penstock::tests {

struct ModelRow {
  std::uint64_t id = 0;
  std::uint32_t stream_id = 0;
  std::uint64_t seq = 0;
  std::uint32_t count = 0;
  buffer::RowKind kind = buffer::RowKind::batch;
  std::uint8_t loss_reason = 0;
  bool loss_is_exact = true;
  std::shared_ptr<const std::string> content;
  std::uint64_t stored_us = 0;  ///< buffer time

  std::uint64_t end() const { return seq + count; }
};

struct ModelStream {
  std::uint32_t id = 0;
  std::uint64_t next_seq = 0;
  buffer::Priority priority = buffer::Priority::normal;
  buffer::Priority wanted = buffer::Priority::normal;
  buffer::WhenFull when_full = buffer::WhenFull::block;
  std::uint64_t share = 0;  ///< of its group; 0: all there is
  // What a receiver would have counted: trimmed, and so acknowledged.
  std::uint64_t taken_events = 0;
  std::uint64_t taken_lost = 0;
  // What became loss records in the store.
  std::uint64_t dropped = 0;
  std::uint64_t expired = 0;
};

/// What the store said, or may say.
struct ModelDrops {
  std::uint64_t rows = 0;
  std::uint64_t events = 0;
  bool operator==(const ModelDrops&) const = default;
};
struct ModelReport {
  ModelDrops dropped;
  ModelDrops expired;
};

/// Predicts all but which rows a full buffer drops; of these it checks that they were allowed to
/// go, went in the right order, and left loss rows that cover exactly their numbers.
class StoreModel {
 public:
  ModelStream& stream(const std::string& name) { return streams_[name]; }
  std::map<std::string, ModelStream>& streams() { return streams_; }
  std::map<std::string, std::string>& positions() { return positions_; }

  void acknowledge(std::size_t index, std::uint64_t id);
  void pin(std::size_t index, std::uint64_t id);
  std::uint64_t pinned(std::size_t index) const { return pinned_[index]; }
  std::uint64_t id_of(std::size_t index, std::size_t row) const;
  std::size_t rows(std::size_t index) const { return classes_[index].size(); }
  std::uint64_t next_id() const { return next_id_; }

  /// The store said ok: trims, class changes, then these rows, which get their ids here. now_us:
  /// buffer time.
  void commit(std::vector<ModelRow> rows, std::uint64_t now_us);
  void set_max_age(std::uint64_t max_age_us) { max_age_us_ = max_age_us; }
  /// The store was opened again: acknowledgements that no commit followed are forgotten.
  void reopen();

  /// "" if the rows read are what the model holds, and what is gone was reported (nullptr: nobody
  /// could), which then takes them over.
  std::string check(const std::array<std::vector<buffer::Row>, buffer::priority_count>& read,
                    const ModelReport* report);
  /// "" if taken + lost + stored = next number for each stream, and the store's accounts say so.
  std::string check_accounts(const std::vector<buffer::StreamStats>& stats) const;
  /// Whether a group that drops could have kept within its share and did not try all it may.
  std::string check_share(const std::string& group, std::uint64_t bytes) const;
  /// "" if nothing is left that had to expire by now.
  std::string check_ages() const;
  /// Loss records of several kinds, or of unknown size, that were seen as one.
  std::uint64_t joined() const { return joined_; }

 private:
  struct Dropped {
    ModelReport report;
    std::vector<std::pair<std::size_t, ModelRow>> rows;  // for want of room; with their class
  };
  std::string check_class(std::size_t index, const std::vector<buffer::Row>& read,
                          Dropped& dropped);
  std::string check_loss(std::size_t index, const buffer::Row& row,
                         const std::vector<const ModelRow*>& covered, Dropped& dropped);
  std::string check_batch_gone(std::size_t index, const ModelRow& old, Dropped& dropped) const;
  bool has_expired(std::size_t index, const ModelRow& old) const;
  std::string check_drop_order(const Dropped& dropped) const;
  std::string check_drop_order(std::size_t index, const ModelRow& gone, std::size_t left_index,
                               const ModelRow& left) const;
  const ModelStream* find(std::uint32_t stream_id) const;
  std::string group_of(std::uint32_t stream_id) const;
  bool is_new(const ModelRow& row) const { return row.id >= first_new_id_; }
  bool may_drop(std::size_t index, const ModelRow& row) const;
  void count_lost(std::uint32_t stream_id, std::uint64_t events, bool has_expired);

  std::map<std::string, ModelStream> streams_;
  std::map<std::string, std::string> positions_;
  std::array<std::deque<ModelRow>, buffer::priority_count> classes_;
  std::array<std::uint64_t, buffer::priority_count> acked_ = {};
  std::array<std::uint64_t, buffer::priority_count> pinned_ = {};
  std::uint64_t next_id_ = 1;
  std::uint64_t first_new_id_ = 1;  // of the last commit
  std::uint64_t now_us_ = 0;        // of the last commit
  std::uint64_t max_age_us_ = 0;
  std::uint64_t joined_ = 0;
};

}  // namespace penstock::tests
