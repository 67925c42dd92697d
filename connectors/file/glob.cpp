#include "connectors/file/glob.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "connectors/file/names.hpp"

namespace penstock::connectors::file {
namespace {

constexpr std::size_t depth_max = 32;  // directories that one "**" descends

FileFacts facts_from(const struct stat& st) {
  return {{st.st_dev, st.st_ino},
          static_cast<std::uint64_t>(st.st_size),
          static_cast<std::int64_t>(st.st_mtim.tv_sec) * 1'000'000'000 + st.st_mtim.tv_nsec,
          S_ISREG(st.st_mode),
          st.st_nlink > 0};
}

bool has_wildcard(std::string_view text) {
  return text.find_first_of("*?[") != std::string_view::npos;
}

bool is_directory(const std::string& path, bool follow_links) {
  struct stat st {};
  const int rc = follow_links ? ::stat(path.c_str(), &st) : ::lstat(path.c_str(), &st);
  return rc == 0 && S_ISDIR(st.st_mode);
}

/// Walks one pattern level by level.
class Walk {
 public:
  Walk(std::string_view pattern, std::span<const std::string> exclude, Expansion& out)
      : exclude_(exclude), out_(out) {
    while (!pattern.empty()) {
      const std::size_t slash = pattern.find('/');
      if (slash != 0) levels_.emplace_back(pattern.substr(0, slash));
      if (slash == std::string_view::npos) break;
      pattern.remove_prefix(slash + 1);
    }
  }

  void run() { descend("/", 0, 0); }

 private:
  void descend(const std::string& directory, std::size_t index, std::size_t depth) {
    if (index == levels_.size()) return;
    const std::string& level = levels_[index];
    const bool is_last = index + 1 == levels_.size();
    if (level == "**" && !is_last) {
      descend(directory, index + 1, depth);
      if (depth == depth_max) return;
      for (const DirectoryEntry& entry : read(directory)) {
        if (entry.name.front() == '.') continue;
        std::string inner = join(directory, entry.name);
        if (may_be_directory(entry) && is_directory(inner, false)) descend(inner, index, depth + 1);
      }
      return;
    }
    if (!has_wildcard(level)) {
      literal(directory, join(directory, level), index, is_last);
      return;
    }
    for (const DirectoryEntry& entry : read(directory)) {
      if (::fnmatch(level.c_str(), entry.name.c_str(), FNM_PERIOD) != 0) continue;
      std::string path = join(directory, entry.name);
      if (is_last) {
        take(std::move(path));
      } else if (may_be_directory(entry) && is_directory(path, true)) {
        descend(path, index + 1, 0);
      }
    }
  }

  void literal(const std::string& directory, std::string path, std::size_t index, bool is_last) {
    if (is_last) {
      out_.directories.insert(directory);
      take(std::move(path));
    } else if (is_directory(path, true)) {
      descend(path, index + 1, 0);
    } else {
      if (errno == EACCES) out_.unreadable.emplace_back(directory, EACCES);
      out_.directories.insert(directory);  // it may appear here
    }
  }

  void take(std::string path) {
    if (path.size() > path_bytes_max || is_excluded(exclude_, path)) return;
    const std::optional<FileFacts> facts = facts_of(path);
    if (facts && facts->is_regular) {
      out_.files.push_back({std::move(path), *facts});
    } else if (!facts && errno == EACCES) {
      out_.unreadable.emplace_back(directory_of(path), EACCES);
    }
  }

  std::vector<DirectoryEntry> read(const std::string& directory) {
    out_.directories.insert(directory);
    DirectoryListing listing = list_directory(directory);
    if (listing.error == EMFILE || listing.error == ENFILE || listing.error == ENOMEM) {
      out_.shortage = listing.error;
    }
    if (listing.error == EACCES || listing.error == EPERM) {
      out_.unreadable.emplace_back(directory, listing.error);
    }
    return std::move(listing.entries);
  }

  static bool may_be_directory(const DirectoryEntry& entry) {
    return entry.type == DT_DIR || entry.type == DT_LNK || entry.type == DT_UNKNOWN;
  }

  std::vector<std::string> levels_;
  std::span<const std::string> exclude_;
  Expansion& out_;
};

}  // namespace

std::optional<FileFacts> facts_of(const std::string& path) {
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0) return std::nullopt;
  return facts_from(st);
}

std::optional<FileFacts> facts_of(int fd) {
  struct stat st {};
  if (::fstat(fd, &st) != 0) return std::nullopt;
  return facts_from(st);
}

UniqueFd open_to_read(const std::string& path) {
  return UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
}

bool is_excluded(std::span<const std::string> exclude, const std::string& path) {
  return std::any_of(exclude.begin(), exclude.end(), [&](const std::string& pattern) {
    const bool is_for_path = pattern.find('/') != std::string::npos;
    const std::string text = is_for_path ? path : std::string(name_of(path));
    return ::fnmatch(pattern.c_str(), text.c_str(), 0) == 0;
  });
}

Expansion expand(std::span<const std::string> patterns, std::span<const std::string> exclude) {
  Expansion out;
  for (const std::string& pattern : patterns) {
    const std::size_t before = out.files.size();
    Walk(pattern, exclude, out).run();
    if (out.files.size() == before) out.empty.push_back(pattern);
  }
  const auto by_path = [](const FoundFile& a, const FoundFile& b) { return a.path < b.path; };
  std::sort(out.files.begin(), out.files.end(), by_path);
  const auto same_path = [](const FoundFile& a, const FoundFile& b) { return a.path == b.path; };
  out.files.erase(std::unique(out.files.begin(), out.files.end(), same_path), out.files.end());
  return out;
}

DirectoryListing list_directory(const std::string& path) {
  DirectoryListing listing;
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), &::closedir);
  if (!directory) {
    listing.error = errno;
    return listing;
  }
  errno = 0;
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") {
      listing.entries.push_back({std::string(name), entry->d_ino, entry->d_type});
    }
    errno = 0;
  }
  listing.error = errno;
  return listing;
}

}  // namespace penstock::connectors::file
