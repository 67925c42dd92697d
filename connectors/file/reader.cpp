#include "connectors/file/reader.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "agent/base/text.hpp"
#include "connectors/file/lines.hpp"

namespace penstock::connectors::file {
namespace {

constexpr std::size_t piece_bytes = 128 * 1024;          // read at once
constexpr std::size_t chunk_text_bytes_max = 64 * 1024;  // pushed from here on
constexpr std::size_t chunk_positions_max = 256;
constexpr std::size_t hole_bytes_max = 1024 * 1024;  // NULs looked at in one turn

/// pread(2) until `size` bytes or the end; -1: errno says why.
ssize_t read_at(int fd, char* out, std::size_t size, std::uint64_t offset) {
  std::size_t done = 0;
  while (done < size) {
    const ssize_t n = ::pread(fd, out + done, size - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    if (n == 0) break;
    done += static_cast<std::size_t>(n);
  }
  return static_cast<ssize_t>(done);
}

std::string_view read_short(int fd, char* out, std::size_t size, std::uint64_t offset) {
  const ssize_t n = read_at(fd, out, size, offset);
  return {out, n < 0 ? 0 : static_cast<std::size_t>(n)};
}

/// The first byte at or behind `from` that is not NUL, jumping over holes; at most `size`.
std::uint64_t end_of_hole(int fd, std::uint64_t from, std::uint64_t size) {
  const off_t data = ::lseek(fd, static_cast<off_t>(from), SEEK_DATA);
  if (data < 0) return errno == ENXIO ? size : from;
  std::uint64_t at = std::max(from, static_cast<std::uint64_t>(data));
  const std::uint64_t stop = std::min(size, at + hole_bytes_max);
  char block[4096];
  while (at < stop) {
    const std::string_view bytes = read_short(fd, block, sizeof(block), at);
    const std::size_t text = bytes.find_first_not_of('\0');
    if (text != std::string_view::npos) return at + text;
    if (bytes.empty()) break;
    at += bytes.size();
  }
  return std::min(at, size);
}

/// Behind the last newline: the unfinished last line is still to come. is_skipping: no newline
/// within `bytes_max`.
std::uint64_t start_of_last_line(int fd, std::uint64_t size, std::size_t bytes_max,
                                 bool& is_skipping) {
  char block[4096];
  std::uint64_t at = size;
  while (at > 0 && size - at <= bytes_max) {
    const std::size_t step = static_cast<std::size_t>(std::min<std::uint64_t>(at, sizeof(block)));
    const std::string_view bytes = read_short(fd, block, step, at - step);
    const std::size_t newline = bytes.rfind('\n');
    if (newline != std::string_view::npos) return at - step + newline + 1;
    at -= step;
  }
  is_skipping = at > 0;
  return at > 0 ? size : 0;
}

}  // namespace

Reader::Reader(const Settings& settings, Session& session)
    : settings_(settings),
      session_(session),
      buffer_bytes_(std::max(piece_bytes, settings.line_bytes_max + 4096)) {}

Result<Seen> Reader::read(const Lineage& lineage, TrackedFile& file, std::int64_t now_us) {
  const bool was_open = file.fd.is_open();
  if (const int error = open(lineage, file); error != 0) return cannot_open(lineage, file, error);
  if (file.open_error != 0) {
    session_.log().info("event=file_readable path={}", quoted(lineage.path));
    file.open_error = 0;
  }
  file.last_use = ++use_counter_;
  const std::optional<FileFacts> facts = facts_of(file.fd.get());
  if (!facts) return cannot_open(lineage, file, errno);
  file.is_linked = facts->is_linked;
  if (file.begin != Begin::known) {
    if (!begin(lineage, file, *facts)) return Seen::compressed;
    PENSTOCK_TRY(save(lineage, file));
  } else if (!was_open && !has_marks(file.fd.get(), facts->size, file.at)) {
    return Seen::replaced;
  }
  return read_open(lineage, file, *facts, now_us);
}

Result<Seen> Reader::read_open(const Lineage& lineage, TrackedFile& file, const FileFacts& facts,
                               std::int64_t now_us) {
  if (facts.size < file.at.offset) return Seen::replaced;
  if (facts.size < file.at.size_seen) {
    if (file.at.offset == 0 || !has_marks(file.fd.get(), facts.size, file.at)) {
      return Seen::replaced;
    }
    // What was read is intact, only the end was taken away.
    session_.log().warn("event=file_shortened path={} unread_bytes={}", quoted(lineage.path),
                        file.at.size_seen - facts.size);
    report_loss(lineage);
  }
  if (facts.size != file.at.size_seen) file.changed_us = now_us;
  if (wakes_up(file, facts)) return Seen::awake;
  file.was_empty = facts.size == 0;
  const std::optional<Piece> piece = read_piece(file, facts);
  if (!piece) return Seen::replaced;
  file.at.size_seen = facts.size;
  file.at.mtime_ns = facts.mtime_ns;
  file.looked_to = file.at.offset + piece->data.size();
  if (file.at.offset == 0 && is_compressed(piece->data)) return Seen::compressed;

  const bool is_quiet =
      now_us - file.changed_us >= settings_.rotated_wait.count() && piece->reaches_end;
  PENSTOCK_TRY(take_lines(lineage, file, *piece, !file.at_path && is_quiet));
  if (!piece->reaches_end) return Seen::lines;
  return file.at_path || file.at.offset == file.looked_to ? Seen::end : Seen::unfinished;
}

std::optional<Reader::Piece> Reader::read_piece(TrackedFile& file, const FileFacts& facts) {
  Position& at = file.at;
  if (file.may_begin_with_hole && facts.size > at.offset) {
    // A writer without O_APPEND goes on at its old offset: the front is a hole, not text.
    const std::uint64_t text = end_of_hole(file.fd.get(), at.offset, facts.size);
    file.may_begin_with_hole = text == facts.size || text - at.offset >= hole_bytes_max;
    at.offset = text;
    set_marks(file.fd.get(), at.offset, at);
  }
  if (buffer_ == nullptr) buffer_ = std::make_unique_for_overwrite<char[]>(buffer_bytes_);
  // The tail is read again together with what follows it: both are of the same content.
  const ssize_t n =
      read_at(file.fd.get(), buffer_.get(), buffer_bytes_, at.offset - at.tail.length);
  if (n < 0 || static_cast<std::size_t>(n) < at.tail.length) return std::nullopt;
  const std::string_view bytes(buffer_.get(), static_cast<std::size_t>(n));
  if (mark_of(bytes.substr(0, at.tail.length)) != at.tail) return std::nullopt;
  if (at.offset == 0 && mark_of(bytes.substr(0, at.head.length)) != at.head) return std::nullopt;

  if (at.head.length < head_bytes_max && facts.size > at.head.length) {
    char front[head_bytes_max];
    at.head = mark_of(read_short(file.fd.get(), front, sizeof(front), 0));
  }
  return Piece{bytes.substr(at.tail.length), bytes.size() < buffer_bytes_};
}

Result<void> Reader::take_lines(const Lineage& lineage, TrackedFile& file, Piece piece,
                                bool is_final) {
  const bool all_valid = is_ascii(piece.data) || is_valid_utf8(piece.data);
  const SplitResult split =
      split_lines(piece.data, settings_.line_bytes_max, is_final, file.at.is_skipping,
                  [&](std::string_view line, bool is_cut) {
                    add_line(lineage, line, is_cut, all_valid || is_valid_utf8(line));
                  });
  if (split.skipped_bytes > 0) note_cut(lineage, split.skipped_bytes);
  if (split.consumed == 0) return {};
  file.at.offset += split.consumed;
  file.at.is_copy = false;
  const std::size_t behind = file.at.tail.length + split.consumed;
  const std::size_t tail_bytes = std::min(behind, tail_bytes_max);
  file.at.tail = mark_of({buffer_.get() + behind - tail_bytes, tail_bytes});
  return save(lineage, file);
}

void Reader::add_line(const Lineage& lineage, std::string_view line, bool is_cut, bool is_valid) {
  const Field fields[] = {
      {"message", line}, {"path", std::string_view(lineage.path)}, {"invalid_utf8", true}};
  chunk_.add(0, stream_of(lineage), std::span<const Field>(fields, is_valid ? 2 : 3));
  if (is_cut) {
    chunk_.mark_cut();
    ++cut_lines_;
  }
  chunk_text_bytes_ += line.size();
}

void Reader::note_cut(const Lineage& lineage, std::uint64_t skipped_bytes) {
  cut_bytes_ += skipped_bytes;
  if (has_warned_of_cut_) return;
  has_warned_of_cut_ = true;
  session_.log().warn("event=line_cut path={} line_bytes_max={} (more are summed up once a minute)",
                      quoted(lineage.path), settings_.line_bytes_max);
}

void Reader::report_cut_lines() {
  if (cut_lines_ > 0) {
    session_.log().warn("event=lines_cut lines={} skipped_bytes={}", cut_lines_, cut_bytes_);
  }
  cut_lines_ = 0;
  cut_bytes_ = 0;
}

/// First sight of the content: where to start, and the marks. false: it is compressed.
bool Reader::begin(const Lineage& lineage, TrackedFile& file, const FileFacts& facts) {
  const int fd = file.fd.get();
  char front[head_bytes_max];
  file.at.mtime_ns = facts.mtime_ns;
  if (is_compressed(read_short(fd, front, sizeof(front), 0))) return false;
  if (file.begin == Begin::end) {
    file.at.offset =
        start_of_last_line(fd, facts.size, settings_.line_bytes_max, file.at.is_skipping);
  }
  set_marks(fd, file.at.offset, file.at);
  file.begin = Begin::known;
  file.looked_to = file.at.offset;
  file.at.size_seen = facts.size;
  session_.log().debug("event=file_found path={} offset={} size={}", quoted(lineage.path),
                       file.at.offset, facts.size);
  return true;
}

int Reader::open(const Lineage& lineage, TrackedFile& file) {
  if (file.fd.is_open()) return 0;
  const std::string& place = lineage.place_of(file);
  if (place.empty()) return ENOENT;
  while (open_.size() >= settings_.files_open_max) evict_one();
  UniqueFd fd = open_to_read(place);
  if (!fd.is_open()) return errno;
  const std::optional<FileFacts> facts = facts_of(fd.get());
  if (!facts || !facts->is_regular || facts->id != file.at.id) return ESTALE;
  file.fd = std::move(fd);
  open_.push_back(&file);
  return 0;
}

void Reader::close(TrackedFile& file) {
  std::erase(open_, &file);
  file.fd.reset();
}

/// Closes the least recently used file, those read to their end first, deleted ones last: these
/// cannot be opened again.
void Reader::evict_one() {
  const auto rank = [](const TrackedFile* file) {
    return !file->is_linked && !file->is_settled ? 2 : file->looked_to < file->at.size_seen ? 1 : 0;
  };
  const auto chosen =
      std::min_element(open_.begin(), open_.end(), [&](TrackedFile* a, TrackedFile* b) {
        return std::pair(rank(a), a->last_use) < std::pair(rank(b), b->last_use);
      });
  (*chosen)->fd.reset();
  open_.erase(chosen);
}

Seen Reader::cannot_open(const Lineage& lineage, TrackedFile& file, int error) {
  if (error == ENOENT || error == ESTALE || error == ENOTDIR) return Seen::vanished;
  const bool is_new = file.open_error != error;
  file.open_error = error;
  if (error == EMFILE || error == ENFILE) {
    if (!has_warned_of_descriptors_) {
      session_.log().warn("event=descriptors_exhausted open_files={} error=\"{}\"", open_.size(),
                          std::strerror(error));
    }
    has_warned_of_descriptors_ = true;
  } else if (is_new) {
    session_.log().warn("event=file_unreadable path={} error=\"{}\" retry_in_ms={}",
                        quoted(lineage.place_of(file)), std::strerror(error),
                        settings_.rescan_every.count() / 1000);
  }
  return Seen::unreadable;
}

std::string_view Reader::stream_of(const Lineage& lineage) const {
  return settings_.stream_per_file ? std::string_view(lineage.path) : std::string_view();
}

void Reader::report_loss(const Lineage& lineage) { chunk_.lost(stream_of(lineage), 0); }
void Reader::report_unknown_loss() { chunk_.lost("", 0); }

Result<void> Reader::save(const Lineage& lineage, const TrackedFile& file) {
  chunk_.position(part_of(file.at.id), encode(file.at, lineage.path));
  ++chunk_positions_;
  const bool is_full =
      chunk_text_bytes_ >= chunk_text_bytes_max || chunk_positions_ >= chunk_positions_max;
  return is_full ? push() : Result<void>();
}

Result<void> Reader::forget(std::string_view part) {
  chunk_.position(part, "");
  return ++chunk_positions_ >= chunk_positions_max ? push() : Result<void>();
}

void Reader::mark_started() { chunk_.position(started_part, "\x01"); }

Result<void> Reader::push() {
  chunk_text_bytes_ = 0;
  chunk_positions_ = 0;
  return chunk_.is_empty() ? Result<void>() : session_.push(chunk_);
}

void Reader::set_marks(int fd, std::uint64_t offset, Position& position) {
  char bytes[head_bytes_max];
  position.head = mark_of(read_short(fd, bytes, head_bytes_max, 0));
  const std::size_t tail =
      static_cast<std::size_t>(std::min<std::uint64_t>(offset, tail_bytes_max));
  position.tail = mark_of(read_short(fd, bytes, tail, offset - tail));
}

bool Reader::has_marks(int fd, std::uint64_t size, const Position& position) {
  char bytes[head_bytes_max];
  if (size < position.head.length) return false;
  if (mark_of(read_short(fd, bytes, position.head.length, 0)) != position.head) return false;
  if (size < position.offset) return true;
  const std::string_view tail =
      read_short(fd, bytes, position.tail.length, position.offset - position.tail.length);
  return mark_of(tail) == position.tail;
}

std::optional<FileId> Reader::recognise_at(const std::string& path, const Position& position) {
  const UniqueFd fd = open_to_read(path);
  const std::optional<FileFacts> facts = fd.is_open() ? facts_of(fd.get()) : facts_of(path);
  if (!fd.is_open()) {
    // Nothing speaks against it: better wait for a file than read another one twice.
    return facts && facts->id == position.id ? std::optional(facts->id) : std::nullopt;
  }
  if (!facts || !facts->is_regular || facts->id.inode != position.id.inode) return std::nullopt;
  if (facts->id != position.id && position.head.length == 0) return std::nullopt;
  if (!has_marks(fd.get(), facts->size, position)) return std::nullopt;
  return facts->id;
}

bool Reader::have_same_end(int fd, int other_fd, std::uint64_t size) {
  char one[head_bytes_max];
  char other[head_bytes_max];
  const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(size, head_bytes_max));
  const std::string_view end = read_short(fd, one, count, size - count);
  return end.size() == count && end == read_short(other_fd, other, count, size - count);
}

bool Reader::is_compressed(std::string_view front) {
  using namespace std::string_view_literals;
  const auto starts = [&](std::string_view magic) {
    return front.substr(0, magic.size()) == magic;
  };
  const bool is_bzip2 =
      starts("BZh"sv) && front.size() >= 10 &&
      (front.substr(4, 6) == "1AY&SY"sv || front.substr(4, 6) == "\x17\x72\x45\x38\x50\x90"sv);
  return is_bzip2 || starts("\x1f\x8b"sv) ||
         starts(
             "\xfd"
             "7zXZ\0"sv) ||
         starts("\x28\xb5\x2f\xfd"sv);
}

}  // namespace penstock::connectors::file
