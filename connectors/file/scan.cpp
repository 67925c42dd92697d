// Tailer: which files there are, and where those that were known have gone.
#include <sys/stat.h>

#include <cstdlib>
#include <cstring>
#include <unordered_set>

#include "connectors/file/names.hpp"
#include "connectors/file/tailer.hpp"

namespace penstock::connectors::file {
namespace {

constexpr std::int64_t missing_us_max = 24LL * 3600 * 1'000'000;

}  // namespace

Result<void> Tailer::scan(std::int64_t now_us) {
  const Expansion found = expand(settings_.paths, settings_.exclude);
  ++search_count_;
  scan_wanted_ = false;
  last_scan_us_ = now_us;
  next_scan_us_ = now_us + settings_.rescan_every.count();
  next_poll_us_ = now_us + settings_.poll_every.count();
  // Searching many files often would eat the processor: at most about a tenth of it.
  scan_gap_us_ = 20'000 + 50 * static_cast<std::int64_t>(found.files.size());
  report(found);
  if (found.shortage != 0) return {};  // what was not found may well be there
  listings_.clear();
  other_places_.clear();
  for (auto& [path, lineage] : lineages_) {
    for (const auto& file : lineage.files) {
      file->was_at_path = file->at_path;
      file->at_path = false;
      file->is_matched = false;
    }
  }
  std::vector<const FoundFile*> unknown;
  for (const FoundFile& file : found.files) {
    if (!recognise(file)) unknown.push_back(&file);
  }
  for (auto& [path, lineage] : lineages_) {
    for (std::size_t i = 0; i < lineage.files.size(); ++i) {
      TrackedFile& file = *lineage.files[i];
      if (!file.at_path && !file.is_gone) PENSTOCK_TRY(locate(lineage, file, now_us));
    }
  }
  for (const FoundFile* file : unknown) {
    if (by_id_.count(file->facts.id) == 0) PENSTOCK_TRY(check_original(*file, now_us));
  }
  for (const FoundFile* file : unknown) {
    const auto lineage = lineages_.find(file->path);
    if (lineage == lineages_.end() || by_id_.count(file->facts.id) != 0) continue;
    PENSTOCK_TRY_ASSIGN(const bool is_copy, pass_over_copy(*file));
    if (!is_copy) PENSTOCK_TRY(succeed(lineage->second, *file, now_us));
  }
  for (const FoundFile* file : unknown) {
    if (by_id_.count(file->facts.id) == 0) PENSTOCK_TRY(adopt(*file, now_us));
  }
  directories_ = found.directories;
  for (auto next = lineages_.begin(); next != lineages_.end();) {
    Lineage& lineage = (next++)->second;  // sweep() may erase it
    if (!lineage.real_path.empty()) {
      directories_.emplace(directory_of(lineage.real_path));
      other_places_[lineage.real_path] = &lineage;
    }
    PENSTOCK_TRY(sweep(lineage));
  }
  std::unordered_set<FileId, FileIdHash> seen;
  if (!ignored_.empty()) {
    for (const FoundFile& file : found.files) seen.insert(file.facts.id);
  }
  std::erase_if(ignored_, [&](const auto& entry) { return seen.count(entry.first) == 0; });
  listings_.clear();
  return {};
}

/// Notes where a known file is. false: it is not known.
bool Tailer::recognise(const FoundFile& found) {
  const auto known = by_id_.find(found.facts.id);
  if (known == by_id_.end()) return false;
  const auto [lineage, file] = known->second;
  const bool is_here = lineage->path == found.path;
  if (file->at_path) return true;  // another name of the same file
  if (!is_here && !file->fd.is_open() && file->place != found.path &&
      !Reader::recognise_at(found.path, file->at)) {
    // Deleted, and its number was given to another file.
    give_up(*lineage, *file);
    by_id_.erase(known);
    return false;
  }
  file->at_path = is_here;
  if (!is_here) file->place = found.path;
  file->is_matched = true;
  file->missing_us = 0;
  const bool has_changed =
      found.facts.size != file->looked_to || found.facts.mtime_ns != file->at.mtime_ns;
  if (has_changed || file->open_error != 0 || file->begin != Begin::known) {
    file->is_settled = false;
    make_ready(*lineage);
  }
  return true;
}

/// Finds out where a file is that is not at its path.
Result<void> Tailer::locate(Lineage& lineage, TrackedFile& file, std::int64_t now_us) {
  if (file.was_at_path) {
    file.changed_us = now_us;
    file.is_settled = false;
  }
  if (!file.is_matched) {
    std::optional<FileFacts> facts =
        file.fd.is_open() ? facts_of(file.fd.get()) : facts_of(file.place);
    if (file.fd.is_open()) file.is_linked = facts && facts->is_linked;
    const std::optional<FileFacts> there = facts_of(file.place);
    if (file.is_linked && (!there || there->id != file.at.id)) {
      const std::optional<FileFacts> at_home = facts_of(lineage.path);
      if (at_home && at_home->id == file.at.id) {
        lineage.is_unwanted = true;
        return {};
      }
      file.place.clear();
      PENSTOCK_TRY_ASSIGN(const bool is_found, find_moved(lineage, file));
      if (is_found) facts = facts_of(file.place);
      if (!is_found && !file.fd.is_open()) {
        miss(lineage, file, now_us);
        return {};
      }
    }
    file.missing_us = 0;
    if (facts && facts->size != file.looked_to) file.is_settled = false;
  }
  if (!file.is_settled || !file.is_linked) make_ready(lineage);
  if (!file.place.empty()) other_places_[file.place] = &lineage;
  return {};
}

Result<bool> Tailer::find_moved(Lineage& lineage, TrackedFile& file) {
  std::set<std::string> directories{std::string(directory_of(lineage.path))};
  if (!lineage.real_path.empty()) directories.emplace(directory_of(lineage.real_path));
  const std::string_view name = name_of(lineage.path);
  for (const std::string& directory : directories) {
    for (const DirectoryEntry& entry : listing(directory).entries) {
      // Some file systems give other inode numbers here than stat does.
      if (entry.inode != file.at.id.inode && !is_rotated_name(name, entry.name)) continue;
      std::string path = join(directory, entry.name);
      const std::optional<FileId> id = Reader::recognise_at(path, file.at);
      if (!id) continue;
      if (*id != file.at.id) {
        if (by_id_.count(*id) != 0) continue;
        PENSTOCK_TRY(rekey(lineage, file, *id));
      }
      file.place = std::move(path);
      return true;
    }
  }
  return false;
}

/// A file that was not found: gone if its directory can be read and is on the same file system;
/// otherwise that may only not be mounted now.
void Tailer::miss(Lineage& lineage, TrackedFile& file, std::int64_t now_us) {
  const std::string directory(directory_of(lineage.path));
  const std::optional<FileFacts> facts = facts_of(directory);
  const bool is_sure =
      facts && facts->id.device == file.at.id.device && listing(directory).error == 0;
  if (file.missing_us == 0) file.missing_us = now_us;
  if (is_sure || now_us - file.missing_us >= missing_us_max) give_up(lineage, file);
}

void Tailer::give_up(const Lineage& lineage, TrackedFile& file) {
  file.is_gone = true;
  if (file.at.offset < file.at.size_seen && !file.at.is_copy) {
    session_.log().warn("event=file_lost path={} unread_bytes={}", quoted(lineage.path),
                        file.at.size_seen - file.at.offset);
    reader_.report_loss(lineage);
  } else {
    session_.log().debug("event=file_gone path={}", quoted(lineage.path));
  }
}

/// A file at a path that had none.
Result<void> Tailer::adopt(const FoundFile& found, std::int64_t now_us) {
  if (const auto ignored = ignored_.find(found.facts.id);
      ignored != ignored_.end() && ignored->second == found.facts.mtime_ns) {
    return {};
  }
  const auto stored = set_aside_.find(found.facts.id);
  if (stored == set_aside_.end() && !is_first_start_) {
    PENSTOCK_TRY_ASSIGN(const bool is_copy, pass_over_copy(found));
    if (is_copy) return {};
  }
  if (by_id_.size() >= settings_.files_max) {
    if (reported_.insert("max_files").second) {
      session_.log().warn(
          "event=too_many_files max_files={} first_left_out={} (raise max_files or name fewer)",
          settings_.files_max, quoted(found.path));
    }
    return {};
  }
  Lineage& lineage = lineages_[found.path];
  lineage.path = found.path;
  note_real_path(lineage);
  TrackedFile& file = append(lineage, found.facts.id);
  file.at_path = true;
  file.is_matched = true;
  file.changed_us = now_us;
  if (stored != set_aside_.end()) {
    file.at = stored->second;
    file.looked_to = file.at.offset;
    set_aside_.erase(stored);
  } else {
    const bool skips = is_first_start_ && settings_.start == Start::end;
    file.begin = skips ? Begin::end : Begin::beginning;
  }
  make_ready(lineage);
  return {};
}

void Tailer::note_real_path(Lineage& lineage) {
  lineage.real_path.clear();
  struct stat st {};
  if (::lstat(lineage.path.c_str(), &st) != 0 || !S_ISLNK(st.st_mode)) return;
  const std::unique_ptr<char, decltype(&std::free)> real(::realpath(lineage.path.c_str(), nullptr),
                                                         &std::free);
  if (real) lineage.real_path = real.get();
}

/// Complaints are made once each.
void Tailer::report(const Expansion& found) {
  for (const auto& [directory, error] : found.unreadable) {
    if (!reported_.insert("directory " + directory).second) continue;
    session_.log().warn("event=directory_unreadable path={} error=\"{}\"", quoted(directory),
                        std::strerror(error));
  }
  if (found.shortage != 0 && reported_.insert("shortage").second) {
    session_.log().warn("event=search_incomplete error=\"{}\" retry_in_ms={}",
                        std::strerror(found.shortage), settings_.rescan_every.count() / 1000);
  }
  for (const std::string& pattern : found.empty) {
    if (!reported_.insert("pattern " + pattern).second) continue;
    struct stat st {};
    const bool is_directory = ::stat(pattern.c_str(), &st) == 0 && S_ISDIR(st.st_mode);
    session_.log().info("event=no_file_yet pattern={}{}", quoted(pattern),
                        is_directory ? " (a directory: write its path with /* behind it)" : "");
  }
}

const DirectoryListing& Tailer::listing(const std::string& directory) {
  const auto known = listings_.find(directory);
  if (known != listings_.end()) return known->second;
  return listings_.emplace(directory, list_directory(directory)).first->second;
}

}  // namespace penstock::connectors::file
