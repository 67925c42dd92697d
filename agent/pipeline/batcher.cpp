#include "agent/pipeline/batcher.hpp"

#include <algorithm>

#include "agent/base/assert.hpp"

namespace penstock::pipeline {
namespace {

/// What a row costs besides its text: counted so that commits of losses alone are bounded too.
constexpr std::size_t row_bytes = 64;

}  // namespace

Batcher::StreamIndex Batcher::add_stream(const buffer::StreamState& state, EventHead head,
                                         Waiting waiting) {
  streams_.push_back({.id = state.id,
                      .next_seq = state.next_seq,
                      .event_start = 0,
                      .head = std::move(head),
                      .waiting = waiting});
  return static_cast<StreamIndex>(streams_.size() - 1);
}

std::string Batcher::new_text() {
  if (spares_.empty()) return {};
  std::string text = std::move(spares_.back());
  spares_.pop_back();
  return text;
}

void Batcher::open_batch(Stream& stream, StreamIndex index) {
  texts_.push_back(new_text());
  stream.open = static_cast<std::int32_t>(texts_.size() - 1);
  stream.open_count = 0;
  open_.push_back(index);
}

std::string& Batcher::begin_event(StreamIndex index) {
  Stream& stream = streams_[index];
  if (stream.open == none) open_batch(stream, index);
  std::string& text = texts_[static_cast<std::size_t>(stream.open)];
  text += text.empty() ? '[' : ',';
  stream.event_start = text.size();
  return text;
}

void Batcher::end_event(StreamIndex index) {
  Stream& stream = streams_[index];
  const std::string& text = texts_[static_cast<std::size_t>(stream.open)];
  bytes_ += text.size() - stream.event_start + 1;
  if (text.size() + 1 > limits_.bytes_max && stream.open_count > 0) move_to_next(stream, index);
  ++event_count_;
  ++stream.next_seq;
  if (++stream.open_count == limits_.events_max) seal(stream);
}

/// The event just written was one too many for its batch: it opens the next.
void Batcher::move_to_next(Stream& stream, StreamIndex index) {
  const auto full = static_cast<std::size_t>(stream.open);
  texts_.push_back(new_text());
  texts_.back() += '[';
  texts_.back().append(texts_[full], stream.event_start);
  texts_[full].resize(stream.event_start - 1);
  seal(stream);
  stream.open = static_cast<std::int32_t>(texts_.size() - 1);
  stream.open_count = 0;
  open_.push_back(index);
}

void Batcher::seal(Stream& stream) {
  if (stream.open == none) return;
  texts_[static_cast<std::size_t>(stream.open)] += ']';
  SealedRow sealed;
  sealed.row.stream_id = stream.id;
  sealed.row.kind = buffer::RowKind::batch;
  sealed.row.seq = stream.next_seq - stream.open_count;
  sealed.row.count = stream.open_count;
  sealed.text = stream.open;
  sealed.waiting = stream.waiting;
  rows_.push_back(sealed);
  bytes_ += row_bytes;
  stream.open = none;
}

void Batcher::add_loss(StreamIndex index, const Loss& loss) {
  Stream& stream = streams_[index];
  seal(stream);
  SealedRow sealed;
  sealed.row.stream_id = stream.id;
  sealed.row.kind = buffer::RowKind::loss;
  sealed.row.seq = stream.next_seq;
  sealed.row.count = loss.count;
  sealed.row.loss_reason = static_cast<std::uint8_t>(loss.reason);
  sealed.row.loss_is_exact = loss.is_exact;
  sealed.row.time_unix_us = loss.time_unix_us;
  sealed.waiting = stream.waiting;
  rows_.push_back(sealed);
  bytes_ += row_bytes;
  stream.next_seq += loss.count;
}

std::span<const buffer::NewRow> Batcher::seal_all() {
  for (const StreamIndex index : open_) seal(streams_[index]);
  open_.clear();
  view_.clear();
  for (const SealedRow& sealed : rows_) {
    view_.push_back(sealed.row);
    if (sealed.text != none) view_.back().value = texts_[static_cast<std::size_t>(sealed.text)];
  }
  return view_;
}

void Batcher::clear() {
  PENSTOCK_ASSERT(open_.empty());
  std::size_t kept = 0;
  for (const std::string& spare : spares_) kept += spare.capacity();
  for (std::string& text : texts_) {
    if (kept + text.capacity() > kept_bytes_max) continue;
    kept += text.capacity();
    text.clear();
    spares_.push_back(std::move(text));
  }
  texts_.clear();
  rows_.clear();
  view_.clear();
  bytes_ = 0;
  event_count_ = 0;
}

void Batcher::put_off() {
  PENSTOCK_ASSERT(open_.empty());
  for (SealedRow& sealed : rows_) {
    if (sealed.waiting == Waiting::no) continue;
    PutOffRow& row = put_off_.emplace_back();
    row.row = sealed.row;
    row.waiting = sealed.waiting;
    if (sealed.text != none) row.text = std::move(texts_[static_cast<std::size_t>(sealed.text)]);
  }
  std::erase_if(rows_, [](const SealedRow& sealed) { return sealed.waiting != Waiting::no; });
  bytes_ = 0;
  event_count_ = 0;
  for (const SealedRow& sealed : rows_) {
    bytes_ += row_bytes;
    if (sealed.text == none) continue;
    bytes_ += texts_[static_cast<std::size_t>(sealed.text)].size();
    event_count_ += sealed.row.count;
  }
}

void Batcher::take_back() {
  for (PutOffRow& row : put_off_) {
    SealedRow& sealed = rows_.emplace_back();
    sealed.row = row.row;
    sealed.waiting = row.waiting;
    bytes_ += row_bytes + row.text.size();
    if (row.row.kind != buffer::RowKind::batch) continue;
    event_count_ += row.row.count;
    texts_.push_back(std::move(row.text));
    sealed.text = static_cast<std::int32_t>(texts_.size() - 1);
  }
  put_off_.clear();
}

Batcher::GivenUp Batcher::give_up_put_off(std::int64_t time_unix_us) {
  GivenUp given_up;
  std::vector<PutOffRow> losses;
  for (PutOffRow& row : put_off_) {
    const std::uint32_t events = row.row.kind == buffer::RowKind::batch ? row.row.count : 0;
    if (row.waiting == Waiting::rereadable) {
      given_up.rereadable_events += events;
      continue;
    }
    if (events == 0) {
      losses.push_back(std::move(row));
      continue;
    }
    given_up.lost_events += events;
    const auto before = std::find_if(losses.rbegin(), losses.rend(), [&](const PutOffRow& loss) {
      return loss.row.stream_id == row.row.stream_id;
    });
    // One that the source told has another reason.
    const bool is_continued = before != losses.rend() && before->is_given_up;
    if (is_continued) {
      before->row.count += row.row.count;
      continue;
    }
    PutOffRow& loss = losses.emplace_back();
    loss.row = row.row;
    loss.row.kind = buffer::RowKind::loss;
    loss.row.loss_reason = static_cast<std::uint8_t>(LossReason::buffer_full);
    loss.row.loss_is_exact = true;
    loss.row.time_unix_us = time_unix_us;
    loss.waiting = row.waiting;
    loss.is_given_up = true;
  }
  put_off_ = std::move(losses);
  return given_up;
}

}  // namespace penstock::pipeline
