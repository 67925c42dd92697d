// Ledger: which messages were taken and may come again.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string_view>

#include "connectors/api/connector.hpp"
#include "connectors/mqtt/packet.hpp"

namespace penstock::connectors::mqtt {

/// By packet identifier, with a hash of the content: an identifier is used again for other
/// messages.
///
/// QoS 2: from PUBLISH to PUBREL; durable as positions, in the commit that stores the message, so
/// that no crash repeats one. QoS 1: until our PUBACK has left; only in memory, since after it
/// nobody can tell a repeat from a new message. Not thread-safe.
class Ledger {
 public:
  /// session_name: broker and client identifier. What was written for another one means nothing.
  explicit Ledger(std::string_view session_name);

  /// Takes the QoS 2 half from the positions. Those that are none of ours are ignored.
  void load(const Session& session);
  /// The broker has no session of ours: nothing will come again.
  void forget_all();
  void forget_qos1() { unacknowledged_.clear(); }

  /// Whether this very message was taken before: it is to be acknowledged, not stored.
  bool has(const Publish& message) const;
  void add(const Publish& message);
  /// QoS 1: the PUBACK is on its way.
  void acknowledged(std::uint16_t id) { unacknowledged_.erase(id); }
  /// QoS 2: a PUBREL came.
  void released(std::uint16_t id);

  /// Positions of what has changed since the last call.
  void write(Chunk& chunk);

 private:
  std::uint32_t hash_of(const Publish& message) const;

  std::uint64_t seed_;
  std::map<std::uint16_t, std::uint32_t> unacknowledged_;  // QoS 1
  std::map<std::uint16_t, std::uint32_t> unreleased_;      // QoS 2
  std::set<unsigned> changed_;                             // parts of unreleased_
};

}  // namespace penstock::connectors::mqtt
