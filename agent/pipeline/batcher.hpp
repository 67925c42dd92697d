// Batcher: gathers encoded events into numbered batches, and batches into the rows of one commit.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/wire.hpp"
#include "buffer/store.hpp"

namespace penstock::pipeline {

/// The one batch shape: '[' event ',' event … ']'.
struct BatchLimits {
  std::uint32_t events_max = 500;
  std::size_t bytes_max = std::size_t{96} * 1024;  ///< with the brackets
};

/// Whether a stream's rows can be put off for want of room, and who has their events else.
enum class Waiting : std::uint8_t {
  no,
  rereadable,  ///< its source can give them again
  pushed,      ///< nobody
};

/// A loss as a row tells it.
struct Loss {
  std::uint32_t count = 1;
  LossReason reason = LossReason::source;
  bool is_exact = true;
  std::int64_t time_unix_us = 0;
};

/// Every number is given once, in order; a batch and a loss never cover the same one. What was
/// sealed does not change until clear(). Thread: owner only. Cost: no allocation per event once
/// warm; between commits it keeps buffers of at most kept_bytes_max.
class Batcher {
 public:
  using StreamIndex = std::uint32_t;
  static constexpr std::size_t kept_bytes_max = std::size_t{2} * 1024 * 1024;

  explicit Batcher(BatchLimits limits) : limits_(limits) {}

  /// state: as the store has it. head: the stream's opening members.
  StreamIndex add_stream(const buffer::StreamState& state, EventHead head,
                         Waiting waiting = Waiting::no);
  void set_waiting(StreamIndex stream, Waiting waiting) { streams_[stream].waiting = waiting; }
  std::size_t stream_count() const { return streams_.size(); }
  const EventHead& head(StreamIndex stream) const { return streams_[stream].head; }
  /// The number that the next event or loss gets.
  std::uint64_t next_seq(StreamIndex stream) const { return streams_[stream].next_seq; }

  /// Where to append the text of the stream's next event; end_event() must follow before any other
  /// call. An event longer than bytes_max - 2 becomes a batch of its own.
  std::string& begin_event(StreamIndex stream);
  void end_event(StreamIndex stream);
  /// Seals the stream's open batch, so that the loss stands in its place.
  void add_loss(StreamIndex stream, const Loss& loss);

  /// Encoded text and the cost of rows, since clear(): what a commit's size is bounded by.
  std::size_t bytes() const { return bytes_; }
  std::uint64_t event_count() const { return event_count_; }
  bool is_empty() const { return rows_.empty() && open_.empty(); }

  /// Seals every open batch, and returns all rows in order. Valid until clear() or the next event.
  std::span<const buffer::NewRow> seal_all();
  void clear();

  /// Leaves the rows of streams that wait out of what seal_all() and the counts are about, until
  /// take_back(). Only when all is sealed.
  void put_off();
  void take_back();
  bool has_put_off() const { return !put_off_.empty(); }
  struct GivenUp {
    std::uint64_t rereadable_events = 0;  ///< forgotten: their numbers are given again
    std::uint64_t lost_events = 0;
  };
  /// For what will never find room: rows that a source can give again are forgotten, batches of the
  /// others become losses, those that touch one. Then take_back(). Nothing may follow in streams
  /// whose rows were forgotten.
  GivenUp give_up_put_off(std::int64_t time_unix_us);

 private:
  static constexpr std::int32_t none = -1;
  struct Stream {
    std::uint32_t id;
    std::int32_t open = none;  // index of its batch in texts_
    std::uint64_t next_seq;
    std::uint32_t open_count = 0;
    std::size_t event_start = 0;  // in the open batch, of the event being written
    EventHead head;
    Waiting waiting = Waiting::no;
  };
  struct SealedRow {
    buffer::NewRow row;  // its value is set by seal_all(): texts_ may still move
    std::int32_t text = none;
    Waiting waiting = Waiting::no;
  };
  struct PutOffRow {
    buffer::NewRow row;
    std::string text;
    Waiting waiting = Waiting::no;
    bool is_given_up = false;  // a loss that was a batch
  };

  std::string new_text();
  void open_batch(Stream& stream, StreamIndex index);
  void move_to_next(Stream& stream, StreamIndex index);
  void seal(Stream& stream);

  const BatchLimits limits_;
  std::vector<Stream> streams_;
  std::vector<std::string> texts_;  // of this commit
  std::vector<std::string> spares_;
  std::vector<SealedRow> rows_;
  std::vector<PutOffRow> put_off_;
  std::vector<StreamIndex> open_;  // streams that opened a batch, in that order; may repeat
  std::vector<buffer::NewRow> view_;
  std::size_t bytes_ = 0;
  std::uint64_t event_count_ = 0;
};

}  // namespace penstock::pipeline
