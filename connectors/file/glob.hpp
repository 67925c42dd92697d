// Glob: finds the files that patterns name, and the directories in which more may appear.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/unique_fd.hpp"
#include "connectors/file/position.hpp"

namespace penstock::connectors::file {

/// What stat(2) says of a path, symbolic links followed.
struct FileFacts {
  FileId id;
  std::uint64_t size = 0;
  std::int64_t mtime_ns = 0;
  bool is_regular = false;
  bool is_linked = false;  ///< has a name left in some directory
};
/// nullopt: errno says why.
std::optional<FileFacts> facts_of(const std::string& path);
std::optional<FileFacts> facts_of(int fd);

/// Never blocks, also where a pipe is in the file's place. Not open: errno says why.
UniqueFd open_to_read(const std::string& path);

struct FoundFile {
  std::string path;
  FileFacts facts;
};

struct Expansion {
  std::vector<FoundFile> files;       ///< regular files, by path, each path once
  std::set<std::string> directories;  ///< in which a change may change the result
  std::vector<std::string> empty;     ///< patterns that named no file
  /// Directories that may not be read, and why.
  std::vector<std::pair<std::string, int>> unreadable;
  /// errno of a lack (of descriptors, of memory) that made the search incomplete; 0 = none.
  int shortage = 0;
};

/// Whether one of the patterns leaves `path` out: with a slash compared with the whole path, else
/// with the name.
bool is_excluded(std::span<const std::string> exclude, const std::string& path);

/// Searches now. `*`, `?` and `[…]` match within one level and never a leading dot; a level `**`
/// matches any number of directories (at most 32 deep, no symbolic links).
Expansion expand(std::span<const std::string> patterns, std::span<const std::string> exclude);

/// A name in a directory and the inode it stands for (some file systems give another than stat).
struct DirectoryEntry {
  std::string name;
  std::uint64_t inode = 0;
  unsigned char type = 0;  ///< DT_... of readdir(3)
};
struct DirectoryListing {
  std::vector<DirectoryEntry> entries;
  int error = 0;  ///< errno: why the list is empty or short
};
DirectoryListing list_directory(const std::string& path);

}  // namespace penstock::connectors::file
