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

  std::uint64_t end() const { return seq + count; }
};

struct ModelStream {
  std::uint32_t id = 0;
  std::uint64_t next_seq = 0;
  buffer::Priority priority = buffer::Priority::normal;
  buffer::Priority wanted = buffer::Priority::normal;
  buffer::WhenFull when_full = buffer::WhenFull::block;
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

  /// The store said ok: trims, class changes, then these rows, which get their ids here.
  void commit(std::vector<ModelRow> rows);
  /// The store was opened again: acknowledgements that no commit followed are forgotten.
  void reopen();

  /// "" if the rows read are what the model holds (dropped: what the last commit reported), which
  /// then takes them over.
  std::string check(const std::array<std::vector<buffer::Row>, buffer::priority_count>& read,
                    std::uint64_t dropped_rows, std::uint64_t dropped_events);

 private:
  struct Dropped {
    std::uint64_t rows = 0;
    std::uint64_t events = 0;
    bool has_old = false;  // others than rows of the last commit
    bool has_new = false;
  };
  std::string check_class(std::size_t index, const std::vector<buffer::Row>& read,
                          Dropped& dropped);
  std::string check_loss(std::size_t index, const buffer::Row& row,
                         const std::vector<const ModelRow*>& covered, Dropped& dropped) const;
  std::string check_drop_order(const std::array<std::vector<buffer::Row>, 3>& read,
                               const Dropped& dropped) const;
  const ModelStream* find(std::uint32_t stream_id) const;
  bool may_drop(std::size_t index, std::uint32_t stream_id, std::uint64_t id) const;

  std::map<std::string, ModelStream> streams_;
  std::map<std::string, std::string> positions_;
  std::array<std::deque<ModelRow>, buffer::priority_count> classes_;
  std::array<std::uint64_t, buffer::priority_count> acked_ = {};
  std::array<std::uint64_t, buffer::priority_count> pinned_ = {};
  std::array<std::uint64_t, buffer::priority_count> highest_dropped_ = {};
  std::uint64_t next_id_ = 1;
  std::uint64_t first_new_id_ = 1;  // of the last commit
};

}  // namespace penstock::tests
