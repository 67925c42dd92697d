#include "connectors/file/tailer.hpp"

#include <algorithm>

namespace penstock::connectors::file {
namespace {

constexpr std::int64_t summary_every_us = 60'000'000;

}  // namespace

Tailer::Tailer(const Settings& settings, Session& session)
    : settings_(settings), session_(session), reader_(settings_, session) {}

Result<void> Tailer::load(std::int64_t now_us) {
  next_summary_us_ = now_us + summary_every_us;
  for (const std::string& part : session_.known_parts()) {
    if (part == started_part) {
      is_first_start_ = false;
    } else {
      PENSTOCK_TRY(load_part(part, now_us));
    }
  }
  for (auto& [path, lineage] : lineages_) {
    std::sort(lineage.files.begin(), lineage.files.end(),
              [](const auto& a, const auto& b) { return a->at.generation < b->at.generation; });
  }
  return reader_.push();
}

Result<void> Tailer::load_part(const std::string& part, std::int64_t now_us) {
  const std::optional<std::string> bytes = session_.resume_from(part);
  if (!bytes) return {};
  std::optional<Position> position = decode(*bytes);
  if (!position || part_of(position->id) != part) {
    session_.log().error("event=position_unreadable part={} bytes={}", quoted(part), bytes->size());
    reader_.report_unknown_loss();
    return reader_.forget(part);
  }
  Lineage& lineage = lineages_[position->path];
  lineage.path = position->path;
  TrackedFile& file = append(lineage, position->id);
  file.at = std::move(*position);
  file.at.path.clear();
  file.looked_to = file.at.offset;
  file.was_empty = file.at.size_seen == 0;
  file.changed_us = now_us;
  return {};
}

Result<bool> Tailer::step(std::int64_t now_us) {
  if (now_us >= next_scan_us_ || (scan_wanted_ && now_us >= last_scan_us_ + scan_gap_us_)) {
    PENSTOCK_TRY(scan(now_us));
  } else if (is_polling_ && now_us >= next_poll_us_) {
    look_around(now_us);
  }
  std::vector<Lineage*> due;
  for (Lineage* lineage : waiting_) {
    if (lineage->wake_us <= now_us) due.push_back(lineage);
  }
  for (Lineage* lineage : due) {
    std::erase(waiting_, lineage);
    lineage->wake_us = 0;
    make_ready(*lineage);
  }
  listings_.clear();
  std::vector<Lineage*> round;
  round.swap(ready_);
  for (Lineage* lineage : round) lineage->is_ready = false;
  for (Lineage* lineage : round) {
    PENSTOCK_TRY_ASSIGN(const bool has_more, turn(*lineage, now_us));
    if (has_more) make_ready(*lineage);
    PENSTOCK_TRY(sweep(*lineage));
    if (session_.stop_token().stop_requested()) return Error{Errc::stopped, "stop was asked for"};
  }
  if (is_first_start_) {
    is_first_start_ = false;
    reader_.mark_started();
  }
  PENSTOCK_TRY(reader_.push());
  if (now_us >= next_summary_us_) {
    next_summary_us_ = now_us + summary_every_us;
    reader_.report_cut_lines();
  }
  return !ready_.empty();
}

/// Reads from the lineage's oldest file that has something. true: there may be more.
Result<bool> Tailer::turn(Lineage& lineage, std::int64_t now_us) {
  for (std::size_t i = 0; i < lineage.files.size(); ++i) {
    TrackedFile& file = *lineage.files[i];
    if (file.is_gone || file.missing_us != 0) continue;
    if (!file.is_settled) {
      PENSTOCK_TRY_ASSIGN(const Seen seen, reader_.read(lineage, file, now_us));
      switch (seen) {
        case Seen::awake: PENSTOCK_TRY(insert_missed(lineage, i, now_us)); return true;
        case Seen::lines: return true;
        case Seen::end: file.is_settled = !file.at_path; break;
        case Seen::unfinished:
          wake_at(lineage, file.changed_us + settings_.rotated_wait.count());
          return false;
        case Seen::replaced: PENSTOCK_TRY(restart(lineage, i, now_us)); return true;
        case Seen::vanished: rescan(); return false;
        case Seen::unreadable: continue;
        case Seen::compressed:
          if (reported_.insert("compressed").second) {
            session_.log().warn("event=compressed_file_skipped path={} (others are not named)",
                                quoted(lineage.path));
          }
          ignored_[file.at.id] = file.at.mtime_ns;
          file.is_gone = true;
          continue;
      }
    }
    if (!file.is_linked && file.is_settled) {
      const std::int64_t done_us = file.changed_us + settings_.rotated_wait.count();
      file.is_gone = now_us >= done_us;
      if (!file.is_gone) wake_at(lineage, done_us);
    }
  }
  return false;
}

void Tailer::changed(const std::string& path) {
  if (const auto found = lineages_.find(path); found != lineages_.end()) {
    make_ready(found->second);
  } else if (const auto other = other_places_.find(path); other != other_places_.end()) {
    for (const auto& file : other->second->files) {
      if (file->place == path) file->is_settled = false;
    }
    make_ready(*other->second);
  }
}

void Tailer::look_around(std::int64_t now_us) {
  next_poll_us_ = now_us + settings_.poll_every.count();
  for (auto& [path, lineage] : lineages_) {
    for (const auto& file : lineage.files) {
      const std::string& place = lineage.place_of(*file);
      if (place.empty() || file->missing_us != 0) continue;
      const std::optional<FileFacts> facts = facts_of(place);
      if (!facts || facts->id != file->at.id) {
        rescan();
      } else if (facts->size != file->looked_to || facts->mtime_ns != file->at.mtime_ns) {
        file->is_settled = false;
        make_ready(lineage);
      }
    }
  }
}

std::int64_t Tailer::next_due_us() const {
  std::int64_t due_us = next_scan_us_;
  if (scan_wanted_) due_us = std::min(due_us, last_scan_us_ + scan_gap_us_);
  if (is_polling_) due_us = std::min(due_us, next_poll_us_);
  for (const Lineage* lineage : waiting_) due_us = std::min(due_us, lineage->wake_us);
  return due_us;
}

void Tailer::make_ready(Lineage& lineage) {
  if (lineage.is_ready) return;
  lineage.is_ready = true;
  ready_.push_back(&lineage);
}

void Tailer::wake_at(Lineage& lineage, std::int64_t time_us) {
  if (lineage.wake_us == 0) waiting_.push_back(&lineage);
  lineage.wake_us = time_us;
}

TrackedFile& Tailer::append(Lineage& lineage, const FileId& id) {
  const std::uint32_t generation =
      lineage.files.empty() ? 0 : lineage.files.back()->at.generation + 1;
  lineage.files.push_back(std::make_unique<TrackedFile>());
  TrackedFile& file = *lineage.files.back();
  file.at.id = id;
  file.at.generation = generation;
  by_id_[id] = {&lineage, &file};
  return file;
}

void Tailer::drop(Lineage& lineage, std::size_t index) {
  TrackedFile& file = *lineage.files[index];
  reader_.close(file);
  const auto known = by_id_.find(file.at.id);
  if (known != by_id_.end() && known->second.file == &file) by_id_.erase(known);
  lineage.files.erase(lineage.files.begin() + static_cast<std::ptrdiff_t>(index));
}

/// Drops the files with which nothing is left to do, and the lineage with its last file.
Result<void> Tailer::sweep(Lineage& lineage) {
  for (std::size_t i = lineage.files.size(); i-- > 0;) {
    TrackedFile& file = *lineage.files[i];
    const std::size_t followers = lineage.files.size() - 1 - i;
    const bool is_history =
        file.is_settled && !file.is_matched && file.missing_us == 0 && followers >= 2;
    if (!file.is_gone && !is_history && !lineage.is_unwanted) continue;
    const auto known = by_id_.find(file.at.id);
    if (lineage.is_unwanted) {
      set_aside_[file.at.id] = file.at;
    } else if (known == by_id_.end() || known->second.file == &file) {
      PENSTOCK_TRY(reader_.forget(part_of(file.at.id)));
    }  // else its number is another file's by now, and so is the position
    drop(lineage, i);
  }
  if (!lineage.files.empty()) return {};
  std::erase(ready_, &lineage);
  std::erase(waiting_, &lineage);
  std::erase_if(other_places_, [&](const auto& entry) { return entry.second == &lineage; });
  lineages_.erase(lineages_.find(lineage.path));
  return {};
}

}  // namespace penstock::connectors::file
