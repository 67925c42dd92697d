#include "buffer/streams.hpp"

#include <algorithm>

namespace penstock::buffer {

Stream* Streams::find(std::string_view name) {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

Stream* Streams::find(std::uint32_t id) {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : found->second.get();
}

Stream& Streams::insert(std::uint32_t id, std::string_view name) {
  auto made = std::make_unique<Stream>();
  made->id = id;
  made->name = name;
  Stream& stream = *made;
  {
    const std::lock_guard guard(mutex_);
    by_id_.emplace(id, std::move(made));
  }
  by_name_.emplace(stream.name, &stream);
  next_id_ = std::max(next_id_, id + 1);
  return stream;
}

Stream& Streams::add(std::string_view name, Priority priority) {
  Stream& stream = insert(next_id_, name);
  stream.stored.priority = stream.next.priority = stream.wanted = priority;
  return stream;
}

std::string Streams::name_of(std::uint32_t id) const {
  const std::lock_guard guard(mutex_);
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? std::string() : found->second->name;
}

void Streams::load(const std::vector<std::pair<std::uint32_t, StreamRecord>>& records) {
  for (const auto& [id, stream] : by_id_) {
    stream->stored = {0, 0, stream->wanted};
  }
  for (const auto& [id, record] : records) {
    Stream* stream = find(id);
    if (stream == nullptr) {
      stream = &insert(id, record.name);
      stream->wanted = record.place.priority;
    }
    stream->stored = record.place;
  }
  for (const auto& [id, stream] : by_id_) {
    stream->next = stream->stored;
    stream->is_touched = false;
  }
  touched_.clear();
  forget_loss_rows();
}

void Streams::touch(Stream& stream) {
  if (stream.is_touched) return;
  stream.is_touched = true;
  touched_.push_back(&stream);
}

void Streams::publish() {
  for (Stream* stream : touched_) {
    stream->stored = stream->next;
    stream->is_touched = false;
  }
  touched_.clear();
}

void Streams::discard() {
  for (Stream* stream : touched_) {
    stream->next = stream->stored;
    stream->is_touched = false;
  }
  touched_.clear();
  forget_loss_rows();
}

void Streams::forget_loss_rows() {
  for (const auto& [id, stream] : by_id_) stream->last_loss_id = 0;
}

}  // namespace penstock::buffer
