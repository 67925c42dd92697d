// ReceiverRule: decides for each event whether it is new, a repeat, late or in conflict, and knows
// what is missing. docs/wire-format.md states the rule in words.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "agent/base/result.hpp"

namespace penstock::cli {

/// What the rule looks at. The three names are compared as bytes; they need to live for the call.
struct EventIdentity {
  std::string_view device;
  std::string_view stream;
  std::string_view epoch;
  std::uint64_t seq = 0;
  std::uint64_t lost = 0;  ///< of a loss record: how many numbers it covers
  bool is_loss_record = false;
  std::uint64_t hash = 0;  ///< of the event's bytes
};

enum class Verdict {
  fresh,      ///< above all numbers seen
  late,       ///< below the highest, but not seen before: to be taken as well
  repeat,     ///< covered already: to be dropped
  conflict,   ///< covered already, by an event with other content: to be dropped and reported
  untracked,  ///< beyond streams_max: passed on unchecked
};

/// Numbers first … first+count-1 of one stream did not come.
struct Gap {
  std::string device;
  std::string stream;
  std::string epoch;
  std::uint64_t first = 0;
  std::uint64_t count = 0;
};

struct ReceiverCounts {
  std::uint64_t streams = 0;
  std::uint64_t events = 0;  ///< fresh and late ones; loss records are counted apart
  std::uint64_t repeats = 0;
  std::uint64_t late = 0;
  std::uint64_t gaps = 0;
  std::uint64_t missing = 0;  ///< numbers inside the gaps, when they were reported
  std::uint64_t conflicts = 0;
  std::uint64_t loss_records = 0;
  std::uint64_t lost = 0;       ///< numbers that new loss records covered
  std::uint64_t untracked = 0;  ///< events of streams beyond streams_max
};

/// Per (device, stream, epoch) it keeps the number after the highest, the holes below it, and the
/// hashes of the last 4096 numbers. Loss records are compared with nothing: the same loss may come
/// again merged with its neighbour, and a number that was told as lost may have got through.
/// Thread: owner only. Memory: bounded by the settings; 32 KiB of hashes per busy stream.
class ReceiverRule {
 public:
  struct Settings {
    bool from_start = false;                 ///< else the first number seen is the baseline
    std::int64_t gap_after_us = 60'000'000;  ///< an open hole of this age is a gap
    std::size_t streams_max = 16'384;
    std::size_t holes_max = 4'096;       ///< per stream; the lowest is given up as a gap
    std::size_t hashes_max = 8'388'608;  ///< over all streams, 8 bytes each
  };

  explicit ReceiverRule(Settings settings) : settings_(settings) {}

  /// seq + max(1, lost) must not overflow. now_us: a clock that does not step.
  Verdict take(const EventIdentity& event, std::int64_t now_us);

  /// Holes that have been open for gap_after since the last call, each reported once.
  std::vector<Gap> find_gaps(std::int64_t now_us);
  /// All open holes that were not reported: nothing more will come.
  std::vector<Gap> finish();

  const ReceiverCounts& counts() const { return counts_; }

  /// Begin and end of each range that is covered, rising; of many, those around the number that
  /// came last. Appends every stream.
  struct Covered {
    std::string_view device;  ///< as the other names valid until the next call of another kind
    std::string_view stream;
    std::string_view epoch;
    std::vector<std::uint64_t> bounds;
  };
  void covered(std::size_t ranges_max, std::vector<Covered>& out) const;

  /// Everything but the counters, as lines of text.
  std::string save() const;
  /// Replaces the state by a saved one; open holes age from now_us on. corrupt: not a saved state,
  /// and nothing was changed.
  Result<void> load(std::string_view text, std::int64_t now_us);

 private:
  struct Hole {
    std::uint64_t end = 0;  // exclusive
    std::int64_t opened_us = 0;
    bool is_required = true;  // false: before the baseline
    bool was_reported = false;
  };
  struct Remembered {
    std::uint32_t seq_low = 0;
    std::uint32_t hash = 0;
  };
  struct Stream {
    std::string device;
    std::string stream;
    std::string epoch;
    std::uint64_t next = 0;               // above the highest covered number
    std::uint64_t given_up_below = 0;     // holes were forgotten there: not all of it came
    std::uint64_t touched = 0;            // the number that came last
    bool is_new = true;                   // nothing was covered yet
    std::map<std::uint64_t, Hole> holes;  // by first number; disjoint, all below next
    std::vector<Remembered> recent;       // slot = seq modulo size, a power of two
  };

  using Streams = std::unordered_map<std::string, std::unique_ptr<Stream>>;

  static std::string key_of(std::string_view device, std::string_view stream,
                            std::string_view epoch);
  static std::vector<Remembered> empty_recent(std::size_t size);
  static bool read_part(Stream& stream, const std::vector<std::string_view>& parts,
                        std::int64_t now_us);

  Stream* find_or_add(const EventIdentity& event);
  std::uint64_t cover(Stream& stream, std::uint64_t first, std::uint64_t end);
  void count_new(const EventIdentity& event, std::uint64_t numbers);
  Verdict compare(const Stream& stream, const EventIdentity& event) const;
  void remember(Stream& stream, const EventIdentity& event);
  bool grow(Stream& stream);
  void limit_holes(Stream& stream);
  void report(const Stream& stream, std::uint64_t first, Hole& hole, std::vector<Gap>& out);

  Settings settings_;
  ReceiverCounts counts_;
  Streams streams_;
  Stream* last_ = nullptr;     // of the last event: most events follow one of their own stream
  std::size_t hashes_ = 0;     // slots in all `recent`
  std::vector<Gap> given_up_;  // holes dropped by holes_max, for the next find_gaps
};

}  // namespace penstock::cli
