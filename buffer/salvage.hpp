// Salvage: the batches and loss records that can still be read of a buffer's file, whatever is
// damaged.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/result.hpp"
#include "buffer/page_scan.hpp"
#include "buffer/store.hpp"

namespace penstock::buffer {

/// Finds rows by their checksums, not by LMDB's trees. Rows that were acknowledged not long ago may
/// be among them: a receiver knows them by their numbers. Thread: owner only. Memory: 64 bytes a
/// row, and one row.
class Salvage {
 public:
  /// Reads the file once. unavailable: cannot be read. corrupt: nothing tells which epoch it is of.
  static Result<Salvage> scan(const std::filesystem::path& file,
                              const std::function<bool(std::uint64_t, std::uint64_t)>& progress);

  const std::string& epoch() const { return epoch_text_; }
  const std::string& device() const { return device_; }  ///< "": not readable
  /// By stream and number; of two rows with the same numbers one. An event that was dropped later
  /// comes as itself, before the loss record that covers it.
  std::size_t size() const { return places_.size(); }
  /// corrupt: the file changed meanwhile.
  Result<Row> row(std::size_t index) const;
  /// "": its record is lost; a batch says it in its events.
  std::string stream_name(std::uint32_t stream_id) const;
  /// Where a stream would go on; 0: not known.
  std::uint64_t next_seq(std::uint32_t stream_id) const;
  /// From which number on the file held it, as the newest record found says; nullopt: not known.
  std::optional<std::uint64_t> first_seq(std::uint32_t stream_id) const;
  /// All of which a record was found.
  std::vector<std::uint32_t> stream_ids() const;

 private:
  struct Place {
    RowKey key;
    RowKind kind = RowKind::batch;
    std::uint8_t table = 0;
    std::uint32_t value_size = 0;
    std::uint64_t value_at = 0;
  };
  explicit Salvage(PageScan scan) : scan_(std::move(scan)) {}
  void take(const FoundRecord& record);
  void sort();

  PageScan scan_;
  std::uint32_t epoch_ = 0;
  std::string epoch_text_;
  std::string device_;
  struct StreamFound {
    std::string name;
    std::uint64_t next_seq = 0;
    std::optional<std::uint64_t> first_seq;
  };
  std::map<std::uint32_t, StreamFound> streams_;
  std::vector<Place> places_;
};

}  // namespace penstock::buffer
