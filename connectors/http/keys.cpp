#include "connectors/http/keys.hpp"

#include <fmt/format.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <charconv>

#include "agent/base/bytes.hpp"

namespace penstock::connectors::http {
namespace {

// A position: version (1 byte), generation (8), then each key's hash (16).
constexpr char version = 1;
constexpr std::size_t head_bytes = 9;
constexpr std::size_t key_bytes = 16;

}  // namespace

KeyHash hash_of(std::string_view key) {
  const XXH128_hash_t hash = ::XXH3_128bits(key.data(), key.size());
  return {hash.high64, hash.low64};
}

std::string KeyMemory::part_name(std::size_t index) { return fmt::format("k{:03}", index); }

void KeyMemory::load(const Session& session) {
  ring_ = {};
  taken_.clear();
  current_ = 0;
  for (std::size_t index = 0; index < segments; ++index) {
    const auto bytes = session.resume_from(part_name(index));
    if (!bytes || bytes->size() < head_bytes || bytes->front() != version) continue;
    Segment& segment = ring_[index];
    segment.generation = load_le<std::uint64_t>(bytes->data() + 1);
    for (std::size_t at = head_bytes; at + key_bytes <= bytes->size(); at += key_bytes) {
      if (segment.keys.size() == keys_per_segment) break;
      const KeyHash key{load_le<std::uint64_t>(bytes->data() + at),
                        load_le<std::uint64_t>(bytes->data() + at + 8)};
      segment.keys.push_back(key);
      taken_.emplace(key, 0);
    }
    if (segment.generation > ring_[current_].generation) current_ = index;
  }
}

std::optional<std::uint64_t> KeyMemory::find(const KeyHash& key) const {
  const auto found = taken_.find(key);
  if (found == taken_.end()) return std::nullopt;
  return found->second;
}

void KeyMemory::begin_segment() {
  const std::uint64_t generation = ring_[current_].generation + 1;
  current_ = (current_ + 1) % segments;
  for (const KeyHash& old : ring_[current_].keys) taken_.erase(old);
  ring_[current_] = {generation, {}};
}

void KeyMemory::add(const KeyHash& key, std::uint64_t request, Chunk& chunk) {
  if (ring_[current_].keys.size() == keys_per_segment) begin_segment();
  Segment& segment = ring_[current_];
  if (segment.generation == 0) segment.generation = 1;
  segment.keys.push_back(key);
  taken_[key] = request;
  std::string bytes(head_bytes + segment.keys.size() * key_bytes, '\0');
  bytes[0] = version;
  store_le(bytes.data() + 1, segment.generation);
  char* out = bytes.data() + head_bytes;
  for (const auto& [high, low] : segment.keys) {
    store_le(out, high);
    store_le(out + 8, low);
    out += key_bytes;
  }
  chunk.position(part_name(current_), bytes);
}

}  // namespace penstock::connectors::http
