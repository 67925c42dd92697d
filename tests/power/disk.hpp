// Disk: what a disk may hold after a power cut, rebuilt from a trace.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/power/trace.hpp"

namespace penstock::power {

/// How far the disk keeps its word.
enum class Honesty {
  honest,             ///< what was synced is there
  ignores_dir_syncs,  ///< fsync of a directory returns but does nothing
  ignores_syncs,      ///< neither does any fsync or fdatasync (as MDB_NOSYNC would have it)
  ignores_all,        ///< nor do O_DSYNC writes: a disk that lies
};

/// Which of the unsynced 512-byte blocks and names made it.
enum class Survival { none, all, random };

/// The model. Content: durable in blocks of 512 bytes as of the file's last completed sync; of
/// every block written since, any version may have made it, and the size may be the old or the new
/// one. Names: durable up to the last sync of their directory; of the changes since, either a
/// prefix (a journal) or any subset may have made it. A rename is one change. What is in a
/// directory whose own name was lost is lost. Thread: owner only.
class Disk {
 public:
  explicit Disk(Honesty honesty) : honesty_(honesty) {}

  void apply(const RecordHead& head, std::string_view data);
  /// The operation has begun but not returned: its effects may be there, durable or not.
  void begin(const RecordHead& head, std::string_view data);

  /// Writes one possible state into an empty directory.
  void write_image(const std::filesystem::path& folder, Survival survival,
                   std::mt19937_64& random) const;

  /// As a reader would see it now. The name must be there.
  const std::string& content_of(const std::string& name) const;

 private:
  static constexpr std::size_t block_bytes = 512;
  static constexpr std::size_t directory = static_cast<std::size_t>(-1);
  static constexpr std::size_t nothing = static_cast<std::size_t>(-2);

  struct File {
    std::string durable;
    std::string current;
    std::map<std::size_t, std::vector<std::string>> versions;  // of blocks since the last sync
  };
  using Names = std::map<std::string, std::size_t>;  // name -> index in files_, or `directory`
  /// Takes place whole or not at all. An entry that becomes `nothing` is removed.
  using NameChange = std::vector<std::pair<std::string, std::size_t>>;

  static void change(Names& names, const NameChange& change);
  static bool is_in(const NameChange& change, std::string_view folder);
  void rename_or_link(Op op, std::string_view names);
  void note(NameChange change);
  void sync_names(std::string_view folder);
  void write(File& file, std::uint64_t offset, std::string_view data);
  void sync(File& file);
  void sync_range(File& file, std::uint64_t offset, std::size_t size);
  Names surviving_names(Survival survival, std::mt19937_64& random) const;
  std::string survivor(const File& file, Survival survival, std::mt19937_64& random) const;

  Honesty honesty_;
  std::vector<File> files_;
  std::map<std::int32_t, std::size_t> open_;
  Names names_;
  Names durable_names_;
  std::vector<NameChange> pending_;
};

}  // namespace penstock::power
