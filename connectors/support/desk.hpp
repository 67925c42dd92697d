// Desk: where a thread that talks to peers leaves chunks, and the connector's thread picks them up.
#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

#include "agent/base/unique_fd.hpp"
#include "connectors/api/event.hpp"

namespace penstock::connectors::support {

/// For connectors that must go on talking while push or flush waits. Chunks are numbered from 1 in
/// the order they are left; all that wait are committed together.
/// Threads: has_room, leave, the counts and clear_durable: the talking one's; take and committed:
/// the connector's.
class Desk {
 public:
  Desk();

  /// Whether a chunk of this size (Chunk::size) is still to be left; a single one always is.
  bool has_room(std::size_t size) const;
  /// Takes `chunk` and leaves it empty, for reuse. Returns its number.
  std::uint64_t leave(Chunk& chunk);
  std::uint64_t left_count() const;
  /// Chunks up to this one are durable.
  std::uint64_t durable_count() const;
  /// Readable when durable_count has risen, until clear_durable().
  int durable_fd() const { return durable_fd_.get(); }
  void clear_durable();

  /// Readable when something was left.
  int left_fd() const { return left_fd_.get(); }
  /// All that was left, in order; empty if there is nothing. Chunks come back by committed().
  std::vector<Chunk> take();
  /// Everything that was taken is durable.
  void committed(std::vector<Chunk> chunks);

  static constexpr std::size_t waiting_bytes_max = 8 * 1024 * 1024;
  static constexpr std::size_t waiting_chunks_max = 4096;

 private:
  mutable std::mutex mutex_;  // guards: all below but the descriptors
  std::vector<Chunk> waiting_;
  std::size_t waiting_bytes_ = 0;  // also of what was taken and is not durable
  std::size_t taken_bytes_ = 0;
  std::vector<Chunk> spares_;
  std::uint64_t left_ = 0;
  std::uint64_t taken_ = 0;
  std::uint64_t durable_ = 0;
  UniqueFd left_fd_;
  UniqueFd durable_fd_;
};

}  // namespace penstock::connectors::support
