#include "tests/model/store_model.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "agent/base/wire.hpp"

namespace penstock::tests {
namespace {

using buffer::Row;
using buffer::RowKind;
using buffer::WhenFull;

constexpr auto dropped_reason = static_cast<std::uint8_t>(LossReason::buffer_full);
constexpr auto expired_reason = static_cast<std::uint8_t>(LossReason::expired);

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

std::string StoreModel::group_of(std::uint32_t stream_id) const {
  for (const auto& [name, stream] : streams_) {
    if (stream.id == stream_id) return name.substr(0, name.find('/'));
  }
  return "";
}

void StoreModel::commit(std::vector<ModelRow> rows, std::uint64_t now_us) {
  for (std::size_t i = 0; i < classes_.size(); ++i) {
    while (!classes_[i].empty() && classes_[i].front().id <= acked_[i]) {
      const ModelRow& row = classes_[i].front();
      for (auto& [name, stream] : streams_) {
        if (stream.id != row.stream_id) continue;
        (row.kind == RowKind::batch ? stream.taken_events : stream.taken_lost) += row.count;
      }
      classes_[i].pop_front();
    }
  }
  first_new_id_ = next_id_;
  now_us_ = now_us;
  for (ModelRow& row : rows) {
    for (auto& [name, stream] : streams_) {
      if (stream.id != row.stream_id) continue;
      auto& present = classes_[static_cast<std::size_t>(stream.priority)];
      const bool has_backlog =
          std::any_of(present.begin(), present.end(),
                      [&](const ModelRow& stored) { return stored.stream_id == row.stream_id; });
      if (!has_backlog) stream.priority = stream.wanted;
      row.id = next_id_++;
      row.stored_us = now_us;
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

bool StoreModel::may_drop(std::size_t index, const ModelRow& row) const {
  const ModelStream* stream = find(row.stream_id);
  if (stream == nullptr || row.kind != RowKind::batch || row.id <= pinned_[index]) return false;
  if (stream->when_full == WhenFull::drop_oldest) return true;
  return stream->when_full == WhenFull::drop_newest && is_new(row);
}

/// Ages come before limits in each commit.
bool StoreModel::has_expired(std::size_t index, const ModelRow& old) const {
  return max_age_us_ != 0 && old.stored_us + max_age_us_ <= now_us_ && old.id > pinned_[index];
}

std::string StoreModel::check_batch_gone(std::size_t index, const ModelRow& old,
                                         Dropped& dropped) const {
  if (has_expired(index, old)) {
    ++dropped.report.expired.rows;
    dropped.report.expired.events += old.count;
    return "";
  }
  if (!may_drop(index, old)) return fmt::format("dropped without leave: row {}", old.id);
  ++dropped.report.dropped.rows;
  dropped.report.dropped.events += old.count;
  dropped.rows.emplace_back(index, old);
  return "";
}

std::string StoreModel::check_loss(std::size_t index, const Row& row,
                                   const std::vector<const ModelRow*>& covered, Dropped& dropped) {
  const bool is_merged = covered.size() > 1;
  std::set<std::uint8_t> reasons;
  bool is_exact = true;
  for (const ModelRow* old : covered) {
    if (is_merged && old->id <= pinned_[index]) return "merged a pinned row into " + name_of(row);
    if (old->kind == RowKind::loss) {
      reasons.insert(old->loss_reason);
      is_exact = is_exact && old->loss_is_exact;
      continue;
    }
    reasons.insert(has_expired(index, *old) ? expired_reason : dropped_reason);
    if (auto wrong = check_batch_gone(index, *old, dropped); !wrong.empty()) return wrong;
  }
  const std::uint8_t reason = reasons.size() > 1 ? dropped_reason : *reasons.begin();
  if (row.loss_reason != reason) return "changed the reason of " + name_of(row);
  if (row.loss_is_exact != is_exact) return "changed what is known of " + name_of(row);
  const bool is_joined = reasons.size() > 1 || (is_merged && !is_exact);
  if (is_joined) ++joined_;
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
      for (const ModelRow* gone : covered) {
        if (gone->kind == RowKind::loss) continue;
        count_lost(gone->stream_id, gone->count, has_expired(index, *gone));
      }
      now = {row.key.id,      row.key.stream_id, row.key.seq, row.key.count, RowKind::loss,
             row.loss_reason, row.loss_is_exact, {},          now.stored_us};
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

void StoreModel::count_lost(std::uint32_t stream_id, std::uint64_t events, bool has_expired) {
  for (auto& [name, stream] : streams_) {
    if (stream.id == stream_id) (has_expired ? stream.expired : stream.dropped) += events;
  }
}

std::string StoreModel::check_drop_order(std::size_t index, const ModelRow& gone,
                                         std::size_t left_index, const ModelRow& left) const {
  if (!may_drop(left_index, left)) return "";
  const ModelStream& loser = *find(gone.stream_id);
  const ModelStream& keeper = *find(left.stream_id);
  const bool is_same_group = group_of(gone.stream_id) == group_of(left.stream_id);
  // A full share drops from its own group only; nothing is told then about others.
  if (loser.share != 0 && !is_same_group) return "";
  const bool is_lower = left_index > index;
  const bool gone_is_newest = loser.when_full == WhenFull::drop_newest;
  const bool left_is_newest = keeper.when_full == WhenFull::drop_newest;
  const bool left_goes_last = is_new(left) && !left_is_newest;
  if (gone_is_newest) {
    const bool is_wrong = loser.share == 0 && is_lower && !left_goes_last;
    return is_wrong ? "a row of a lower class was left" : "";
  }
  if (is_new(gone)) return left_goes_last ? "" : "a new row went before another";
  if (is_lower && !is_new(left)) return "a row of a lower class was left";
  if (left_index != index) return "";
  if (!is_new(left) && left.id < gone.id) return "an older row was left";
  return is_new(left) && left_is_newest ? "a row went for one of those that give way" : "";
}

/// Old rows and new ones that give way go from the lowest class on; new ones of streams that drop
/// their oldest go only when no old one is left.
std::string StoreModel::check_drop_order(const Dropped& dropped) const {
  for (const auto& [index, gone] : dropped.rows) {
    for (std::size_t i = 0; i < classes_.size(); ++i) {
      for (const ModelRow& left : classes_[i]) {
        const std::string wrong = check_drop_order(index, gone, i, left);
        if (!wrong.empty()) {
          return fmt::format("{}: row {} is gone, row {} is not", wrong, gone.id, left.id);
        }
      }
    }
  }
  return "";
}

std::string StoreModel::check(const std::array<std::vector<Row>, buffer::priority_count>& read,
                              const ModelReport* report) {
  Dropped dropped;
  for (std::size_t i = 0; i < read.size(); ++i) {
    if (auto wrong = check_class(i, read[i], dropped); !wrong.empty()) return wrong;
  }
  const ModelReport& found = dropped.report;
  if (report != nullptr && (found.dropped != report->dropped || found.expired != report->expired)) {
    return fmt::format(
        "{} rows with {} events were dropped, {} with {} were reported; {} with {} "
        "expired, {} with {} were reported",
        found.dropped.rows, found.dropped.events, report->dropped.rows, report->dropped.events,
        found.expired.rows, found.expired.events, report->expired.rows, report->expired.events);
  }
  return check_drop_order(dropped);
}

std::string StoreModel::check_ages() const {
  if (max_age_us_ == 0) return "";
  for (std::size_t i = 0; i < classes_.size(); ++i) {
    for (const ModelRow& row : classes_[i]) {
      if (row.kind == RowKind::batch && row.id > pinned_[i] &&
          row.stored_us + max_age_us_ <= now_us_) {
        return fmt::format("row {} had to expire", row.id);
      }
    }
  }
  return "";
}

std::string StoreModel::check_share(const std::string& group, std::uint64_t bytes) const {
  for (std::size_t i = 0; i < classes_.size(); ++i) {
    for (const ModelRow& row : classes_[i]) {
      if (group_of(row.stream_id) != group || !may_drop(i, row)) continue;
      const std::uint64_t share = find(row.stream_id)->share;
      if (share == 0 || bytes <= share) continue;
      return fmt::format("group {} takes {} of {} bytes, and row {} was left", group, bytes, share,
                         row.id);
    }
  }
  return "";
}

std::string StoreModel::check_accounts(const std::vector<buffer::StreamStats>& stats) const {
  for (const auto& [name, stream] : streams_) {
    std::uint64_t rows = 0;
    std::uint64_t numbers = 0;
    for (const auto& present : classes_) {
      for (const ModelRow& row : present) {
        if (row.stream_id != stream.id) continue;
        ++rows;
        numbers += row.count;
      }
    }
    const std::uint64_t first = stream.taken_events + stream.taken_lost;
    if (first + numbers != stream.next_seq) {
      return fmt::format("stream {}: {} taken, {} lost and {} stored are not {}", name,
                         stream.taken_events, stream.taken_lost, numbers, stream.next_seq);
    }
    const auto said = std::find_if(stats.begin(), stats.end(), [&wanted = name](const auto& one) {
      return one.name == wanted;
    });
    if (said == stats.end()) return "no account of stream " + name;
    if (said->rows != rows || said->first_seq != first || said->dropped_events != stream.dropped ||
        said->expired_events != stream.expired || (said->bytes == 0) != (rows == 0)) {
      return fmt::format(
          "the account of stream {} says {} rows from {} on, {} dropped, {} "
          "expired; it is {} from {} on, {}, {}",
          name, said->rows, said->first_seq, said->dropped_events, said->expired_events, rows,
          first, stream.dropped, stream.expired);
    }
  }
  return "";
}

}  // namespace penstock::tests
