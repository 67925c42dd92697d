// Event, Field and Chunk: what a connector hands over.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

#include "agent/base/bytes.hpp"
#include "agent/base/wire.hpp"

namespace penstock::connectors {

/// std::monostate is a reading without a value: JSON null.
using Value = std::variant<std::monostate, bool, std::int64_t, std::uint64_t, double,
                           std::string_view, Bytes>;

struct Field {
  std::string_view name;
  Value value;
};

using penstock::LossReason;

/// Text in blocks that never move, kept for the next use by clear().
class TextArena {
 public:
  /// A copy that lives until clear().
  std::string_view copy(std::string_view text);
  void clear();
  std::size_t size() const { return size_; }

 private:
  struct Block {
    std::unique_ptr<char[]> data;
    std::size_t capacity = 0;
  };
  std::vector<Block> blocks_;
  std::size_t block_index_ = 0;
  std::size_t used_ = 0;  // bytes of the current block
  std::size_t size_ = 0;  // bytes of all copies
};

/// Events handed over in one call, and where the source stands after them. Durable whole or not at
/// all. Owns one arena: text is copied in, so views need to live only for the call; a reused chunk
/// does not allocate. Move-only. Thread: owner only.
class Chunk {
 public:
  struct Event {
    std::int64_t time_unix_us;  ///< 0: the agent stamps it
    std::string_view part;
    std::uint32_t field_index;
    std::uint32_t field_count;
    std::uint64_t lost = 0;  ///< > 0: not an event, a loss of that many
    bool exact = true;       ///< false: the size of the loss is unknown (then lost is 1)
    LossReason reason = LossReason::source;
    bool cut = false;
  };
  struct Position {
    std::string_view part;
    std::string_view bytes;
  };

  Chunk() = default;
  Chunk(Chunk&&) noexcept = default;
  Chunk& operator=(Chunk&&) noexcept = default;
  Chunk(const Chunk&) = delete;
  Chunk& operator=(const Chunk&) = delete;

  /// time_unix_us: UTC, µs since 1970; 0 = the agent stamps it when it takes the chunk.
  /// part: "" = the connector's own stream; otherwise the stream is `<connector>/<part>`, the part
  /// percent-encoded. Fields may be in any number; names need not be unique (later ones get "_").
  void add(std::int64_t time_unix_us, std::string_view part, std::span<const Field> fields);
  void add(std::int64_t time_unix_us, std::string_view part, std::initializer_list<Field> fields) {
    add(time_unix_us, part, std::span<const Field>(fields.begin(), fields.size()));
  }
  /// Marks the event added last with "cut":true: the connector shortened it (a line over its
  /// limit).
  void mark_cut();
  /// Position of `part` after all events added so far; opaque to the agent, at most 4096 bytes (a
  /// longer one is a broken invariant). "" forgets the part.
  void position(std::string_view part, std::string_view bytes);
  /// The source lost `count` events of `part` (0: unknown how many): becomes a loss record in its
  /// place.
  void lost(std::string_view part, std::uint64_t count, LossReason reason = LossReason::source);
  void clear();

  bool is_empty() const { return events_.empty() && positions_.empty(); }
  std::span<const Event> events() const { return events_; }
  std::span<const Position> positions() const { return positions_; }
  std::span<const Field> fields(const Event& event) const {
    return std::span<const Field>(fields_).subspan(event.field_index, event.field_count);
  }
  /// About how many bytes of memory the content takes: what queues are bounded by.
  std::size_t size() const;

  static constexpr std::size_t position_bytes_max = 4096;

 private:
  std::string_view keep_part(std::string_view part);

  TextArena arena_;
  std::vector<Event> events_;
  std::vector<Field> fields_;
  std::vector<Position> positions_;
};

}  // namespace penstock::connectors
