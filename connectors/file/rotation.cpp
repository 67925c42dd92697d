// Tailer: files that follow each other under one path, by renaming or by copying and truncating.
#include <algorithm>

#include "connectors/file/names.hpp"
#include "connectors/file/tailer.hpp"

namespace penstock::connectors::file {

/// Another file is at the lineage's path now.
Result<void> Tailer::succeed(Lineage& lineage, const FoundFile& found, std::int64_t now_us) {
  TrackedFile& previous = *lineage.files.back();
  if (!previous.is_gone && Reader::recognise_at(found.path, previous.at)) {
    PENSTOCK_TRY(rekey(lineage, previous, found.facts.id));
    previous.at_path = true;
    previous.is_matched = true;
    previous.missing_us = 0;
    make_ready(lineage);
    return {};
  }
  PENSTOCK_TRY_ASSIGN(const std::size_t missed, append_missed(lineage, found.facts.id, now_us));
  TrackedFile& next = append(lineage, found.facts.id);
  next.at_path = true;
  next.is_matched = true;
  next.begin = Begin::beginning;
  next.changed_us = now_us;
  note_real_path(lineage);
  make_ready(lineage);
  session_.log().info("event=file_rotated path={} missed_files={}", quoted(lineage.path), missed);
  return {};
}

/// Takes up the rotated files that came after the lineage's last one; `except` may be one of them
/// (a link may lead there). Returns how many.
Result<std::size_t> Tailer::append_missed(Lineage& lineage, const FileId& except,
                                          std::int64_t now_us) {
  const TrackedFile& last = *lineage.files.back();
  const std::optional<FileFacts> facts = facts_of(last.place);
  std::size_t count = 0;
  for (const FoundFile& found :
       missed_since(lineage, last.place, facts ? facts->mtime_ns : last.at.mtime_ns)) {
    if (found.facts.id == except) continue;
    TrackedFile& file = append(lineage, found.facts.id);
    file.place = found.path;
    file.is_matched = true;  // until the next search says otherwise
    file.at.mtime_ns = found.facts.mtime_ns;
    file.begin = Begin::beginning;
    file.changed_us = now_us;
    other_places_[found.path] = &lineage;
    ++count;
  }
  if (count == 0) return count;
  make_ready(lineage);
  PENSTOCK_TRY(save_all(lineage));
  return count;
}

/// Rotated files of this path that came and went while nobody looked (the agent was down, or waited
/// for room), oldest first. older_place: what the file before them is called now, "" if that is
/// not known.
std::vector<FoundFile> Tailer::missed_since(const Lineage& lineage, const std::string& older_place,
                                            std::int64_t older_mtime_ns) {
  const std::string_view base = name_of(lineage.path);
  const std::string older_name(name_of(older_place));
  const std::string directory(directory_of(older_place.empty() ? lineage.path : older_place));
  std::vector<FoundFile> missed;
  for (const DirectoryEntry& entry : listing(directory).entries) {
    if (entry.name == base || entry.name == older_name) continue;
    const bool is_candidate = older_name.empty() ? is_rotated_name(base, entry.name)
                                                 : shape_of(entry.name) == shape_of(older_name);
    std::string path = join(directory, entry.name);
    if (!is_candidate || is_excluded(settings_.exclude, path)) continue;
    const std::optional<FileFacts> facts = facts_of(path);
    if (!facts || !facts->is_regular || facts->size == 0) continue;
    if (by_id_.count(facts->id) != 0 || ignored_.count(facts->id) != 0) continue;
    const bool is_newer =
        facts->mtime_ns > older_mtime_ns ||
        (facts->mtime_ns == older_mtime_ns && is_older_name(older_name, entry.name));
    if (is_newer) missed.push_back({std::move(path), *facts});
  }
  std::sort(missed.begin(), missed.end(), [](const FoundFile& a, const FoundFile& b) {
    if (a.facts.mtime_ns != b.facts.mtime_ns) return a.facts.mtime_ns < b.facts.mtime_ns;
    return is_older_name(name_of(a.path), name_of(b.path));
  });
  return missed;
}

/// The file's content is not what was read: it was truncated, or deleted and its number given to
/// another. What was not read of the old content may still be in a copy (copytruncate).
Result<void> Tailer::restart(Lineage& lineage, std::size_t index, std::int64_t now_us) {
  listings_.clear();
  TrackedFile& file = *lineage.files[index];
  const Position before = file.at;
  std::vector<std::unique_ptr<TrackedFile>> rest;
  bool is_complete = before.offset >= before.size_seen;
  if (file.at_path) {
    std::string copy_place;
    std::int64_t copy_mtime_ns = before.mtime_ns;
    if (std::unique_ptr<TrackedFile> copy = take_copy(lineage, file, now_us)) {
      copy_place = copy->place;
      copy_mtime_ns = copy->at.mtime_ns;
      is_complete = is_complete || copy->at.size_seen >= before.size_seen;
      by_id_[copy->at.id] = {&lineage, copy.get()};
      rest.push_back(std::move(copy));
    }
    for (const FoundFile& missed : missed_since(lineage, copy_place, copy_mtime_ns)) {
      rest.push_back(missed_file(missed, now_us));
      by_id_[missed.facts.id] = {&lineage, rest.back().get()};
    }
  }
  session_.log().info("event=file_truncated path={} offset={} size_before={} rest_in_files={}",
                      quoted(lineage.path), before.offset, before.size_seen, rest.size());
  if (!is_complete) {
    session_.log().warn("event=file_lost path={} unread_bytes={}", quoted(lineage.path),
                        before.size_seen - before.offset);
    reader_.report_loss(lineage);
  }
  const std::optional<FileFacts> facts =
      file.fd.is_open() ? facts_of(file.fd.get()) : facts_of(lineage.place_of(file));
  file.at = {};
  file.at.id = before.id;
  file.at.mtime_ns = facts ? facts->mtime_ns : before.mtime_ns;
  file.at.generation = before.generation;
  file.looked_to = 0;
  file.begin = Begin::known;
  file.was_empty = true;
  file.may_begin_with_hole = true;
  file.is_settled = false;
  file.changed_us = now_us;
  insert_before(lineage, index, std::move(rest));
  make_ready(lineage);
  return save_all(lineage);
}

/// Content of a file that was empty at the last look: it may have been filled, copied away and
/// truncated in the meantime, even more than once.
Result<void> Tailer::insert_missed(Lineage& lineage, std::size_t index, std::int64_t now_us) {
  TrackedFile& file = *lineage.files[index];
  // First the time, then the names: what comes later has a later time.
  const std::optional<FileFacts> facts = facts_of(lineage.place_of(file));
  std::vector<std::unique_ptr<TrackedFile>> files;
  if (file.at_path) {
    for (const FoundFile& missed : missed_since(lineage, "", file.at.mtime_ns)) {
      files.push_back(missed_file(missed, now_us));
      by_id_[missed.facts.id] = {&lineage, files.back().get()};
    }
  }
  if (facts) file.at.mtime_ns = facts->mtime_ns;
  if (files.empty()) return {};
  insert_before(lineage, index, std::move(files));
  make_ready(lineage);
  return save_all(lineage);
}

/// Which files are to be read in which order must not be found out again after a restart.
Result<void> Tailer::save_all(const Lineage& lineage) {
  for (const auto& file : lineage.files) PENSTOCK_TRY(reader_.save(lineage, *file));
  return {};
}

/// Files that come before the one at `index`, which gets the number behind theirs.
void Tailer::insert_before(Lineage& lineage, std::size_t index,
                           std::vector<std::unique_ptr<TrackedFile>> files) {
  TrackedFile& next = *lineage.files[index];
  for (auto& file : files) file->at.generation = next.at.generation++;
  lineage.files.insert(lineage.files.begin() + static_cast<std::ptrdiff_t>(index),
                       std::make_move_iterator(files.begin()),
                       std::make_move_iterator(files.end()));
}

std::unique_ptr<TrackedFile> Tailer::missed_file(const FoundFile& found, std::int64_t now_us) {
  auto file = std::make_unique<TrackedFile>();
  file->at.id = found.facts.id;
  file->at.mtime_ns = found.facts.mtime_ns;
  file->place = found.path;
  file->is_matched = true;  // until the next search says otherwise
  file->begin = Begin::beginning;
  file->changed_us = now_us;
  return file;
}

/// The youngest rotated sibling that holds what was read of `file` so far: reading goes on there.
std::unique_ptr<TrackedFile> Tailer::take_copy(const Lineage& lineage, const TrackedFile& file,
                                               std::int64_t now_us) {
  if (file.at.head.length == 0) return nullptr;
  const std::string directory(directory_of(lineage.path));
  std::optional<FoundFile> best;
  for (const DirectoryEntry& entry : listing(directory).entries) {
    if (!is_rotated_name(name_of(lineage.path), entry.name)) continue;
    const std::string path = join(directory, entry.name);
    const UniqueFd fd = open_to_read(path);
    const std::optional<FileFacts> facts = fd.is_open() ? facts_of(fd.get()) : std::nullopt;
    if (!facts || !facts->is_regular || facts->id == file.at.id) continue;
    const auto known = by_id_.find(facts->id);
    if (known != by_id_.end() && !known->second.file->at.is_copy) continue;
    if (!Reader::has_marks(fd.get(), facts->size, file.at)) continue;
    if (!best || best->facts.mtime_ns < facts->mtime_ns) best = FoundFile{path, *facts};
  }
  if (!best) return nullptr;
  if (const auto known = by_id_.find(best->facts.id); known != by_id_.end()) {
    auto& files = known->second.lineage->files;  // passed over so far, in a lineage of its own
    const auto own = std::find_if(files.begin(), files.end(), [&](const auto& candidate) {
      return candidate.get() == known->second.file;
    });
    reader_.close(**own);
    files.erase(own);
    rescan();  // sweeps what may be empty now
  }
  std::unique_ptr<TrackedFile> copy = missed_file(*best, now_us);
  copy->begin = Begin::known;
  copy->at = file.at;
  copy->at.id = best->facts.id;
  copy->at.mtime_ns = best->facts.mtime_ns;
  copy->at.size_seen = best->facts.size;
  if (best->facts.size < copy->at.offset) {
    copy->at.offset = best->facts.size;
    const UniqueFd fd = open_to_read(best->path);
    if (fd.is_open()) Reader::set_marks(fd.get(), copy->at.offset, copy->at);
  }
  copy->looked_to = copy->at.offset;
  return copy;
}

/// A new file that looks like a rotated one asks whether the original was truncated: then what is
/// in the new file comes before what is in the original now.
Result<void> Tailer::check_original(const FoundFile& found, std::int64_t now_us) {
  for (const std::string& base : rotation_bases(name_of(found.path))) {
    const auto original = lineages_.find(join(directory_of(found.path), base));
    if (original == lineages_.end()) continue;
    Lineage& lineage = original->second;
    const std::size_t last = lineage.files.size() - 1;
    TrackedFile& file = *lineage.files[last];
    if (!file.at_path) PENSTOCK_TRY(append_missed(lineage, {}, now_us));
    if (!file.at_path || file.begin != Begin::known) continue;
    if (reader_.open(lineage, file) != 0) continue;
    const std::optional<FileFacts> facts = facts_of(file.fd.get());
    if (!facts) continue;
    const bool is_intact =
        facts->size >= file.at.offset && Reader::has_marks(file.fd.get(), facts->size, file.at);
    if (!is_intact) {
      PENSTOCK_TRY(restart(lineage, last, now_us));
    } else if (Reader::wakes_up(file, *facts)) {
      PENSTOCK_TRY(insert_missed(lineage, last, now_us));
    }
  }
  return {};
}

/// A new file that is a copy of one that is being followed is not read a second time: it is taken
/// up at its end, from where it only goes on if it grows, or if the original is truncated.
Result<bool> Tailer::pass_over_copy(const FoundFile& found) {
  const std::string directory(directory_of(found.path));
  for (const std::string& base : rotation_bases(name_of(found.path))) {
    const auto original = lineages_.find(join(directory, base));
    if (original == lineages_.end() || found.facts.size == 0) continue;
    Lineage& lineage = original->second;
    const UniqueFd fd = open_to_read(found.path);
    if (!fd.is_open()) return false;
    for (std::size_t i = lineage.files.size(); i-- > 0;) {
      TrackedFile& file = *lineage.files[i];
      if (file.begin != Begin::known || file.at.head.length == 0 || file.is_gone) continue;
      if (!Reader::has_marks(fd.get(), found.facts.size, file.at)) continue;
      if (reader_.open(lineage, file) != 0) continue;
      if (!Reader::have_same_end(fd.get(), file.fd.get(), found.facts.size)) continue;
      session_.log().info("event=copy_passed_over path={} of={}", quoted(found.path),
                          quoted(lineage.path));
      Lineage& own = lineages_[found.path];
      own.path = found.path;
      TrackedFile& copy = append(own, found.facts.id);
      copy.at_path = true;
      copy.is_matched = true;
      copy.at.offset = copy.looked_to = copy.at.size_seen = found.facts.size;
      copy.at.mtime_ns = found.facts.mtime_ns;
      copy.at.is_copy = true;
      Reader::set_marks(fd.get(), copy.at.offset, copy.at);
      PENSTOCK_TRY(reader_.save(own, copy));
      return true;
    }
  }
  return false;
}

/// The file's number changed while its content did not: the device was mounted anew.
Result<void> Tailer::rekey(Lineage& lineage, TrackedFile& file, const FileId& id) {
  PENSTOCK_TRY(reader_.forget(part_of(file.at.id)));
  by_id_.erase(file.at.id);
  file.at.id = id;
  by_id_[id] = {&lineage, &file};
  return reader_.save(lineage, file);
}

}  // namespace penstock::connectors::file
