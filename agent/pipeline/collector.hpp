// Collector: what intake does, without its thread: take chunks, encode them, commit them, tell who
// waits.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "agent/base/log.hpp"
#include "agent/base/result.hpp"
#include "agent/pipeline/agent_events.hpp"
#include "agent/pipeline/batcher.hpp"
#include "agent/pipeline/clock_watch.hpp"
#include "agent/pipeline/day_total.hpp"
#include "agent/pipeline/encoder.hpp"
#include "agent/pipeline/episode.hpp"
#include "agent/pipeline/inbox.hpp"
#include "agent/pipeline/intake.hpp"
#include "agent/pipeline/pace.hpp"

namespace penstock::pipeline {

/// Lets a container be searched by a string_view.
struct StringHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const {
    return std::hash<std::string_view>()(text);
  }
};

/// A commit holds whole chunks, all batches made of them and the last position of every part; it is
/// stored completely before the next chunk is taken. A commit that fails is tried again with the
/// same bytes, and nothing else happens meanwhile. But when it is refused for want of room, what
/// came from sources that wait is put off: the others go on, and it is offered again after a while.
///
///   collecting --due, full or flush--> committing --ok--> collecting
///                                       ^  |  | full: without what is put off
///                                       +--+--+ failed: after a back-off
///
/// Threads: stats and agent_events: any. The rest: one.
class Collector {
 public:
  Collector(const IntakeOptions& options, buffer::Store& store, Inbox& inbox, const Clock& clock);
  Collector(const Collector&) = delete;
  Collector& operator=(const Collector&) = delete;

  AgentEvents& agent_events() { return agent_events_; }
  IntakeStats stats() const;

  /// Takes what is queued and commits if that is due. Returns after how long it must be called
  /// again at the latest; 0: at once. Blocks in the store only.
  std::chrono::microseconds step();
  /// Stores what is queued, for the last time. A commit that fails is tried `attempts_max` times,
  /// `pause` apart. What finds no room then and cannot be given again becomes a loss of its stream.
  /// unavailable: something that was taken is not durable.
  Result<void> finish(int attempts_max, std::chrono::milliseconds pause);

 private:
  struct Route {
    Batcher::StreamIndex stream = 0;
    bool is_shared = false;  ///< the part has no stream of its own
  };
  template <typename T>
  using ByText = std::unordered_map<std::string, T, StringHash, std::equal_to<>>;

  /// What is kept for a source from one chunk to the next.
  struct Lane {
    explicit Lane(Source& lane_source, const Tags& tags) : source(&lane_source), format(tags) {}
    Source* source;
    EventFormat format;
    ByText<Batcher::StreamIndex> parts;
    std::size_t part_streams = 0;  // of parts that the store has, from earlier runs too
    bool has_told_full = false;    // that parts get no stream of their own any more
    bool has_own_stream = false;
    Batcher::StreamIndex own_stream = 0;
    ByText<std::string> positions;  // of this commit
  };

  // collector.cpp
  bool is_full() const { return batcher_.bytes() + position_bytes_ >= options_.commit_bytes; }
  Result<void> collect(Taking taking);
  Result<void> collect_own();
  Result<void> add_clock_change(const ClockChange& change);
  Result<void> add(Lane& lane, const connectors::Chunk& chunk, ClockMembers clock);
  Result<void> find_routes(Lane& lane, const connectors::Chunk& chunk);
  Result<Route> route_of(Lane& lane, std::string_view part);
  void count_streams(Lane& lane);
  bool may_open(Lane& lane, std::string_view part);
  Result<Batcher::StreamIndex> open_stream(Lane& lane, std::string_view part);
  void encode(Lane& lane, const connectors::Chunk& chunk, ClockMembers clock);
  void add_positions(Lane& lane, const connectors::Chunk& chunk);
  Lane& lane_of(Source& source);

  // collector_commit.cpp
  void look_at_store();
  bool is_flush_ready() const { return inbox_.is_flush_ready(is_holding_back_, is_put_off_); }
  bool is_commit_due();
  void begin_commit();
  void gather();
  bool try_commit();
  void put_off(const Error& error);
  void store_failed(const Error& error);
  void tell_failure(const Error& error);
  void tell_whether_over();
  void tell_whether_slow(std::int64_t took_us, std::int64_t now_us);
  void commit_succeeded(const buffer::CommitReport& report, std::int64_t began_us);
  void publish_positions();
  void tell_losses(const buffer::CommitReport& report);
  std::chrono::microseconds time_to_next_step();

  // collector_finish.cpp
  Result<void> store_rest(int attempts_max, std::chrono::milliseconds pause);
  Result<void> give_up();
  std::uint64_t give_up_put_off();
  Error not_stored() const;

  const IntakeOptions options_;
  buffer::Store& store_;
  Inbox& inbox_;
  const Clock& clock_;
  Log log_{"intake"};
  AgentEvents agent_events_;
  ClockWatch clock_watch_;
  Encoder encoder_;
  Batcher batcher_;
  CommitPace pace_;

  Source agent_source_;
  std::unordered_map<const Source*, std::unique_ptr<Lane>> lanes_;
  ByText<Batcher::StreamIndex> streams_;  // all that were opened, by name
  std::size_t stream_count_ = 0;          // that the store has, from earlier runs too
  std::vector<Route> routes_;             // of the chunk being encoded, per event
  Inbox::Taken taken_;
  connectors::Chunk own_chunk_;             // the agent's events that are not yet encoded
  std::vector<ClockChange> clock_changes_;  // not yet told
  bool is_holding_back_ = false;

  // Of the commit being collected or repeated.
  std::size_t position_bytes_ = 0;
  std::uint64_t chunks_ = 0;  // of sources that do not wait
  std::uint64_t waiting_chunks_ = 0;
  bool is_committing_ = false;
  bool is_stretched_ = false;
  std::span<const buffer::NewRow> rows_;
  std::vector<buffer::NewPosition> new_positions_;

  std::uint32_t failures_ = 0;  // of the store, in a row
  std::int64_t retry_us_ = 0;   // nothing is done before
  Episode failing_;
  Episode nearly_full_;
  Episode slow_;
  std::uint64_t episode_failures_ = 0;
  unsigned told_failures_ = 0;  // of this episode: a bit for each Errc
  // What came from sources that wait is left out of commits, and offered again from then on.
  bool is_put_off_ = false;
  std::uint32_t put_offs_ = 0;  // in a row
  std::int64_t offer_us_ = 0;
  std::uint64_t untold_dropped_ = 0;
  std::uint64_t untold_expired_ = 0;
  std::int64_t losses_told_us_ = 0;

  mutable std::mutex stats_mutex_;  // guards: all below
  IntakeStats stats_;
  DayTotal written_;
};

}  // namespace penstock::pipeline
