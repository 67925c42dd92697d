// Position: where reading of one file stands, and by what the file is recognised again.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace penstock::connectors::file {

/// What the file system calls the file. Numbers of deleted files are used again.
struct FileId {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  bool operator==(const FileId&) const = default;
};
struct FileIdHash {
  std::size_t operator()(const FileId& id) const {
    return static_cast<std::size_t>(id.inode * 0x9E3779B97F4A7C15ULL ^ id.device);
  }
};

/// Hash of a short run of bytes, by which content is recognised. Length 0 says nothing.
struct Mark {
  std::uint64_t hash = 0;
  std::uint32_t length = 0;
  bool operator==(const Mark&) const = default;
};
Mark mark_of(std::string_view bytes);

constexpr std::size_t head_bytes_max = 256;  ///< the mark at the front of a file
constexpr std::size_t tail_bytes_max = 64;   ///< the mark in front of the offset
constexpr std::size_t path_bytes_max = 3072;

struct Position {
  FileId id;
  std::uint64_t offset = 0;      ///< of the first byte that is not part of an event yet
  std::uint64_t size_seen = 0;   ///< the file's size when it was last looked at
  std::int64_t mtime_ns = 0;     ///< its modification time then
  Mark head;                     ///< of its first bytes; grows with the file up to head_bytes_max
  Mark tail;                     ///< of the bytes that end at offset
  std::uint32_t generation = 0;  ///< rises with each rotation of the path
  bool is_skipping = false;      ///< offset lies inside a line whose front was an event already
  bool is_copy = false;          ///< a copy of another file, passed over so far
  std::string path;              ///< under which its lines are events
  bool operator==(const Position&) const = default;
};

/// The part of the source that a file's position belongs to: "<device>:<inode>" in hex.
std::string part_of(const FileId& id);
/// Beside the files, this part says that the first start is over.
constexpr std::string_view started_part = "";

/// Version 1; README.md has the layout. `path` takes the place of position.path and keeps within
/// path_bytes_max, so the result within 4096 bytes.
std::string encode(const Position& position, std::string_view path);
/// nullopt: not a position, or of a later version. Safe on any bytes.
std::optional<Position> decode(std::string_view bytes);

}  // namespace penstock::connectors::file
