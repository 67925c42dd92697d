// Desk: where the server's thread leaves decoded requests, and the connector's thread picks them
// up.
#pragma once

#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

#include "agent/base/unique_fd.hpp"
#include "connectors/http/keys.hpp"

namespace penstock::connectors::http {

/// Requests are numbered from 1 in the order they are left. All that wait are committed together.
/// Threads: leave and done_count: the server's; take, give_back and committed: the connector's.
class Desk {
 public:
  /// load: the keys of earlier runs.
  explicit Desk(const Session& session);

  enum class Answer { left, is_repeat, is_full };
  struct Left {
    Answer answer = Answer::is_full;
    std::uint64_t request =
        0;  ///< to wait for: also a repeat waits, if the first is not durable yet
  };
  /// Takes `chunk` and leaves it empty, unless it is a repeat or there is no room.
  Left leave(Chunk& chunk, std::string_view idempotency_key);
  /// Requests up to this one are durable.
  std::uint64_t durable_count() const;
  /// Readable when durable_count has risen; cleared by durable_count's reader through clear().
  int durable_fd() const { return durable_fd_.get(); }
  void clear_durable();

  /// Readable when something was left.
  int left_fd() const { return left_fd_.get(); }
  /// All that was left, in order; empty if there is nothing. Chunks come back by committed().
  std::vector<Chunk> take();
  /// Everything that was taken is durable.
  void committed(std::vector<Chunk> chunks);

  /// Beyond these, requests are refused until the buffer has taken what waits.
  static constexpr std::size_t waiting_bytes_max = 8 * 1024 * 1024;
  static constexpr std::size_t waiting_requests_max = 4096;

 private:
  mutable std::mutex mutex_;  // guards: all below but the descriptors
  std::vector<Chunk> waiting_;
  std::size_t waiting_bytes_ = 0;  // also of what was taken and is not durable
  std::size_t taken_bytes_ = 0;
  std::vector<Chunk> spares_;
  std::uint64_t left_ = 0;
  std::uint64_t taken_ = 0;
  std::uint64_t durable_ = 0;
  KeyMemory keys_;
  UniqueFd left_fd_;
  UniqueFd durable_fd_;
};

}  // namespace penstock::connectors::http
