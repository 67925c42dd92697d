#include "tests/model/store_model.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "agent/base/wire.hpp"

namespace penstock::tests {
namespace {

using buffer::Row;
using buffer::RowKind;
using buffer::WhenFull;

constexpr auto dropped_reason = static_cast<std::uint8_t>(LossReason::buffer_full);

std::string name_of(const Row& row) {
  return fmt::format("row {} (stream {}, seq {}, count {}, {})", row.key.id, row.key.stream_id,
                     row.key.seq, row.key.count, row.kind == RowKind::batch ? "batch" : "loss");
}

}  // namespace

void StoreModel::acknowledge(std::size_t index, std::uint64_t id) {
  acked_[index] = std::max(acked_[index], std::min(id, next_id_ - 1));
}

void StoreModel::pin(std::size_t index, std::uint64_t id) {
  pinned_[index] = id == 0 ? 0 : std::max(pinned_[index], id);
}

std::uint64_t StoreModel::id_of(std::size_t index, std::size_t row) const {
  return classes_[index].empty() ? 0 : classes_[index][row % classes_[index].size()].id;
}

const ModelStream* StoreModel::find(std::uint32_t stream_id) const {
  for (const auto& [name, stream] : streams_) {
    if (stream.id == stream_id) return &stream;
  }
  return nullptr;
}

void StoreModel::commit(std::vector<ModelRow> rows) {
  for (std::size_t i = 0; i < classes_.size(); ++i) {
    while (!classes_[i].empty() && classes_[i].front().id <= acked_[i]) classes_[i].pop_front();
  }
  first_new_id_ = next_id_;
  for (ModelRow& row : rows) {
    for (auto& [name, stream] : streams_) {
      if (stream.id != row.stream_id) continue;
      auto& present = classes_[static_cast<std::size_t>(stream.priority)];
      const bool has_backlog =
          std::any_of(present.begin(), present.end(),
                      [&](const ModelRow& stored) { return stored.stream_id == stream.id; });
      if (!has_backlog) stream.priority = stream.wanted;
      row.id = next_id_++;
      stream.next_seq = row.end();
      classes_[static_cast<std::size_t>(stream.priority)].push_back(std::move(row));
      break;
    }
  }
}

void StoreModel::reopen() {
  acked_ = {};
  pinned_ = {};
}

bool StoreModel::may_drop(std::size_t index, std::uint32_t stream_id, std::uint64_t id) const {
  const ModelStream* stream = find(stream_id);
  return stream != nullptr && stream->when_full == WhenFull::drop_oldest && id > pinned_[index];
}

std::string StoreModel::check_loss(std::size_t index, const Row& row,
                                   const std::vector<const ModelRow*>& covered,
                                   Dropped& dropped) const {
  const bool is_merged = covered.size() > 1;
  for (const ModelRow* old : covered) {
    if (is_merged && old->id <= pinned_[index]) return "merged a pinned row into " + name_of(row);
    if (old->kind == RowKind::loss) {
      if (old->loss_reason != row.loss_reason || old->loss_is_exact != row.loss_is_exact) {
        return "changed the reason of " + name_of(row);
      }
      continue;
    }
    if (!may_drop(index, old->stream_id, old->id)) return "dropped without leave: " + name_of(row);
    if (row.loss_reason != dropped_reason || !row.loss_is_exact) {
      return "wrong reason of a drop: " + name_of(row);
    }
    ++dropped.rows;
    dropped.events += old->count;
    (old->id < first_new_id_ ? dropped.has_old : dropped.has_new) = true;
  }
  if (is_merged && !row.loss_is_exact) return "merged an unknown loss into " + name_of(row);
  return "";
}

std::string StoreModel::check_class(std::size_t index, const std::vector<Row>& read,
                                    Dropped& dropped) {
  std::map<std::uint32_t, std::vector<const ModelRow*>> expected;
  std::map<std::uint32_t, std::size_t> done;
  for (const ModelRow& row : classes_[index]) expected[row.stream_id].push_back(&row);
  std::deque<ModelRow> taken;
  std::uint64_t last_id = 0;
  for (const Row& row : read) {
    if (row.is_damaged) return "damaged: " + name_of(row);
    if (row.key.id <= last_id) return "ids do not rise at " + name_of(row);
    last_id = row.key.id;
    const auto& old = expected[row.key.stream_id];
    std::size_t& at = done[row.key.stream_id];
    std::vector<const ModelRow*> covered;
    while (at < old.size() && old[at]->end() <= row.key.seq + row.key.count) {
      covered.push_back(old[at++]);
    }
    if (covered.empty() || covered.front()->seq != row.key.seq ||
        covered.back()->end() != row.key.seq + row.key.count || covered.back()->id != row.key.id) {
      return "other numbers or id than stored: " + name_of(row);
    }
    ModelRow now = *covered.back();
    if (row.kind == RowKind::batch) {
      if (covered.size() != 1 || now.kind != RowKind::batch) return "made up: " + name_of(row);
      const auto content = buffer::content_of(row);
      if (!content.ok() || *content != *now.content) return "other content: " + name_of(row);
    } else {
      if (auto wrong = check_loss(index, row, covered, dropped); !wrong.empty()) return wrong;
      now = {row.key.id,    row.key.stream_id, row.key.seq,       row.key.count,
             RowKind::loss, row.loss_reason,   row.loss_is_exact, {}};
    }
    taken.push_back(std::move(now));
  }
  for (const auto& [stream_id, rows] : expected) {
    if (done[stream_id] != rows.size()) {
      return fmt::format("class {}: stream {} lacks the rows from seq {} on", index, stream_id,
                         rows[done[stream_id]]->seq);
    }
  }
  classes_[index] = std::move(taken);
  return "";
}

std::string StoreModel::check_drop_order(const std::array<std::vector<Row>, 3>& read,
                                         const Dropped& dropped) const {
  if (dropped.rows == 0) return "";
  // Old rows go from the lowest class on; a new row goes only when no old one is left to drop.
  bool has_droppable_below = false;
  for (std::size_t index = read.size(); index-- > 0;) {
    bool has_droppable = false;
    for (const Row& row : read[index]) {
      const bool is_old = row.key.id < first_new_id_;
      if (is_old && row.kind == RowKind::batch && may_drop(index, row.key.stream_id, row.key.id)) {
        has_droppable = true;
      }
      if (!is_old || row.kind != RowKind::loss || row.loss_reason != dropped_reason) continue;
      const auto before = std::find_if(classes_[index].begin(), classes_[index].end(),
                                       [&](const ModelRow& old) { return old.id == row.key.id; });
      if (before == classes_[index].end() || before->kind == RowKind::loss) continue;
      if (has_droppable) return "an older row was left beside " + name_of(row);
      if (has_droppable_below) return "a row of a lower class was left beside " + name_of(row);
    }
    has_droppable_below = has_droppable_below || has_droppable;
  }
  if (dropped.has_new && has_droppable_below) return "a new row went before an old one";
  return "";
}

std::string StoreModel::check(const std::array<std::vector<Row>, buffer::priority_count>& read,
                              std::uint64_t dropped_rows, std::uint64_t dropped_events) {
  const auto before = classes_;
  Dropped dropped;
  for (std::size_t i = 0; i < read.size(); ++i) {
    if (auto wrong = check_class(i, read[i], dropped); !wrong.empty()) return wrong;
  }
  if (dropped.rows != dropped_rows || dropped.events != dropped_events) {
    return fmt::format("{} rows with {} events are gone, {} with {} were reported", dropped.rows,
                       dropped.events, dropped_rows, dropped_events);
  }
  const auto after = std::exchange(classes_, before);
  const std::string wrong = check_drop_order(read, dropped);
  classes_ = after;
  return wrong;
}

}  // namespace penstock::tests
