// What the brain is told (events) and what it wants done (actions).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "agent/forward/mqtt_options.hpp"
#include "buffer/store.hpp"

namespace penstock::forward {

/// A stored row, as far as the brain knows it.
struct RowRef {
  buffer::Priority priority = buffer::Priority::normal;
  std::uint64_t id = 0;
  std::uint32_t parked_stream = 0;  ///< not 0: a row of this stream in the table of parked rows
  bool operator==(const RowRef&) const = default;
};

// Events: what happened.
struct Stored {};  ///< a commit stored rows
struct StoreChanged {
  std::uint64_t generation = 0;
  std::vector<std::uint32_t> parked;  ///< streams
};
struct FetchedRow {
  std::uint64_t id = 0;
  std::uint64_t bytes = 0;   ///< held in memory
  std::uint32_t events = 0;  ///< 0 for a loss record
  std::uint32_t stream_id = 0;
  std::uint64_t seq = 0;      ///< its first number
  std::uint64_t end_seq = 0;  ///< behind its last one
};
struct Fetched {
  std::uint64_t generation = 0;
  buffer::Priority priority = buffer::Priority::normal;
  std::uint64_t after_id = 0;
  std::vector<FetchedRow> rows;
  bool is_end = false;  ///< nothing more is stored in this class now
};
struct FetchFailed {};  ///< tried again later
struct FetchedParked {
  std::uint64_t generation = 0;
  std::uint32_t stream_id = 0;
  std::uint64_t after_id = 0;
  std::optional<FetchedRow> row;
  bool has_failed = false;
};
struct Unparked {
  std::uint32_t stream_id = 0;
  bool has_ended = false;
};
struct EncodedPart {
  std::uint64_t bytes = 0;
  std::uint32_t events = 0;
};
struct Encoded {
  std::uint64_t connection = 0;
  RowRef row;
  std::vector<EncodedPart> parts;  ///< one for each message; empty only if it waits
  bool waits = false;              ///< an event is too large for this broker and not for all
};
struct LinkUp {
  std::uint64_t connection = 0;
  Limits limits;
};
struct LinkDown {
  std::uint64_t connection = 0;
  Stage stage = Stage::up;
  bool version_refused = false;
  std::uint8_t reason_code = 0;  ///< of the broker's DISCONNECT; 0: it ended without one
};
struct Acknowledged {
  std::uint64_t connection = 0;
  std::uint64_t message = 0;
  std::uint8_t reason_code = 0;
  std::int64_t at_us = 0;  ///< when it arrived
};
struct StreamRanges {
  std::uint32_t stream_id = 0;
  /// Begin and end of each range of numbers, rising; an end is behind its range.
  std::vector<std::uint64_t> bounds;
};
/// All that one of the receivers that are waited for has.
struct ReceiverVerified {
  std::uint64_t generation = 0;
  std::size_t receiver = 0;
  bool is_new_run = false;  ///< it may have missed what was on its way
  std::vector<StreamRanges> streams;
};
struct StopAsked {
  std::int64_t deadline_us = 0;
};
struct Tick {};  ///< time has passed
using Event =
    std::variant<Stored, StoreChanged, Fetched, FetchFailed, FetchedParked, Unparked, Encoded,
                 LinkUp, LinkDown, Acknowledged, ReceiverVerified, StopAsked, Tick>;

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
/// The first row of a parked stream behind after_id. Answered by FetchedParked.
struct FetchParked {
  std::uint64_t generation = 0;
  std::uint32_t stream_id = 0;
  std::uint64_t after_id = 0;
};
/// Forget all fetched rows, and unpin unless rows that were sent wait to be verified.
struct DropFetched {
  bool keeps_pins = false;
};
/// Answered by Encoded. Asked for one row at a time, in the order they are to be sent.
struct Encode {
  std::uint64_t connection = 0;
  RowRef row;
  std::uint64_t split_bytes = 0;       ///< longer messages are split at events
  std::uint64_t packet_bytes_max = 0;  ///< an event that needs more cannot be sent here
  /// What other brokers may take; an event that needs more than both becomes a loss record.
  std::uint64_t elsewhere_bytes_max = 0;
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
/// The stream's rows from this one on wait apart from their class.
struct Park {
  std::uint32_t stream_id = 0;
  std::uint64_t from_id = 0;
};
/// The row is to become a loss record, where it is parked.
struct Refuse {
  std::uint32_t stream_id = 0;
  std::uint64_t id = 0;
  std::uint8_t reason_code = 0;  ///< 0: it ended connections
};
struct AcknowledgeParked {
  std::uint64_t generation = 0;
  std::uint32_t stream_id = 0;
  std::uint64_t id = 0;
};
/// Answered by Unparked.
struct Unpark {
  std::uint32_t stream_id = 0;
  std::uint64_t moved_to = 0;
};
/// So many short lives in a row are told as what they may be: another client with our id.
inline constexpr std::uint32_t short_lives_told = 3;
/// For the log, the statistics and `_agent` events.
struct Report {
  enum class Kind : std::uint8_t {
    up,
    lost,              ///< was up, and is no longer; `value`: in a row so soon, without a reason
    failed,            ///< a connection that never came up
    protocol_guessed,  ///< MQTT 5 was closed without an answer again: MQTT 3.1.1 is tried
    retry,             ///< the next connection comes in `value` µs
    no_ack,            ///< nothing acknowledged for `value` µs: the connection is dropped
    batch_refused,     ///< with `reason_code`, the `value`th time; the connection is dropped
    smaller,     ///< connections end with a batch: from now on messages have at most `value` bytes
    batch_lost,  ///< refused for good with `reason_code` (0: poison): becomes a loss record
    stream_parked,  ///< after a refusal with `reason_code` (0: poison)
    stream_returned,
    status_refused,  ///< with `reason_code`; data goes on
    acknowledged,    ///< `events` more; `value`: round trip in µs
    back_to_first,
    verified,         ///< `events` more; `value`: rows that still wait for it
    receiver_silent,  ///< `receiver` has verified nothing for long; `value`: rows that wait
    receiver_back,    ///< something was verified again
    went_back,        ///< sends again what is not verified
    unheard,          ///< it went back in vain again and again: the connection is dropped
    finished,         ///< after a stop; `value`: rows still on their way
  };
  Kind kind = Kind::up;
  std::uint64_t connection = 0;
  std::size_t broker = 0;
  std::size_t receiver = 0;
  std::int64_t value = 0;
  std::uint64_t events = 0;
  std::uint64_t bytes = 0;  ///< no_ack: of the message that waited
  std::uint8_t reason_code = 0;
  RowRef row;
  std::uint32_t stream_id = 0;
};
using Action =
    std::variant<Connect, Disconnect, Fetch, FetchParked, DropFetched, Encode, Publish,
                 PublishStatus, Acknowledge, Park, Refuse, AcknowledgeParked, Unpark, Report>;

}  // namespace penstock::forward
