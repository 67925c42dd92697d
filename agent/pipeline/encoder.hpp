// Encoder: one event to the JSON text of the wire contract (docs/wire-format.md).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/wire.hpp"
#include "agent/pipeline/source.hpp"
#include "connectors/api/event.hpp"

namespace penstock::pipeline {

/// Which members tell how far the agent's clock could be trusted.
enum class ClockMembers {
  none,
  boot,      ///< boot, up_us: an event about the clock itself
  unsynced,  ///< clock, boot, up_us: stamped by the agent while its clock was not set
};

/// An event ready to be written; everything is borrowed.
struct EventView {
  std::int64_t time_unix_us = 0;
  std::uint64_t seq = 0;
  std::string_view part;  ///< "" unless the stream is shared by several parts
  bool is_cut = false;    ///< the connector has shortened it already
  ClockMembers clock = ClockMembers::none;
  std::int64_t up_us = 0;
  std::span<const connectors::Field> fields;
};

/// What the events of one connector have in common: the text of its tags, and the members' names as
/// they were written last. Thread: owner only. Cost: fields with the names of the event before are
/// compared, not renamed and escaped again.
class EventFormat {
 public:
  explicit EventFormat(const Tags& tags);

 private:
  friend class Encoder;
  struct Key {
    std::string name;  ///< as the connector gave it
    bool is_bytes = false;
    std::string quoted;  ///< as a JSON string: unique in the event
    std::string member;  ///< `,"name":`
  };

  std::string_view member(std::size_t index, const connectors::Field& field);
  void make_key(std::size_t index, std::string_view name, bool is_bytes);
  bool is_taken(std::string_view quoted, std::size_t index) const;

  std::string tags_text_;                 ///< `,"site":"plant-7"` …
  std::vector<std::string> tags_quoted_;  ///< the tags' names as JSON strings
  std::vector<Key> keys_;                 ///< only ever grows; the first `keys_used_` are valid
  std::vector<std::size_t> hashes_;       ///< of keys_[i].quoted
  std::size_t keys_used_ = 0;
};

/// Order of members: time device stream epoch seq, part, cut, clock boot up_us, tags, fields. A
/// field's name that is reserved, empty or taken gets "_" until it is free; names of bytes get
/// "_b64" first. Thread: owner only.
class Encoder {
 public:
  /// event_bytes_max: of one encoded event. The opening members and the tags are always written
  /// whole.
  Encoder(std::string_view boot, std::size_t event_bytes_max);

  /// Appends the event's JSON object. true: it was shortened, here or by the connector, and says
  /// "cut":true. Over the limit the longest texts are cut, at a character, to one common length
  /// that fits (so a single long one pays alone); if even empty texts are too many, fields are left
  /// out from the end.
  bool append(std::string& out, const EventHead& head, EventFormat& format, const EventView& event);

  static constexpr std::size_t part_bytes_max = 1024;  ///< of the member `part`

 private:
  void append_opening(std::string& out, const EventHead& head, const EventFormat& format,
                      const EventView& event, bool is_cut);
  bool append_fields(std::string& out, std::size_t end_max, EventFormat& format,
                     std::span<const connectors::Field> fields);
  void append_cut_fields(std::string& out, std::size_t end_max, EventFormat& format,
                         std::span<const connectors::Field> fields);
  std::size_t encoded_text_size(std::string_view text, std::size_t size_max);
  std::string_view fitting_prefix(std::string_view text, std::size_t size_max, std::size_t& size);

  const std::string boot_member_;  // `,"boot":"…","up_us":`
  const std::size_t event_bytes_max_;
  std::string scratch_;
  std::vector<std::size_t> text_sizes_;  // of the event being cut, per field
};

}  // namespace penstock::pipeline
