// KeyMemory: which idempotency keys were taken, in memory and, by positions, in the buffer.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "connectors/api/connector.hpp"

namespace penstock::connectors::http {

/// 128 bits of a hash: two keys with the same one are taken for the same key.
using KeyHash = std::pair<std::uint64_t, std::uint64_t>;
KeyHash hash_of(std::string_view key);

/// Remembers the last keys, in a ring of segments. Each is a position of its own, so that a key
/// becomes durable in the same commit as its request's events, and costs some 300 bytes there.
/// Not thread-safe.
class KeyMemory {
 public:
  static constexpr std::size_t segments = 256;
  static constexpr std::size_t keys_per_segment = 16;

  /// What earlier runs have stored. Positions that are none of ours are ignored.
  void load(const Session& session);

  /// Which request (counted from 1; 0 = one of an earlier run) took the key.
  std::optional<std::uint64_t> find(const KeyHash& key) const;
  /// Puts the key, taken by `request`, into the memory and its position into `chunk`. Forgets the
  /// oldest segment when the ring is full.
  void add(const KeyHash& key, std::uint64_t request, Chunk& chunk);
  std::size_t size() const { return taken_.size(); }

 private:
  struct Segment {
    std::uint64_t generation = 0;
    std::vector<KeyHash> keys;
  };
  void begin_segment();
  static std::string part_name(std::size_t index);

  std::array<Segment, segments> ring_;
  std::size_t current_ = 0;
  std::map<KeyHash, std::uint64_t> taken_;
};

}  // namespace penstock::connectors::http
