// Store: batches, positions and counters in one LMDB file. The contract is in buffer/README.md, the
// bytes are in docs/buffer-format.md.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/clock.hpp"
#include "agent/base/result.hpp"

namespace penstock::buffer {

enum class Priority : std::uint8_t { high = 0, normal = 1, low = 2 };
inline constexpr std::size_t priority_count = 3;

enum class RowKind : std::uint8_t { batch = 0, loss = 1 };

/// What a full buffer, or a full share of it, may do to a stream's batches.
enum class WhenFull : std::uint8_t {
  block,        ///< nothing: the source waits (or its newest is refused with Errc::full)
  drop_oldest,  ///< its oldest batches become loss records
  drop_newest,  ///< its new batches become loss records; what is stored stays
};

/// How the streams of a group are kept: those whose names are alike up to the first '/'.
struct GroupPolicy {
  Priority priority = Priority::normal;
  WhenFull when_full = WhenFull::block;
  std::uint64_t share_bytes_max = 0;  ///< the most that the group's rows take; 0: all there is
};

inline constexpr std::uint64_t max_size_min = 1 << 20;
inline constexpr std::size_t row_content_max = 16 << 20;  ///< bytes of one row

struct StoreOptions {
  std::filesystem::path path;   ///< directory; made (0700) if it is missing
  std::uint64_t max_size = 0;   ///< bytes, at least max_size_min
  std::uint64_t keep_free = 0;  ///< bytes that the disk keeps for others (unless preallocated)
  bool preallocate = true;      ///< reserves the file's blocks when max_size <= 1 GiB
  std::int64_t max_age_us = 0;  ///< rows older than this, in buffer time, expire; 0: never
  std::string device;           ///< "" = not compared (tools); then no buffer is made
  std::string machine_id;       ///< "" = unknown, not compared
};

/// How far a stream of an earlier epoch had counted.
struct LastNumber {
  std::string stream;
  std::uint64_t next_seq = 0;
};

/// What open() found, for the log and the first `_agent` events.
struct OpenReport {
  bool is_new_epoch = false;
  /// created | device_changed | machine_changed | asked_for | quarantined
  std::string reason;
  std::string previous_epoch;            ///< "" = none or not readable
  std::filesystem::path set_aside;       ///< directory that the old file went to; "" = none
  std::vector<LastNumber> last_numbers;  ///< of the previous epoch, as far as they can be read
  bool was_clean = true;                 ///< the last process closed the store
  std::vector<std::string> warnings;
};

struct StreamState {
  std::uint32_t id = 0;
  std::uint64_t next_seq = 0;  ///< durable
  Priority priority = Priority::normal;
};

/// A row to store. `value` is opaque (the JSON text of the wire contract); the store compresses it.
struct NewRow {
  std::uint32_t stream_id = 0;
  RowKind kind = RowKind::batch;
  std::uint64_t seq = 0;
  std::uint32_t count = 0;  ///< numbers covered, 1 … 2^31 - 1
  std::string_view value;   ///< batch: content. loss: "" (then `loss` counts)
  std::uint8_t loss_reason = 0;
  bool loss_is_exact = true;
  std::int64_t time_unix_us = 0;  ///< of a loss record
};

struct NewPosition {
  std::string_view owner;  ///< "<type>\0<connector>"; opaque here
  std::string_view part;
  std::string_view bytes;  ///< "" forgets
};

struct CommitRequest {
  std::span<const NewRow> rows;
  std::span<const NewPosition> positions;
};

struct CommitReport {
  std::uint64_t durable_id = 0;  ///< highest row id now durable
  std::uint64_t dropped_rows = 0;
  std::uint64_t dropped_events = 0;  ///< for want of room
  std::uint64_t expired_rows = 0;
  std::uint64_t expired_events = 0;  ///< by max_age_us
  std::uint64_t written_bytes = 0;   ///< see StoreStats, since the last report
};

/// Where a row is. Ids rise across all streams; valid within one generation().
struct RowKey {
  std::uint64_t id = 0;
  std::uint32_t stream_id = 0;
  std::uint64_t seq = 0;
  std::uint32_t count = 0;
  bool operator==(const RowKey&) const = default;
};

struct Row {
  RowKey key;
  Priority priority = Priority::normal;
  RowKind kind = RowKind::batch;
  bool is_parked = false;
  bool is_damaged = false;  ///< checksum or length wrong: only `key` can be trusted
  std::uint8_t loss_reason = 0;
  bool loss_is_exact = true;
  std::uint8_t refusal_code = 0;  ///< of MQTT 5; 0: none
  std::int64_t time_unix_us = 0;
  std::string stored;          ///< batch: zstd frame exactly as stored
  std::uint32_t raw_size = 0;  ///< bytes of the content when decompressed
};
/// The content of a batch row. corrupt: it does not decompress to raw_size bytes.
Result<std::string> content_of(const Row& row);

struct StoreStats {
  std::string epoch;
  std::string device;  ///< whose numbers these are
  std::uint64_t rows = 0;
  std::uint64_t events = 0;      ///< numbers covered by stored rows (loss rows excluded)
  std::uint64_t live_bytes = 0;  ///< pages in use by data
  std::uint64_t max_size = 0;
  std::uint64_t file_bytes = 0, map_bytes = 0;
  std::uint64_t commits = 0, dropped_events = 0, expired_events = 0;  ///< since open
  /// Pages that commits wrote since open; what the file system writes besides is not in it.
  std::uint64_t written_bytes = 0;
  std::uint64_t oldest_age_s = 0;  ///< buffer time
  std::uint32_t streams = 0;
  std::uint64_t parked_rows = 0;  ///< of `rows`
};

struct StreamStats {
  std::string name;
  StreamState state;
  std::uint64_t rows = 0;
  /// The first number that is not yet forwarded: that of the oldest stored row, or next_seq. Below
  /// these where damage took a row out and nothing behind it was forwarded.
  std::uint64_t first_seq = 0;
  std::uint64_t bytes = 0;           ///< that its rows take in the file
  std::uint64_t dropped_events = 0;  ///< for want of room, since the epoch began
  std::uint64_t expired_events = 0;  ///< by age, since the epoch began
};

/// The sum over the streams of a group.
struct GroupStats {
  std::string name;
  std::uint32_t streams = 0;
  std::uint64_t rows = 0;
  std::uint64_t bytes = 0;
  std::uint64_t dropped_events = 0;
  std::uint64_t expired_events = 0;
  std::uint64_t share_bytes_max = 0;  ///< 0: none is set
};

/// A batch that a person wants gone.
struct RowPlace {
  Priority priority = Priority::normal;
  bool is_parked = false;
  RowKey key;
};
struct PurgeReport {
  std::uint64_t rows = 0;
  std::uint64_t events = 0;
};

/// Sizes of the file, as its length says.
struct CompactReport {
  std::uint64_t bytes_before = 0;
  std::uint64_t bytes_after = 0;
};

class Parking;  // buffer/parking.hpp

/// The durable store. One process (own flock), one fair lock around every LMDB call.
/// Threads: open_stream and commit: intake only. rows_after, acknowledge, pin: forwarder only.
/// Others: any.
class Store {
 public:
  /// unavailable: another process holds it, no permission, no space. invalid: a newer format,
  /// another word size, or a file system LMDB must not be used on.
  static Result<std::unique_ptr<Store>> open(const StoreOptions& options, OpenReport& report,
                                             const Clock& clock = system_clock());
  virtual ~Store() = default;

