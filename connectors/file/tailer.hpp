// Tailer: follows the files that patterns name; the file connector without its waiting.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "connectors/api/connector.hpp"
#include "connectors/file/glob.hpp"
#include "connectors/file/reader.hpp"
#include "connectors/file/settings.hpp"
#include "connectors/file/tracked_file.hpp"

namespace penstock::connectors::file {

/// Life cycle: construct, load(), then step() again and again; after an error it is of no more use,
/// a new one resumes from the session. Never waits. Thread: owner only.
class Tailer {
 public:
  Tailer(const Settings& settings, Session& session);
  Tailer(const Tailer&) = delete;
  Tailer& operator=(const Tailer&) = delete;

  /// Takes up the durable positions. Errors are those of push.
  Result<void> load(std::int64_t now_us);

  /// One pass: searches if that is due, then gives every file that may have grown one turn of
  /// bounded size. true: call again at once, there is more. now_us: steady clock.
  /// stopped, unavailable: from push.
  Result<bool> step(std::int64_t now_us);

  /// The file at `path` was reported to have changed; other paths are ignored.
  void changed(const std::string& path);
  /// Search soon (at once, unless the last search was a moment ago).
  void rescan() { scan_wanted_ = true; }
  /// Whether step() looks at every file each poll_every, because nobody calls changed() for all.
  void set_polling(bool is_polling) { is_polling_ = is_polling; }

  /// Directories in which changes matter, as of the last search.
  const std::set<std::string>& directories() const { return directories_; }
  /// Rises with each search.
  std::uint64_t search_count() const { return search_count_; }
  /// When step() has something to do even if nothing is reported (steady clock).
  std::int64_t next_due_us() const;

  std::size_t file_count() const { return by_id_.size(); }
  std::size_t open_count() const { return reader_.open_count(); }

 private:
  struct Known {
    Lineage* lineage;
    TrackedFile* file;
  };

  // tailer.cpp: turns
  Result<bool> turn(Lineage& lineage, std::int64_t now_us);
  void make_ready(Lineage& lineage);
  void wake_at(Lineage& lineage, std::int64_t time_us);
  void look_around(std::int64_t now_us);
  TrackedFile& append(Lineage& lineage, const FileId& id);
  Result<void> sweep(Lineage& lineage);
  void drop(Lineage& lineage, std::size_t index);
  Result<void> load_part(const std::string& part, std::int64_t now_us);

  // scan.cpp: what is where
  Result<void> scan(std::int64_t now_us);
  bool recognise(const FoundFile& found);
  Result<void> locate(Lineage& lineage, TrackedFile& file, std::int64_t now_us);
  Result<bool> find_moved(Lineage& lineage, TrackedFile& file);
  void miss(Lineage& lineage, TrackedFile& file, std::int64_t now_us);
  void give_up(const Lineage& lineage, TrackedFile& file);
  Result<void> adopt(const FoundFile& found, std::int64_t now_us);
  void note_real_path(Lineage& lineage);
  void report(const Expansion& found);
  const DirectoryListing& listing(const std::string& directory);

  // rotation.cpp: who follows whom
  Result<void> succeed(Lineage& lineage, const FoundFile& found, std::int64_t now_us);
  std::vector<FoundFile> missed_since(const Lineage& lineage, const std::string& older_place,
                                      std::int64_t older_mtime_ns);
  Result<void> save_all(const Lineage& lineage);
  Result<std::size_t> append_missed(Lineage& lineage, const FileId& except, std::int64_t now_us);
  Result<void> insert_missed(Lineage& lineage, std::size_t index, std::int64_t now_us);
  void insert_before(Lineage& lineage, std::size_t index,
                     std::vector<std::unique_ptr<TrackedFile>> files);
  std::unique_ptr<TrackedFile> missed_file(const FoundFile& found, std::int64_t now_us);
  Result<void> restart(Lineage& lineage, std::size_t index, std::int64_t now_us);
  std::unique_ptr<TrackedFile> take_copy(const Lineage& lineage, const TrackedFile& file,
                                         std::int64_t now_us);
  Result<void> check_original(const FoundFile& found, std::int64_t now_us);
  Result<bool> pass_over_copy(const FoundFile& found);
  Result<void> rekey(Lineage& lineage, TrackedFile& file, const FileId& id);

  const Settings& settings_;
  Session& session_;
  Reader reader_;
  std::map<std::string, Lineage, std::less<>> lineages_;  // by path
  std::unordered_map<FileId, Known, FileIdHash> by_id_;
  std::unordered_map<FileId, Position, FileIdHash> set_aside_;    // stored, not configured now
  std::unordered_map<FileId, std::int64_t, FileIdHash> ignored_;  // compressed: mtime then
  std::unordered_map<std::string, Lineage*> other_places_;        // not at their lineage's path
  std::vector<Lineage*> ready_;
  std::vector<Lineage*> waiting_;
  std::set<std::string> directories_;
  std::map<std::string, DirectoryListing> listings_;  // of the present scan
  std::set<std::string> reported_;                    // complaints made already
  std::int64_t last_scan_us_ = 0;
  std::int64_t next_scan_us_ = 0;
  std::int64_t next_poll_us_ = 0;
  std::int64_t next_summary_us_ = 0;
  std::int64_t scan_gap_us_ = 0;
  std::uint64_t search_count_ = 0;
  bool scan_wanted_ = true;
  bool is_polling_ = false;
  bool is_first_start_ = true;
};

}  // namespace penstock::connectors::file
