// Directory: the folder of one buffer, held by a lock of our own, and the names in it.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.hpp"
#include "agent/base/unique_fd.hpp"

namespace penstock::buffer {

/// What root has made in another user's buffer becomes that user's: its agent must be able to use
/// it. Does nothing for others. Thread: any.
Result<void> give_to_owner(const std::filesystem::path& directory,
                           const std::filesystem::path& made);

/// Held from hold() until it is dropped. Thread: owner only.
class Directory {
 public:
  /// Makes it (0700) if asked to, and takes its lock. Where it is not to be made, a file system
  /// that can only be read will do. unavailable: held by another process, or not ours to write.
  /// invalid: not there, or on a file system that LMDB must not be used on.
  static Result<Directory> hold(const std::filesystem::path& path, bool make,
                                std::vector<std::string>& warnings);

  const std::filesystem::path& path() const { return path_; }
  /// Nothing can be written there.
  bool is_read_only() const { return is_read_only_; }
  std::filesystem::path file() const { return path_ / "buffer.mdb"; }
  /// Where a new file is made before it takes its place.
  std::filesystem::path birth_file() const { return path_ / "buffer.mdb.birth"; }
  /// Where a copy is made before it takes its place.
  std::filesystem::path copy_file() const { return path_ / "buffer.mdb.new"; }
  Result<void> remove_leftovers() const;
  /// Syncs copy_file() and lets it take the place of file(), which is durable only after
  /// sync_names(). An error leaves it open which of the two has the name.
  Result<void> publish_copy() const;
  Result<void> sync_names() const;
  /// Syncs the new file and lets it take the place of file(), durably, with all names on the way.
  Result<void> publish_birth() const;
  /// Gives file() a second name in a directory `<kind>-<epoch>-<n>` of its own, durably; returns
  /// that directory.
  Result<std::filesystem::path> keep_aside(std::string_view kind, std::string_view epoch) const;

 private:
  Directory(std::filesystem::path path, UniqueFd lock, bool is_read_only)
      : path_(std::move(path)), lock_(std::move(lock)), is_read_only_(is_read_only) {}

  std::filesystem::path path_;
  UniqueFd lock_;  // closed where there is no file for it, and none can be made
  bool is_read_only_;
};

}  // namespace penstock::buffer
