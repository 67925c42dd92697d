#include "connectors/mqtt/ledger.hpp"

#include <fmt/format.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <string>

#include "agent/base/bytes.hpp"

namespace penstock::connectors::mqtt {
namespace {

// A part "q000" … "q127" holds the identifiers of one range, so that a commit writes few of them.
constexpr unsigned ids_per_part = 512;
constexpr unsigned parts = 65'536 / ids_per_part;
constexpr char version = 1;
constexpr std::size_t entry_bytes = 6;
static_assert(1 + ids_per_part * entry_bytes <= Chunk::position_bytes_max);

std::string part_name(unsigned part) { return fmt::format("q{:03}", part); }

}  // namespace

Ledger::Ledger(std::string_view session_name)
    : seed_(::XXH3_64bits(session_name.data(), session_name.size())) {}

void Ledger::load(const Session& session) {
  unreleased_.clear();
  changed_.clear();
  for (unsigned part = 0; part < parts; ++part) {
    const auto bytes = session.resume_from(part_name(part));
    if (!bytes || bytes->size() % entry_bytes != 1 || bytes->front() != version) continue;
    for (std::size_t at = 1; at < bytes->size(); at += entry_bytes) {
      const auto id = load_le<std::uint16_t>(bytes->data() + at);
      if (id / ids_per_part != part) continue;
      unreleased_[id] = load_le<std::uint32_t>(bytes->data() + at + 2);
    }
  }
}

void Ledger::forget_all() {
  for (const auto& [id, hash] : unreleased_) changed_.insert(id / ids_per_part);
  unreleased_.clear();
  unacknowledged_.clear();
}

bool Ledger::has(const Publish& message) const {
  // Without DUP it is new, whatever an identifier says: a broker that was restored from an older
  // state gives them anew. MQTT 5.0, 3.3.1.1.
  if (!message.is_again) return false;
  const auto& known = message.qos == 2 ? unreleased_ : unacknowledged_;
  const auto found = known.find(message.id);
  return found != known.end() && found->second == hash_of(message);
}

void Ledger::add(const Publish& message) {
  if (message.qos == 1) unacknowledged_[message.id] = hash_of(message);
  if (message.qos != 2) return;
  unreleased_[message.id] = hash_of(message);
  changed_.insert(message.id / ids_per_part);
}

void Ledger::released(std::uint16_t id) {
  if (unreleased_.erase(id) > 0) changed_.insert(id / ids_per_part);
}

void Ledger::write(Chunk& chunk) {
  for (const unsigned part : changed_) {
    std::string bytes;
    const auto begin = unreleased_.lower_bound(static_cast<std::uint16_t>(part * ids_per_part));
    for (auto it = begin; it != unreleased_.end() && it->first / ids_per_part == part; ++it) {
      char entry[entry_bytes];
      store_le(entry, it->first);
      store_le(entry + 2, it->second);
      if (bytes.empty()) bytes += version;
      bytes.append(entry, sizeof entry);
    }
    chunk.position(part_name(part), bytes);
  }
  changed_.clear();
}

std::uint32_t Ledger::hash_of(const Publish& message) const {
  const std::uint64_t topic =
      ::XXH3_64bits_withSeed(message.topic.data(), message.topic.size(), seed_);
  return static_cast<std::uint32_t>(
      ::XXH3_64bits_withSeed(message.payload.data(), message.payload.size(), topic));
}

}  // namespace penstock::connectors::mqtt
