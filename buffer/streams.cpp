#include "buffer/streams.hpp"

#include <algorithm>

namespace penstock::buffer {
namespace {

/// Never below zero: a row whose key was damaged was counted and cannot be told any more.
std::uint64_t changed(std::uint64_t value, std::int64_t by) {
  if (by >= 0) return value + static_cast<std::uint64_t>(by);
  return value - std::min(value, static_cast<std::uint64_t>(-by));
}

}  // namespace

bool is_within(const RowKey& key, const Stream& stream) {
  const std::uint64_t end = stream.next.next_seq;
  return key.count <= end && key.seq <= end - key.count;
}

std::string_view group_name_of(std::string_view stream) {
  return stream.substr(0, stream.find('/'));
}

Stream* Streams::find(std::string_view name) {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

Stream* Streams::find(std::uint32_t id) {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : found->second.get();
}

Group& Streams::group(std::string_view name) {
  if (const auto found = groups_.find(name); found != groups_.end()) return *found->second;
  auto made = std::make_unique<Group>();
  made->name = name;
  Group& group = *made;
  groups_.emplace(group.name, std::move(made));
  return group;
}

const Group* Streams::find_group(std::string_view name) const {
  const auto found = groups_.find(name);
  return found == groups_.end() ? nullptr : found->second.get();
}

void Streams::set_policy(std::string_view name, const GroupPolicy& policy) {
  Group& of = group(name);
  of.policy = policy;
  of.has_policy = true;
  for (const auto& [id, stream] : by_id_) {
    if (stream->group != &of) continue;
    stream->wanted = policy.priority;
    stream->when_full = policy.when_full;
  }
  forget_searches();
}

Stream& Streams::insert(std::uint32_t id, std::string_view name) {
  auto made = std::make_unique<Stream>();
  made->id = id;
  made->name = name;
  made->group = &group(group_name_of(name));
  if (made->group->has_policy) made->when_full = made->group->policy.when_full;
  Stream& stream = *made;
  {
    const std::lock_guard guard(mutex_);
    by_id_.emplace(id, std::move(made));
    by_name_.emplace(stream.name, &stream);
  }
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

bool Streams::has(std::string_view name) const {
  const std::lock_guard guard(mutex_);
  return by_name_.count(name) != 0;
}

void Streams::load(const std::vector<std::pair<std::uint32_t, StreamRecord>>& records) {
  for (const auto& [id, stream] : by_id_) {
    stream->stored = {0, 0, stream->wanted};
  }
  for (const auto& [id, record] : records) {
    Stream* stream = find(id);
    if (stream == nullptr) {
      stream = &insert(id, record.name);
      const Group& of = *stream->group;
      stream->wanted = of.has_policy ? of.policy.priority : record.place.priority;
    }
    stream->stored = record.place;
  }
  for (const auto& [name, group] : groups_) group->stored = 0;
  for (const auto& [id, stream] : by_id_) {
    stream->next = stream->stored;
    stream->is_touched = false;
    stream->group->stored += stream->stored.account.bytes;
  }
  for (const auto& [name, group] : groups_) group->next = group->stored;
  touched_.clear();
  forget_searches();
}

void Streams::touch(Stream& stream) {
  if (stream.is_touched) return;
  stream.is_touched = true;
  touched_.push_back(&stream);
}

void Streams::add_rows(Stream& stream, std::int64_t rows, std::int64_t bytes) {
  touch(stream);
  StreamAccount& account = stream.next.account;
  account.rows = changed(account.rows, rows);
  account.bytes = changed(account.bytes, bytes);
  stream.group->next = changed(stream.group->next, bytes);
}

void Streams::publish() {
  for (Stream* stream : touched_) {
    stream->stored = stream->next;
    stream->is_touched = false;
    stream->group->stored = stream->group->next;
  }
  touched_.clear();
}

void Streams::discard() {
  for (Stream* stream : touched_) {
    stream->next = stream->stored;
    stream->is_touched = false;
    stream->group->next = stream->group->stored;
  }
  touched_.clear();
  forget_searches();
}

void Streams::forget_searches() {
  for (const auto& [id, stream] : by_id_) {
    stream->last_loss_id = 0;
    stream->losses_passed = 0;
  }
  for (const auto& [name, group] : groups_) group->searched = {};
}

}  // namespace penstock::buffer
