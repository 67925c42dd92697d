// Parking: rows of streams that a broker refuses wait apart from their class, so that the class
// goes on. The contract of the store's part in it, and what it remembers of each parked stream.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include "buffer/store.hpp"

namespace penstock::buffer {

/// A stream is parked from park() to unpark(), and at start if the table has rows of it. All its
/// rows in the table come before those in its class. Thread: forwarder only, streams() any.
class Parking {
 public:
  virtual ~Parking() = default;

  virtual std::vector<std::uint32_t> streams() const = 0;
  /// From now on rows of the stream with an id of at least `from_id` are moved into the table where
  /// acknowledge() would have them trimmed. To be called before that.
  virtual void park(std::uint32_t stream_id, std::uint64_t from_id) = 0;
  /// The row will never be taken: the next commit that finds it in the table makes a loss record of
  /// it, with the reason `refused` and this code of MQTT 5.
  virtual void refuse(std::uint32_t stream_id, std::uint64_t id, std::uint8_t code) = 0;
  /// As Store::rows_after, for the table's rows of one stream.
  virtual Result<std::vector<Row>> rows_after(std::uint32_t stream_id, std::uint64_t after_id,
                                              std::size_t bytes_max) const = 0;
  /// The same without pinning. Thread: any.
  virtual Result<std::vector<Row>> peek_after(std::uint32_t stream_id, std::uint64_t after_id,
                                              std::size_t bytes_max) const = 0;
  /// The table's rows of the stream up to and with `id` are acknowledged: the next commit trims
  /// them.
  virtual void acknowledge(std::uint32_t stream_id, std::uint64_t id) = 0;
  /// As Store::pin(…, 0), for all parked streams.
  virtual void unpin() = 0;
  /// Ends the parking, unless rows are left in the table or those up to and with `moved_to` are
  /// still to be moved into it: then false.
  virtual Result<bool> unpark(std::uint32_t stream_id, std::uint64_t moved_to) = 0;
};

struct ParkedStream {
  struct Refusal {
    std::uint64_t id = 0;
    std::uint8_t code = 0;
    bool is_stored = false;
  };
  std::uint32_t stream_id = 0;
  std::uint64_t from_id = 0;  ///< rows of the class from here on are moved
  std::uint64_t acked = 0;    ///< of the table
  std::uint64_t trimmed = 0;
  std::uint64_t pinned = 0;
  std::uint64_t expires_us = 0;  ///< none of its rows expires before; 0: not known
  bool is_leaving = false;       ///< ends with the commit that trims the last rows
  std::vector<Refusal> refusals;
};

/// The parked streams in memory. Thread: any.
class ParkedStreams {
 public:
  /// A stream with rows in the table.
  void found(std::uint32_t stream_id);
  void park(std::uint32_t stream_id, std::uint64_t from_id);
  void refuse(std::uint32_t stream_id, std::uint64_t id, std::uint8_t code);
  void acknowledge(std::uint32_t stream_id, std::uint64_t id);
  void pin(std::uint32_t stream_id, std::uint64_t id);
  void unpin();
  void leave(std::uint32_t stream_id);

  std::optional<ParkedStream> find(std::uint32_t stream_id) const;
  std::vector<ParkedStream> all() const;
  /// Whether a commit without rows would do something.
  bool has_pending() const;
  /// A commit that worked with `parked` is durable. has_more: it left acknowledged rows.
  void publish(const std::vector<ParkedStream>& parked, bool has_more);

 private:
  mutable std::mutex mutex_;  // guards: streams_
  std::map<std::uint32_t, ParkedStream> streams_;
};

}  // namespace penstock::buffer
