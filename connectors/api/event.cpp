#include "connectors/api/event.hpp"

#include <algorithm>
#include <cstring>

#include "agent/base/assert.hpp"

namespace penstock::connectors {
namespace {

constexpr std::size_t first_block_bytes = 512;  // enough for a source that is mostly at rest
constexpr std::size_t block_bytes = 16 * 1024;

}  // namespace

std::string_view TextArena::copy(std::string_view text) {
  if (text.empty()) return {};
  while (block_index_ < blocks_.size() && blocks_[block_index_].capacity - used_ < text.size()) {
    ++block_index_;
    used_ = 0;
  }
  if (block_index_ == blocks_.size()) {
    const std::size_t usual = blocks_.empty() ? first_block_bytes : block_bytes;
    const std::size_t capacity = std::max(usual, text.size());
    blocks_.push_back({std::make_unique_for_overwrite<char[]>(capacity), capacity});
    used_ = 0;
  }
  char* out = blocks_[block_index_].data.get() + used_;
  std::memcpy(out, text.data(), text.size());
  used_ += text.size();
  size_ += text.size();
  return {out, text.size()};
}

void TextArena::clear() {
  // One large chunk must not hold its memory for ever: only blocks of the usual size are kept.
  std::erase_if(blocks_, [](const Block& block) { return block.capacity > block_bytes; });
  block_index_ = 0;
  used_ = 0;
  size_ = 0;
}

std::string_view Chunk::keep_part(std::string_view part) {
  if (!events_.empty() && events_.back().part == part) return events_.back().part;
  return arena_.copy(part);
}

void Chunk::add(std::int64_t time_unix_us, std::string_view part, std::span<const Field> fields) {
  const auto first = static_cast<std::uint32_t>(fields_.size());
  const bool same_shape = !events_.empty() && events_.back().field_count == fields.size();
  const std::size_t previous = same_shape ? events_.back().field_index : 0;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    // Neighbours mostly have the same field names, and often the same text (a path): share the
    // copy.
    Field kept;
    const Field* before = same_shape ? &fields_[previous + i] : nullptr;
    kept.name =
        before && before->name == fields[i].name ? before->name : arena_.copy(fields[i].name);
    kept.value = fields[i].value;
    if (const auto* text = std::get_if<std::string_view>(&fields[i].value)) {
      const auto* text_before = before ? std::get_if<std::string_view>(&before->value) : nullptr;
      kept.value = text_before && *text_before == *text ? *text_before : arena_.copy(*text);
    } else if (const auto* bytes = std::get_if<Bytes>(&fields[i].value)) {
      kept.value = Bytes{arena_.copy(bytes->data)};
    }
    fields_.push_back(kept);
  }
  events_.push_back(
      {time_unix_us, keep_part(part), first, static_cast<std::uint32_t>(fields.size())});
}

void Chunk::mark_cut() {
  PENSTOCK_ASSERT(!events_.empty());
  events_.back().cut = true;
}

void Chunk::position(std::string_view part, std::string_view bytes) {
  PENSTOCK_ASSERT(bytes.size() <= position_bytes_max);
  for (Position& known : positions_) {
    if (known.part == part) {
      known.bytes = arena_.copy(bytes);
      return;
    }
  }
  positions_.push_back({arena_.copy(part), arena_.copy(bytes)});
}

void Chunk::lost(std::string_view part, std::uint64_t count, LossReason reason) {
  events_.push_back({0, keep_part(part), static_cast<std::uint32_t>(fields_.size()), 0,
                     count == 0 ? 1 : count, count != 0, reason});
}

void Chunk::clear() {
  arena_.clear();
  events_.clear();
  fields_.clear();
  positions_.clear();
}

std::size_t Chunk::size() const {
  return arena_.size() + events_.size() * sizeof(Event) + fields_.size() * sizeof(Field) +
         positions_.size() * sizeof(Position);
}

}  // namespace penstock::connectors
