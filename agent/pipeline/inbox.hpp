// Inbox: one bounded queue of chunks per connector, between the connectors' threads and intake.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.hpp"
#include "agent/pipeline/source.hpp"
#include "connectors/api/event.hpp"

namespace penstock::pipeline {

/// Positions by part.
using Positions = std::map<std::string, std::string, std::less<>>;

/// What intake takes from the queues.
enum class Taking : std::uint8_t {
  running,    ///< all but those that are held
  ending,     ///< also those that are held and cannot give it again
  giving_up,  ///< of sources that wait only those that cannot give it again
};

/// One connector's queue. Chunks are counted in the order they were pushed: durable <= taken <=
/// pushed.
struct Source {
  explicit Source(SourceOptions source_options);

  /// It would rather wait than lose anything.
  bool waits() const { return options.when_full == buffer::WhenFull::block; }
  /// Whether its chunks stay queued for now.
  bool is_held(bool is_nearly_full) const;
  bool is_left(bool is_nearly_full, Taking taking) const;

  const SourceOptions options;
  const std::string owner;  ///< of its positions in the store: "<type>\0<connector>"

  // Guarded by the inbox's mutex.
  std::deque<connectors::Chunk> queue;
  std::vector<connectors::Chunk> spares;  // cleared; their memory is used again
  std::size_t queued_bytes = 0;
  std::uint64_t pushed = 0;
  std::uint64_t taken = 0;
  std::uint64_t durable = 0;
  std::uint64_t flush_target = 0;  // a flush waits until `durable` reaches it
  Positions positions;             // durable
  bool is_closed = false;          // its session is gone; what is queued is still stored
  bool is_stopping = false;
  bool is_given_up = false;      // chunks were taken that will never be stored: no flush may say so
  bool has_pushed_last = false;  // the one chunk that is taken after stop
  std::uint32_t waiting_pushes = 0;
  std::condition_variable changed;  // room, durable or stop: waited for by its connector

  std::atomic<std::uint64_t> stored_bytes{0};  // that its rows take; kept where there is a share
  std::uint64_t taken_bytes = 0;               // of text since then; intake only

  // Written by intake, read by any.
  std::atomic<std::uint64_t> events{0};
  std::atomic<std::uint64_t> bytes{0};
  std::atomic<std::uint64_t> lost{0};
  std::atomic<std::uint64_t> cut{0};
  std::atomic<std::uint64_t> streams{0};
  std::atomic<std::int64_t> last_event_unix_us{0};
};

/// A position that became durable; "" forgets the part.
struct DurablePosition {
  Source* source = nullptr;
  std::string_view part;
  std::string_view bytes;
};

/// Threads: push, flush, sleep_for: the source's connector. take, put_back, recycle, made_durable,
/// wait: intake. Others: any. Cost: one lock per chunk; chunk memory goes round and is not freed.
class Inbox {
 public:
  explicit Inbox(std::size_t queue_bytes_max) : queue_bytes_max_(queue_bytes_max) {}
  Inbox(const Inbox&) = delete;
  Inbox& operator=(const Inbox&) = delete;

  /// The source lives until it is closed and its last chunk is durable. invalid: one of this name
  /// is open. unavailable: one of this name has chunks that are not yet durable.
  Result<Source*> open(const SourceOptions& options);
  void close(Source& source);
  void set_positions(Source& source, Positions positions);

  /// See connectors::Session. Swaps `chunk` with an empty one.
  Result<void> push(Source& source, connectors::Chunk& chunk);
  Result<void> flush(Source& source);
  /// Whether the time passed before stop was asked for.
  bool sleep_for(Source& source, std::chrono::microseconds time);
  void request_stop(Source& source);
  /// From now on nothing is taken: push and flush answer `stopped`, also those that wait.
  void shut();

  struct Taken {
    Source* source = nullptr;
    connectors::Chunk chunk;
  };
  /// The next chunk, the sources in turn; false if there is none.
  bool take(bool is_nearly_full, Taking taking, Taken& out);
  /// It was not stored after all, and is the next of its source.
  void put_back(Taken& taken);
  /// Gives the memory of a chunk back.
  void recycle(Taken& taken);
  /// All that was taken is durable, but what is put off: the chunks of sources that wait. Forgets
  /// sources that are closed and done with; `gone` receives them, as names of dead objects only.
  void made_durable(const std::vector<DurablePosition>& positions, bool is_some_put_off,
                    std::vector<const Source*>& gone);
  /// What was taken of sources that wait and is not durable will never be: their flushes fail.
  void give_up();
  /// Whether a flush waits, and every chunk that a flush waits for has been taken (but those of
  /// sources that are held back). What is put off waits for something else.
  bool is_flush_ready(bool is_nearly_full, bool is_some_put_off) const;
  /// Whether chunks are queued whose source is held.
  bool has_held(bool is_nearly_full) const;
  /// Those with a share of their own. Thread: intake, to which they stay valid until made_durable.
  std::vector<Source*> limited_sources() const;

  /// Waits for a push, a flush, a stop or wake(); at most `time`.
  void wait(std::chrono::microseconds time);
  void wake();

  std::optional<std::string> position(const Source& source, std::string_view part) const;
  std::vector<std::string> parts(const Source& source) const;
  SourceStats stats(const Source& source) const;

 private:
  bool has_room(const Source& source, std::size_t size) const;

  const std::size_t queue_bytes_max_;
  mutable std::mutex mutex_;  // guards: all below, and what Source says
  std::condition_variable work_;
  bool is_signalled_ = false;
  bool is_shut_ = false;
  std::vector<std::unique_ptr<Source>> sources_;
  std::size_t next_ = 0;  // whose turn it is
};

}  // namespace penstock::pipeline
