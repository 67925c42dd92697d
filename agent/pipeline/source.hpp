// What intake is told about a connector, and what it counts for it.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "buffer/store.hpp"

namespace penstock::pipeline {

using Tags = std::map<std::string, std::string>;

/// How a connector's events are numbered, tagged and kept.
struct SourceOptions {
  std::string name;  ///< of the connector: also its stream, and the first part of its other streams
  std::string type;
  /// block: it waits when the buffer is nearly full or its share is used up, and its batches are
  /// never dropped. Otherwise its oldest, or its new ones, may become loss records.
  buffer::WhenFull when_full = buffer::WhenFull::drop_oldest;
  /// What was not stored it gives again after the next start; else what it pushed is nowhere else.
  bool is_rereadable = false;
  Tags tags;  ///< besides the agent's; the same name wins over the agent's
  /// Distinct parts that get a stream of their own, those that the store has from earlier runs
  /// among them; later ones share the connector's own stream and carry the member `part`.
  std::uint32_t streams_max = 4096;
  buffer::Priority priority = buffer::Priority::normal;
  std::uint64_t share_bytes_max = 0;  ///< that its rows may take of the buffer; 0: all of it
};

/// Counted since the session was opened. Events, bytes, lost and cut count what was taken from the
/// queue, durable or about to be.
struct SourceStats {
  std::string name;
  std::string type;
  std::uint64_t chunks = 0;
  std::uint64_t events = 0;  ///< without losses
  std::uint64_t bytes = 0;   ///< of encoded events
  std::uint64_t lost = 0;    ///< numbers given to losses that the source told
  std::uint64_t cut = 0;     ///< events that were shortened
  std::uint64_t streams = 0;
  std::int64_t last_event_unix_us = 0;  ///< when the last event was taken; 0: none yet
  std::uint64_t queued_chunks = 0;
  std::uint64_t queued_bytes = 0;  ///< memory of the queued chunks
  bool is_waiting = false;         ///< a push is blocked
};

}  // namespace penstock::pipeline
