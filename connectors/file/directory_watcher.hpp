// DirectoryWatcher: hears from the kernel (inotify) what changes in directories.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "agent/base/log.hpp"
#include "agent/base/unique_fd.hpp"

namespace penstock::connectors::file {

/// Watches directories, not files, so thousands of files cost one watch. Thread: owner only.
class DirectoryWatcher {
 public:
  explicit DirectoryWatcher(Log& log);

  /// Watches exactly these from now on. true: some are new, so what happened before is unknown.
  bool watch(const std::set<std::string>& directories);
  /// Whether every directory is watched, on a file system where that reports all changes.
  bool is_complete() const { return unwatched_count_ == 0; }

  struct Changes {
    std::vector<std::string> paths;  ///< files written to
    bool is_rescan_due = false;      ///< names came, went or changed, or reports were lost
  };
  /// What has happened since the last call. Never waits.
  Changes drain();

  /// Readable when drain() has something; -1 if there is no inotify.
  int fd() const { return inotify_.get(); }

 private:
  bool add(const std::string& directory);
  void report_polling(const std::string& directory, const char* reason);

  Log& log_;
  UniqueFd inotify_;
  std::map<std::string, int> watches_;                      // -1: not watched
  std::map<int, std::vector<std::string>> directories_of_;  // one watch can have several names
  std::size_t unwatched_count_ = 0;
  bool has_reported_ = false;
};

}  // namespace penstock::connectors::file
