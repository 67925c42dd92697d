// JournalWriter: writes journal files that sd-journal reads, for tests.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "agent/base/unique_fd.hpp"

namespace penstock::tests {

/// One file of the journal file format (systemd.io/JOURNAL_FILE_FORMAT), old hash, no compression;
/// up to 64 entries. Files of one journal go on with each other's numbers. Thread: owner only.
class JournalWriter {
 public:
  /// first_number: of the first entry, in the series of all files with this `series`.
  JournalWriter(const std::filesystem::path& file, std::uint64_t first_number, char boot = 'b',
                char series = 's');

  /// Appends an entry of FIELD=value texts (_BOOT_ID is added); its time is a second after the one
  /// before. Returns its number.
  std::uint64_t append(const std::vector<std::string>& fields);

  static constexpr std::uint64_t entries_max = 64;
  static constexpr std::uint64_t first_time_us = 1'764'000'000'000'000;

 private:
  std::uint64_t add_object(std::uint8_t type, std::uint64_t size);
  std::uint64_t add_data(const std::string& text);
  void link_entry(std::uint64_t data, std::uint64_t entry);
  std::uint64_t get(std::uint64_t offset) const;
  void set(std::uint64_t offset, std::uint64_t value);
  void save();

  UniqueFd file_;
  std::string image_;
  std::string boot_;
  std::uint64_t hash_table_ = 0;
  std::uint64_t entry_array_ = 0;
  std::uint64_t next_number_;
  std::map<std::string, std::uint64_t> data_;
};

}  // namespace penstock::tests
