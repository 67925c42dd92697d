// Disk: what a disk may hold after a power cut, rebuilt from a trace.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "tests/powercut/trace.hpp"

namespace penstock::powercut {

/// How far the disk keeps its word.
enum class Honesty {
  honest,         ///< what was synced is there
  ignores_syncs,  ///< fsync and fdatasync return but do nothing (as MDB_NOSYNC would have it)
  ignores_all,    ///< neither do O_DSYNC writes: a disk that lies
};

/// Which of the unsynced 512-byte blocks made it.
enum class Survival { none, all, random };

/// The model: a file's content is durable in blocks of 512 bytes as of its last completed sync; of
/// every block written since, any version may have made it, and the size may be the old or the new
/// one. Changes of names happen in order (they are journalled), durable up to the last sync of the
/// directory and in any longer prefix. Thread: owner only.
class Disk {
 public:
  explicit Disk(Honesty honesty) : honesty_(honesty) {}

  void apply(const RecordHead& head, std::string_view data);
  /// The operation has begun but not returned: its effects may be there, durable or not.
  void begin(const RecordHead& head, std::string_view data);

  /// Writes one possible state into an empty directory.
  void write_image(const std::filesystem::path& folder, Survival survival,
                   std::mt19937_64& random) const;

  /// Commits that had returned.
  std::uint64_t marked() const { return marked_; }

 private:
  static constexpr std::size_t block_bytes = 512;

  struct File {
    std::string durable;
    std::string current;
    std::map<std::size_t, std::vector<std::string>> versions;  // of blocks since the last sync
  };
  using Names = std::map<std::string, std::size_t>;  // name -> index in files_
  struct NameChange {
    Op op;
    std::string from;
    std::string to;
    std::size_t file = 0;
  };

  static void change(Names& names, const NameChange& change);
  void write(File& file, std::uint64_t offset, std::string_view data);
  void sync(File& file);
  void sync_range(File& file, std::uint64_t offset, std::size_t size);
  std::string survivor(const File& file, Survival survival, std::mt19937_64& random) const;

  Honesty honesty_;
  std::vector<File> files_;
  std::map<std::int32_t, std::size_t> open_;
  Names names_;
  Names durable_names_;
  std::vector<NameChange> pending_;
  std::uint64_t marked_ = 0;
};

}  // namespace penstock::powercut