  virtual const std::string& epoch() const = 0;  ///< 8 hex digits
  /// Raised by each reopen; RowKeys of older ones are void.
  virtual std::uint64_t generation() const = 0;

  /// Finds or makes a stream; a new one becomes durable with its first row. A priority that differs
  /// from the stored one takes effect once the stream has no backlog.
  virtual Result<StreamState> open_stream(std::string_view name, Priority priority,
                                          WhenFull when_full) = 0;
  virtual std::string stream_name(std::uint32_t stream_id) const = 0;  ///< "" = unknown
  /// Whether there is one of this name; never waits for a commit. Thread: any.
  virtual bool has_stream(std::string_view name) const = 0;
  /// Sets how a group is kept, for all its streams that are known, so that rows of an earlier run
  /// can be dropped before their streams are opened again. Thread: any.
  virtual void set_policy(std::string_view group, const GroupPolicy& policy) = 0;
  /// Bytes that the group's rows take, as the last commit left them. Thread: any.
  virtual std::uint64_t group_bytes(std::string_view group) const = 0;

  virtual Result<std::optional<std::string>> position(std::string_view owner,
                                                      std::string_view part) const = 0;
  virtual Result<std::vector<std::string>> position_parts(std::string_view owner) const = 0;
  /// How many of the owner's positions are damaged: not even their parts are known.
  virtual Result<std::uint64_t> damaged_positions(std::string_view owner) const {
    static_cast<void>(owner);
    return std::uint64_t{0};
  }

  /// Whether a source that can wait should: from 90 % of max_size on, or below keep_free.
  virtual bool is_nearly_full() const = 0;

