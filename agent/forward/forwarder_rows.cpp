// The forwarder's rows: read from the store, turned into messages, acknowledged, parked.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <limits>
#include <utility>

#include "agent/forward/forwarder.hpp"

namespace penstock::forward {

/// Without those whose numbers are in doubt: they are told as missing before the next one.
Result<std::vector<buffer::Row>> Forwarder::read_rows(const Fetch& action) const {
  std::uint64_t after_id = action.after_id;
  for (;;) {
    auto rows = store_.rows_after(action.priority, after_id, action.bytes);
    if (!rows || rows->empty()) return rows;
    after_id = rows->back().key.id;
    buffer::remove_doubtful(*rows);
    if (!rows->empty()) return rows;
  }
}

/// `failed`: why nothing could be read; it is tried again, and said once until it works.
void Forwarder::note_read(const Error* failed, bool& is_unreadable) {
  if (failed != nullptr) {
    const std::string text = "the buffer cannot be read: " + failed->text;
    set_error(text);
    if (!std::exchange(is_unreadable, true)) {
      log_.error("event=buffer_unreadable reason={} text=\"tried again; nothing is skipped\"",
                 penstock::quoted(failed->text));
    }
  } else if (std::exchange(is_unreadable, false)) {
    log_.info("event=buffer_readable");
    clear_error();
  }
}

void Forwarder::perform(const Fetch& action) {
  auto rows = read_rows(action);
  note_read(rows.ok() ? nullptr : &rows.error(), rows_unreadable_);
  if (!rows || store_.generation() != action.generation) {
    pending_.push_back(FetchFailed{});
    return;
  }
  Fetched event;
  event.generation = action.generation;
  event.priority = action.priority;
  event.after_id = action.after_id;
  std::uint64_t bytes = 0;
  auto& fetched = fetched_[static_cast<std::size_t>(action.priority)];
  for (buffer::Row& row : *rows) {
    const std::uint64_t row_bytes = row.stored.size() + sizeof(buffer::Row);
    bytes += row.stored.size();
    const bool is_batch = row.kind == buffer::RowKind::batch;
    event.rows.push_back({row.key.id, row_bytes, is_batch ? row.key.count : 0, row.key.stream_id,
                          row.key.seq, row.key.seq + row.key.count});
    fetched.push_back(std::move(row));
  }
  event.is_end = event.rows.empty() || bytes < action.bytes / 2;
  pending_.push_back(std::move(event));
}

void Forwarder::perform(const FetchParked& action) {
  auto rows = store_.parking()->rows_after(action.stream_id, action.after_id, 1);
  FetchedParked event{action.generation, action.stream_id, action.after_id, std::nullopt, false};
  note_read(rows.ok() ? nullptr : &rows.error(), parked_unreadable_);
  if (!rows || store_.generation() != action.generation) {
    event.has_failed = true;
  } else if (!rows->empty()) {
    buffer::Row& row = rows->front();
    if (row.is_damaged) row.key = continuity_.place_of_damaged(row.key);
    const bool is_batch = row.kind == buffer::RowKind::batch;
    event.row = {row.key.id,       row.stored.size(), is_batch ? row.key.count : 0,
                 action.stream_id, row.key.seq,       row.key.seq + row.key.count};
    fetched_parked_ = std::move(row);
  }
  pending_.push_back(std::move(event));
}

void Forwarder::perform(const DropFetched& action) {
  continuity_.rewind();
  for (std::size_t i = 0; i < fetched_.size(); ++i) {
    fetched_[i].clear();
    if (!action.keeps_pins) store_.pin(generation_, static_cast<buffer::Priority>(i), 0);
  }
  fetched_parked_.reset();
  if (!action.keeps_pins) store_.parking()->unpin();
  encoded_.clear();
}

buffer::Row Forwarder::take_fetched(const RowRef& wanted) {
  if (wanted.parked_stream != 0) {
    PENSTOCK_ASSERT(fetched_parked_ && fetched_parked_->key.id == wanted.id);
    return *std::exchange(fetched_parked_, std::nullopt);
  }
  auto& fetched = fetched_[static_cast<std::size_t>(wanted.priority)];
  while (!fetched.empty() && fetched.front().key.id < wanted.id) fetched.pop_front();
  PENSTOCK_ASSERT(!fetched.empty() && fetched.front().key.id == wanted.id);
  buffer::Row row = std::move(fetched.front());
  fetched.pop_front();
  return row;
}

std::string Forwarder::stream_name(std::uint32_t stream_id) const {
  std::string name = store_.stream_name(stream_id);
  return name.empty() ? fmt::format("unknown/{}", stream_id) : name;
}

void Forwarder::perform(const Encode& action) {
  const buffer::Row row = take_fetched(action.row);
  const std::string stream = stream_name(row.key.stream_id);
  Limits limits = limits_;
  limits.split_bytes = action.split_bytes;
  limits.packet_bytes_max = action.packet_bytes_max;
  limits.elsewhere_bytes_max = action.elsewhere_bytes_max;
  const std::uint64_t missing = continuity_.missing_before(row.key, row.is_damaged);
  EncodedRow encoded = encoder_.encode(row, stream, limits, clock_.wall_us());
  if (encoded.waits) {
    pending_.push_back(Encoded{action.connection, action.row, {}, true});
    return;
  }
  if (missing != 0) add_missing(row.key, stream, missing, encoded);
  if (encoded.is_damaged || encoded.refused_events != 0) {
    log_.warn("event={} stream={} seq={} count={}",
              encoded.is_damaged ? "batch_damaged" : "event_too_large", penstock::quoted(stream),
              row.key.seq, encoded.is_damaged ? row.key.count : encoded.refused_events);
    const std::lock_guard lock(stats_mutex_);
    stats_.damaged_batches += encoded.is_damaged ? 1 : 0;
    stats_.refused_events += encoded.refused_events;
  }
  encoded_row_ = action.row;
  encoded_events_ = row.kind == buffer::RowKind::batch ? row.key.count : 0;
  encoded_ = std::move(encoded.messages);
  Encoded event{action.connection, action.row, {}};
  for (const OutgoingMessage& message : encoded_) {
    event.parts.push_back({packet_bytes(message, limits_.protocol), message.events});
  }
  pending_.push_back(std::move(event));
}

/// The buffer was damaged: what it does not have any more goes before what it has, as lost.
void Forwarder::add_missing(const buffer::RowKey& next, std::string_view stream,
                            std::uint64_t missing, EncodedRow& out) {
  constexpr std::uint64_t record_max = std::numeric_limits<std::int32_t>::max();
  log_.warn("event=numbers_missing stream={} seq={} count={}", penstock::quoted(stream),
            next.seq - missing, missing);
  std::vector<OutgoingMessage> messages;
  for (std::uint64_t first = next.seq - missing; first < next.seq;) {
    buffer::Row lost;
    lost.is_damaged = true;
    lost.key = {next.id, next.stream_id, first,
                static_cast<std::uint32_t>(std::min(record_max, next.seq - first))};
    for (OutgoingMessage& told :
         encoder_.encode(lost, stream, limits_, clock_.wall_us()).messages) {
      messages.push_back(std::move(told));
    }
    first += lost.key.count;
  }
  messages.insert(messages.end(), std::make_move_iterator(out.messages.begin()),
                  std::make_move_iterator(out.messages.end()));
  out.messages = std::move(messages);
  const std::lock_guard lock(stats_mutex_);
  ++stats_.damaged_batches;
}

void Forwarder::perform(const Publish& action) {
  PENSTOCK_ASSERT(encoded_row_ == action.row && action.part < encoded_.size());
  const auto published = link_.publish(action.message, std::move(encoded_[action.part]));
  if (!published) return fail_link(action.connection, published.error().text);
  if (action.part + 1 < encoded_.size()) return;
  encoded_.clear();
  const std::lock_guard lock(stats_mutex_);
  stats_.sent_events += encoded_events_;
}

void Forwarder::perform(const Acknowledge& action) {
  store_.acknowledge(action.generation, action.row.priority, action.row.id);
}

void Forwarder::perform(const Park& action) {
  store_.parking()->park(action.stream_id, action.from_id);
}

void Forwarder::perform(const Refuse& action) {
  store_.parking()->refuse(action.stream_id, action.id, action.reason_code);
}

void Forwarder::perform(const AcknowledgeParked& action) {
  if (action.generation != store_.generation()) return;
  store_.parking()->acknowledge(action.stream_id, action.id);
}

void Forwarder::perform(const Unpark& action) {
  const auto ended = store_.parking()->unpark(action.stream_id, action.moved_to);
  if (!ended) set_error(ended.error().text);
  pending_.push_back(Unparked{action.stream_id, ended.ok() && *ended});
}

}  // namespace penstock::forward
