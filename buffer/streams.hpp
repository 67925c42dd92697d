// Streams: every stream the store knows, as stored and as the transaction under way leaves it.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "buffer/layout.hpp"

namespace penstock::buffer {

struct Stream {
  std::uint32_t id = 0;
  std::string name;
  StreamPlace stored;
  StreamPlace next;  ///< differs from `stored` only while a transaction is under way
  Priority wanted = Priority::normal;
  WhenFull when_full = WhenFull::block;
  std::uint64_t last_loss_id = 0;  ///< loss row that drops came by last; 0 = none
  bool is_touched = false;
};

/// Thread: inside the store's turn; name_of() any.
class Streams {
 public:
  /// nullptr: unknown.
  Stream* find(std::string_view name);
  Stream* find(std::uint32_t id);
  Stream& add(std::string_view name, Priority priority);
  std::string name_of(std::uint32_t id) const;
  std::size_t size() const { return by_id_.size(); }

  /// What is stored from now on; streams without a record are back at their beginning.
  void load(const std::vector<std::pair<std::uint32_t, StreamRecord>>& records);
  /// Marks a stream whose `next` the transaction changes.
  void touch(Stream& stream);
  const std::vector<Stream*>& touched() const { return touched_; }
  void publish();  ///< the transaction is durable
  void discard();  ///< it never happened
  /// Drops will come by all rows again.
  void forget_loss_rows();

  template <typename Visitor>
  void for_each(Visitor visit) const {
    for (const auto& [id, stream] : by_id_) visit(*stream);
  }

 private:
  Stream& insert(std::uint32_t id, std::string_view name);

  mutable std::mutex mutex_;  // guards: by_id_ against name_of()
  std::unordered_map<std::uint32_t, std::unique_ptr<Stream>> by_id_;
  std::unordered_map<std::string_view, Stream*> by_name_;  // views of Stream::name
  std::vector<Stream*> touched_;
  std::uint32_t next_id_ = 1;
};

}  // namespace penstock::buffer