  /// One transaction: trims that acknowledgements allow, expiries, drops, rows, positions,
  /// counters. Durable when it returns ok. Every row's seq must be its stream's next (broken
  /// invariant otherwise). full: no room and nothing may be dropped; nothing changed. unavailable:
  /// the disk refused, and it is certain that nothing changed; call again with the same bytes. The
  /// unknown outcome of a failed commit is resolved inside (close, reopen, compare commit_no).
  /// corrupt: the file is damaged, and the store must be opened anew; see on_damaged().
  virtual Result<CommitReport> commit(const CommitRequest& request) = 0;
  /// Whether a commit without rows would do something: trims are waiting, or rows have expired.
  virtual bool has_pending_trims() const = 0;

  /// Up to bytes_max bytes (at least one row) of durable rows of a class behind `after_id`, in
  /// order. Pins what it returns in the same turn, so that none changes before pin().
  virtual Result<std::vector<Row>> rows_after(Priority priority, std::uint64_t after_id,
                                              std::size_t bytes_max) const = 0;
  /// The same without pinning, for tools: rows may be dropped or merged meanwhile. Thread: any.
  virtual Result<std::vector<Row>> peek_after(Priority priority, std::uint64_t after_id,
                                              std::size_t bytes_max) const {
    return rows_after(priority, after_id, bytes_max);
  }
  virtual std::uint64_t durable_id() const = 0;
  /// Called on the committing thread after each commit that stored rows; must only post. Set once,
  /// before use.
  virtual void on_stored(std::function<void()> callback) = 0;
  /// Called once, on any thread and within a turn, when the file has turned out to be damaged: must
  /// only post. Opened again, it is looked at as after a crash.
  /// Set once, before use.
  virtual void on_damaged(std::function<void()> callback) { static_cast<void>(callback); }
  /// All rows of the class up to and with `id` have been acknowledged; the next commit trims them.
  /// generation: the one that the rows were read in; of another than the present one nothing is
  /// acknowledged, since its ids may be those of other rows.
  virtual void acknowledge(std::uint64_t generation, Priority priority, std::uint64_t id) = 0;
  /// Rows of the class up to and with `id` have been handed over on the present connection: never
  /// dropped or merged. Only rises, until 0 unpins: rows read before that must be read again. Of
  /// another generation than the present one only 0 is taken; pins outlive a reopen.
  virtual void pin(std::uint64_t generation, Priority priority, std::uint64_t id) = 0;

  /// Batches become loss records with the reason `purged`, in one transaction; those that are gone
  /// or were handed over stay as they are, and damaged ones go without: what they had is missing.
  /// unavailable: nothing changed, or the disk refused and the outcome is to be read. Thread: any.
  virtual Result<PurgeReport> purge(std::uint64_t generation, std::span<const RowPlace> rows) {
    static_cast<void>(generation);
    static_cast<void>(rows);
    return Error{Errc::invalid, "this store cannot purge"};
  }

  /// Replaces the file by a copy without its free pages; rows and ids stay, so that no generation
  /// ends. Holds up all else meanwhile: for tools; an agent's store does it by itself where that
  /// takes moments. progress(done, total) counts rows. full: no room for the copy. invalid: blocks
  /// are reserved, or this store cannot. After any error all that was stored is there, in one file
  /// or the other. Thread: the one of commit.
  virtual Result<CompactReport> compact(
      const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
    static_cast<void>(progress);
    return Error{Errc::invalid, "this store cannot be compacted"};
  }

  /// Streams that wait apart from their class; nullptr: this store cannot.
  virtual Parking* parking() { return nullptr; }

  virtual StoreStats stats() const = 0;
  virtual Result<std::vector<StreamStats>> stream_stats() const = 0;
  virtual std::vector<GroupStats> group_stats() const = 0;  ///< by name

  struct VerifyReport {
    std::uint64_t rows = 0, damaged_rows = 0;
    std::vector<std::string> problems;  ///< one line each, at most 100
  };
  /// Reads every row and counter. progress(done, total) may return false to end early.
  virtual Result<VerifyReport> verify(
      const std::function<bool(std::uint64_t, std::uint64_t)>& progress) const = 0;
  /// Every position, for `buffer list` and tools: owner, part, bytes.
  virtual Result<std::vector<std::array<std::string, 3>>> positions() const = 0;

  /// Marks the store clean; nothing may be called afterwards. The destructor alone leaves it
  /// unclean.
  virtual void close() = 0;
};

}  // namespace penstock::buffer
