// Streams: every stream the store knows, as stored and as the transaction under way leaves it, and
// the groups that they form.
#pragma once

#include <array>
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

/// The streams whose names are alike up to the first '/'.
struct Group {
  std::string name;
  GroupPolicy policy;
  bool has_policy = false;   ///< set from outside, not only made for a stream
  std::uint64_t stored = 0;  ///< bytes of all its streams
  std::uint64_t next = 0;    ///< the same while a transaction is under way
  /// By class: no row of the group up to and with this id can be dropped.
  std::array<std::uint64_t, priority_count> searched = {};
};

struct Stream {
  std::uint32_t id = 0;
  std::string name;
  Group* group = nullptr;
  StreamPlace stored;
  StreamPlace next;  ///< differs from `stored` only while a transaction is under way
  Priority wanted = Priority::normal;
  WhenFull when_full = WhenFull::block;
  std::uint64_t last_loss_id = 0;   ///< loss row that drops came by last; 0 = none
  std::uint32_t losses_passed = 0;  ///< loss rows that they came by and left apart
  std::uint32_t losses_behind = 0;  ///< new loss rows behind its last batch, left apart
  bool is_touched = false;
};

/// Whether the stream has given these numbers.
bool is_within(const RowKey& key, const Stream& stream);

std::string_view group_name_of(std::string_view stream);

/// Thread: inside the store's turn; name_of() and has() any.
class Streams {
 public:
  /// nullptr: unknown.
  Stream* find(std::string_view name);
  Stream* find(std::uint32_t id);
  Stream& add(std::string_view name, Priority priority);
  std::string name_of(std::uint32_t id) const;
  bool has(std::string_view name) const;
  std::size_t size() const { return by_id_.size(); }
  Group& group(std::string_view name);  ///< made if it is new
  const Group* find_group(std::string_view name) const;
  /// Also for all streams of the group.
  void set_policy(std::string_view group, const GroupPolicy& policy);

  /// What is stored from now on; streams without a record are back at their beginning.
  void load(const std::vector<std::pair<std::uint32_t, StreamRecord>>& records);
  /// Marks a stream whose `next` the transaction changes.
  void touch(Stream& stream);
  /// The transaction adds rows, or takes them away (also from the stream's group).
  void add_rows(Stream& stream, std::int64_t rows, std::int64_t bytes);
  const std::vector<Stream*>& touched() const { return touched_; }
  void publish();  ///< the transaction is durable
  void discard();  ///< it never happened
  /// Searches for rows to drop begin anew: they come by all rows again.
  void forget_searches();

  template <typename Visitor>
  void for_each(Visitor visit) const {
    for (const auto& [id, stream] : by_id_) visit(*stream);
  }

 private:
  Stream& insert(std::uint32_t id, std::string_view name);

  mutable std::mutex mutex_;  // guards: by_id_ and by_name_ against name_of() and has()
  std::unordered_map<std::uint32_t, std::unique_ptr<Stream>> by_id_;
  std::unordered_map<std::string_view, Stream*> by_name_;                // views of Stream::name
  std::unordered_map<std::string_view, std::unique_ptr<Group>> groups_;  // views of Group::name
  std::vector<Stream*> touched_;
  std::uint32_t next_id_ = 1;
};

}  // namespace penstock::buffer
