#include "connectors/file/directory_watcher.hpp"

#include <sys/inotify.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "connectors/file/names.hpp"

namespace penstock::connectors::file {
namespace {

constexpr std::uint32_t names_mask =
    IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF;

/// File systems whose changes others make without our kernel hearing of them (statfs(2)).
bool is_remote(const std::string& directory) {
  struct statfs fs {};
  if (::statfs(directory.c_str(), &fs) != 0) return false;
  switch (static_cast<std::uint32_t>(fs.f_type)) {
    case 0x6969:      // NFS
    case 0xFF534D42:  // CIFS
    case 0xFE534D42:  // SMB2
    case 0x517B:      // SMB
    case 0x65735546:  // FUSE
    case 0x01021997:  // 9P
    case 0x00C36400:  // Ceph
    case 0x5346414F:  // AFS
      return true;
    default: return false;
  }
}

}  // namespace

DirectoryWatcher::DirectoryWatcher(Log& log)
    : log_(log), inotify_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
  if (!inotify_.is_open()) report_polling("", std::strerror(errno));
}

bool DirectoryWatcher::watch(const std::set<std::string>& directories) {
  for (auto next = watches_.begin(); next != watches_.end();) {
    const auto entry = next++;
    if (directories.count(entry->first) != 0) continue;
    if (const auto known = directories_of_.find(entry->second); known != directories_of_.end()) {
      std::erase(known->second, entry->first);
      if (known->second.empty()) {
        ::inotify_rm_watch(inotify_.get(), entry->second);
        directories_of_.erase(known);
      }
    }
    watches_.erase(entry);
  }
  bool has_new = false;
  unwatched_count_ = 0;
  for (const std::string& directory : directories) {
    const auto known = watches_.find(directory);
    const bool is_watched = known != watches_.end() && known->second >= 0;
    if (!is_watched && add(directory)) has_new = true;
    if (watches_[directory] < 0) ++unwatched_count_;
  }
  return has_new;
}

bool DirectoryWatcher::add(const std::string& directory) {
  int& watch = watches_[directory];
  watch = -1;
  if (!inotify_.is_open()) return false;
  if (is_remote(directory)) {
    report_polling(directory, "a network or FUSE file system");
    return false;
  }
  const int wd =
      ::inotify_add_watch(inotify_.get(), directory.c_str(), names_mask | IN_MODIFY | IN_ONLYDIR);
  if (wd < 0) {
    if (errno != ENOENT && errno != ENOTDIR) report_polling(directory, std::strerror(errno));
    return false;
  }
  watch = wd;
  std::vector<std::string>& names = directories_of_[wd];
  if (std::find(names.begin(), names.end(), directory) == names.end()) names.push_back(directory);
  return true;
}

void DirectoryWatcher::report_polling(const std::string& directory, const char* reason) {
  if (has_reported_) return;
  has_reported_ = true;
  log_.warn("event=polling path={} reason=\"{}\" (the kernel cannot report changes there)",
            quoted(directory), reason);
}

DirectoryWatcher::Changes DirectoryWatcher::drain() {
  Changes changes;
  // Every page of a stack that is touched once stays: small, and read again instead.
  alignas(inotify_event) char buffer[2 * 1024];
  while (inotify_.is_open()) {
    const ssize_t size = ::read(inotify_.get(), buffer, sizeof(buffer));
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) break;
    for (ssize_t at = 0; at < size;) {
      const auto* event = reinterpret_cast<const inotify_event*>(buffer + at);
      at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
      if ((event->mask & (names_mask | IN_Q_OVERFLOW | IN_IGNORED)) != 0) {
        changes.is_rescan_due = true;
      }
      const auto known = directories_of_.find(event->wd);
      if (known == directories_of_.end()) continue;
      if ((event->mask & IN_MODIFY) != 0 && event->len > 0) {
        for (const std::string& directory : known->second) {
          std::string path = join(directory, event->name);
          if (changes.paths.empty() || changes.paths.back() != path) {
            changes.paths.push_back(std::move(path));
          }
        }
      }
      if ((event->mask & IN_IGNORED) != 0) {
        for (const std::string& directory : known->second) watches_.erase(directory);
        directories_of_.erase(known);
      }
    }
  }
  return changes;
}

}  // namespace penstock::connectors::file
