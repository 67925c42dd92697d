// What the brain is told (events) and what it wants done (actions).
#pragma once

#include <cstddef>
#include <cstdint>
#include <variant>
#include <vector>

#include "agent/forward/mqtt_options.hpp"
#include "buffer/store.hpp"

namespace penstock::forward {

/// A stored row, as far as the brain knows it.
struct RowRef {
  buffer::Priority priority = buffer::Priority::normal;
  std::uint64_t id = 0;
  bool operator==(const RowRef&) const = default;
};

// Events: what happened.
struct Stored {};  ///< a commit stored rows
struct StoreChanged {
  std::uint64_t generation = 0;
};
struct FetchedRow {
  std::uint64_t id = 0;
  std::uint64_t bytes = 0;   ///< held in memory
  std::uint32_t events = 0;  ///< 0 for a loss record
};
struct Fetched {
  std::uint64_t generation = 0;
  buffer::Priority priority = buffer::Priority::normal;
  std::uint64_t after_id = 0;
  std::vector<FetchedRow> rows;
  bool is_end = false;  ///< nothing more is stored in this class now
};
struct FetchFailed {};  ///< tried again later
struct Encoded {
  std::uint64_t connection = 0;
  RowRef row;
  std::vector<std::uint64_t> part_bytes;  ///< one for each message, never empty
};
struct LinkUp {
  std::uint64_t connection = 0;
  Limits limits;
};
struct LinkDown {
  std::uint64_t connection = 0;
  Stage stage = Stage::up;
  bool version_refused = false;
};
struct Acknowledged {
  std::uint64_t connection = 0;
  std::uint64_t message = 0;
  std::uint8_t reason_code = 0;
  std::int64_t at_us = 0;  ///< when it arrived
};
struct StopAsked {
  std::int64_t deadline_us = 0;
};
struct Tick {};  ///< time has passed
using Event = std::variant<Stored, StoreChanged, Fetched, FetchFailed, Encoded, LinkUp, LinkDown,
                           Acknowledged, StopAsked, Tick>;

// Actions: what to do now, in this order.
struct Connect {
  std::uint64_t connection = 0;
  std::size_t broker = 0;
  Protocol protocol = Protocol::v5;
};
struct Disconnect {
  std::uint64_t connection = 0;
  bool says_goodbye = false;  ///< else the broker is to publish the will
};
/// Answered by Fetched or FetchFailed. Rows up to the highest one returned are pinned with it.
struct Fetch {
  std::uint64_t generation = 0;
  buffer::Priority priority = buffer::Priority::normal;
  std::uint64_t after_id = 0;
  std::uint64_t bytes = 0;
};
struct DropFetched {};  ///< forget all fetched rows, and unpin
/// Answered by Encoded. Asked for one row at a time, in the order they are to be sent.
struct Encode {
  std::uint64_t connection = 0;
  RowRef row;
};
struct Publish {
  std::uint64_t connection = 0;
  std::uint64_t message = 0;
  RowRef row;
  std::uint32_t part = 0;  ///< the last part frees the row
};
struct PublishStatus {
  std::uint64_t connection = 0;
  std::uint64_t message = 0;
  bool is_online = true;
};
struct Acknowledge {
  std::uint64_t generation = 0;
  RowRef row;  ///< all rows of its class up to it
};
/// For the log, the statistics and `_agent` events.
struct Report {
  enum class Kind : std::uint8_t {
    up,
    lost,            ///< was up, and is no longer
    failed,          ///< a connection that never came up
    retry,           ///< the next connection comes in `value` µs
    no_ack,          ///< nothing acknowledged for ack_timeout: the connection is dropped
    batch_refused,   ///< with `reason_code`, the `value`th time; the connection is dropped
    status_refused,  ///< with `reason_code`; data goes on
    acknowledged,    ///< `events` more; `value`: round trip in µs
    back_to_first,
    finished,  ///< after a stop; `value`: rows still on their way
  };
  Kind kind = Kind::up;
  std::uint64_t connection = 0;
  std::size_t broker = 0;
  std::int64_t value = 0;
  std::uint64_t events = 0;
  std::uint8_t reason_code = 0;
  RowRef row;
};
using Action = std::variant<Connect, Disconnect, Fetch, DropFetched, Encode, Publish, PublishStatus,
                            Acknowledge, Report>;

}  // namespace penstock::forward
