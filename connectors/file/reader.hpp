// Reader: reads tracked files into chunks, a bounded piece at a time, with few files open.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "connectors/api/connector.hpp"
#include "connectors/file/glob.hpp"
#include "connectors/file/settings.hpp"
#include "connectors/file/tracked_file.hpp"

namespace penstock::connectors::file {

/// What one look at a file came to.
enum class Seen {
  awake,  ///< nothing was read of it yet, and it has been written to since the last look
  lines,  ///< lines were read, and there may be more
  end,    ///< read to the end; a last line without newline is left where its file is at its path
  unfinished,  ///< a file that left its path ends in a line that may still be completed
  replaced,    ///< not the content that was read before: truncated, or another file of this number
  vanished,    ///< it is not where it was
  unreadable,  ///< it could not be opened or read; reported
  compressed,  ///< not text
};

/// Thread: owner only. The files handed in must outlive the reader or be closed by close().
class Reader {
 public:
  Reader(const Settings& settings, Session& session);

  /// Reads at most one buffer of `file` and pushes when enough has come together. now_us: steady.
  /// stopped, unavailable: from the push; what was read is then to be forgotten.
  Result<Seen> read(const Lineage& lineage, TrackedFile& file, std::int64_t now_us);

  /// Opens the file where it lies, unless it is open. 0, or errno; ESTALE: another file is there.
  int open(const Lineage& lineage, TrackedFile& file);
  void close(TrackedFile& file);

  /// Its position as it stands goes with the next push.
  Result<void> save(const Lineage& lineage, const TrackedFile& file);
  Result<void> forget(std::string_view part);
  void mark_started();
  void report_loss(const Lineage& lineage);
  void report_unknown_loss();
  Result<void> push();

  /// The marks of an open file for `offset` (bytes), into `position`.
  static void set_marks(int fd, std::uint64_t offset, Position& position);
  /// Whether the open file of `size` bytes has the front that `position` saw and, where it is
  /// long enough, the same bytes in front of the offset.
  static bool has_marks(int fd, std::uint64_t size, const Position& position);
  /// Who the file at `path` is, if it is the one that `position` speaks of. The device's number
  /// may differ: some file systems get another one with each mount.
  static std::optional<FileId> recognise_at(const std::string& path, const Position& position);
  /// Whether both open files have the same bytes in front of `size`.
  static bool have_same_end(int fd, int other_fd, std::uint64_t size);
  /// Whether nothing was read of the file yet, and it has been written to since the last look.
  static bool wakes_up(const TrackedFile& file, const FileFacts& facts) {
    return file.was_empty && facts.mtime_ns != file.at.mtime_ns;
  }
  static bool is_compressed(std::string_view front);

  std::size_t open_count() const { return open_.size(); }
  /// Says how many lines were cut since the last time, if any. Call it once a minute.
  void report_cut_lines();

 private:
  struct Piece {
    std::string_view data;  // in buffer_, from the offset on
    bool reaches_end = false;
  };

  Seen cannot_open(const Lineage& lineage, TrackedFile& file, int error);
  bool begin(const Lineage& lineage, TrackedFile& file, const FileFacts& facts);
  Result<Seen> read_open(const Lineage& lineage, TrackedFile& file, const FileFacts& facts,
                         std::int64_t now_us);
  std::optional<Piece> read_piece(TrackedFile& file, const FileFacts& facts);
  Result<void> take_lines(const Lineage& lineage, TrackedFile& file, Piece piece, bool is_final);
  void add_line(const Lineage& lineage, std::string_view line, bool is_cut, bool is_valid);
  void note_cut(const Lineage& lineage, std::uint64_t skipped_bytes);
  void evict_one();
  std::string_view stream_of(const Lineage& lineage) const;

  const Settings& settings_;
  Session& session_;
  Chunk chunk_;
  std::size_t chunk_text_bytes_ = 0;
  std::size_t chunk_positions_ = 0;
  std::size_t buffer_bytes_;
  std::unique_ptr<char[]> buffer_;
  std::vector<TrackedFile*> open_;
  std::uint64_t use_counter_ = 0;
  std::uint64_t cut_lines_ = 0;
  std::uint64_t cut_bytes_ = 0;
  bool has_warned_of_cut_ = false;
  bool has_warned_of_descriptors_ = false;
};

}  // namespace penstock::connectors::file
