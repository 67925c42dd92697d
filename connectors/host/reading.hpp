// What all groups of the host connector read and write with: files of the kernel, words, rates,
// events.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.hpp"
#include "connectors/api/event.hpp"

namespace penstock::connectors::host {

/// Most items (disks, mounts, sensors …) that one group reports in one poll, and the longest name
/// of one: a hostile or broken tree cannot make a chunk grow without bound.
constexpr std::size_t items_max = 1024;
constexpr std::size_t name_bytes_max = 255;

/// Reads whole small files into one reused buffer. Thread: owner only.
class FileReader {
 public:
  static constexpr std::size_t size_max = 1 << 20;

  /// Content of `path`, valid until the next call; of a file over size_max only its whole lines up
  /// to there. Never waits for a writer (a FIFO in the tree gives an error or nothing).
  /// unavailable: names the path and the reason.
  Result<std::string_view> read(const std::string& path);

 private:
  std::string buffer_;
};

/// unavailable: the file was read, and does not look as the kernel's documents say.
Error unknown_form(std::string_view path);

/// Names in the directory, without "." and "..", sorted; at most `count_max` of them.
Result<std::vector<std::string>> list_directory(const std::string& path, std::size_t count_max);

/// Cuts `text` at newlines. A last line without one counts.
class Lines {
 public:
  explicit Lines(std::string_view text) : rest_(text) {}
  std::optional<std::string_view> next();

 private:
  std::string_view rest_;
};

/// Cuts a line at spaces and tabs.
class Words {
 public:
  explicit Words(std::string_view line) : rest_(line) {}
  std::string_view next();  ///< "" at the end
  void skip(std::size_t count);

 private:
  std::string_view rest_;
};

/// The whole of `word` as a number.
std::optional<std::uint64_t> to_uint(std::string_view word);
std::optional<std::int64_t> to_int(std::string_view word);
std::optional<double> to_double(std::string_view word);
/// Without white space at its ends.
std::string_view trimmed(std::string_view text);

/// To that many decimals: what a reader can use, and few bytes on the wire.
double rounded(double value, int decimals);
/// part of whole in percent, two decimals; 0 of nothing is 0.
double percent(double part, double whole);

/// What counters grew by since the poll before.
template <std::size_t N>
struct Growth {
  std::array<std::uint64_t, N> counts{};
  double seconds = 0;

  double per_second(std::size_t index) const {
    return rounded(static_cast<double>(counts[index]) / seconds, 2);
  }
};

/// What to do when a counter is lower than at the poll before.
enum class OnFall {
  new_baseline,  ///< the item was reset or replaced: no growth this time
  count_as_zero  ///< the kernel corrects this counter now and then
};

/// The counters of many items (disks, interfaces, cores) at the poll before. An item that was away
/// for a poll starts anew. Thread: owner only.
template <std::size_t N>
class RateTable {
 public:
  using Counts = std::array<std::uint64_t, N>;

  /// Growth of `name` since the poll before; nothing at its first sight, after a reset, or when no
  /// time has passed.
  std::optional<Growth<N>> update(std::string_view name, const Counts& counts,
                                  std::int64_t steady_us, OnFall on_fall = OnFall::new_baseline) {
    auto found = items_.find(name);
    if (found == items_.end()) {
      items_.emplace(std::string(name), Item{counts, steady_us, round_});
      return std::nullopt;
    }
    const Item before = found->second;
    found->second = Item{counts, steady_us, round_};
    if (steady_us - before.steady_us < 1000) return std::nullopt;
    Growth<N> growth;
    growth.seconds = static_cast<double>(steady_us - before.steady_us) / 1e6;
    for (std::size_t i = 0; i < N; ++i) {
      const bool fell = counts[i] < before.counts[i];
      if (fell && on_fall == OnFall::new_baseline) return std::nullopt;
      growth.counts[i] = fell ? 0 : counts[i] - before.counts[i];
    }
    return growth;
  }

  /// At the end of each poll: forgets the items that it did not see.
  void finish_round() {
    std::erase_if(items_, [this](const auto& item) { return item.second.round != round_; });
    ++round_;
  }

 private:
  struct Item {
    Counts counts;
    std::int64_t steady_us;
    std::uint64_t round;
  };
  std::map<std::string, Item, std::less<>> items_;
  std::uint64_t round_ = 0;
};

/// One poll: where groups put their events, all under one time stamp. Thread: owner only.
class Poll {
 public:
  Poll(Chunk& out, FileReader& reader, std::int64_t time_unix_us, std::int64_t steady_us)
      : out_(out), reader_(reader), time_unix_us_(time_unix_us), steady_us_(steady_us) {}

  Result<std::string_view> read(const std::string& path) { return reader_.read(path); }
  std::int64_t steady_us() const { return steady_us_; }

  /// Adds to the event in the making; texts must live until emit().
  void field(std::string_view name, Value value) { fields_.push_back({name, value}); }
  /// Ends the event: it goes to the stream `<connector>/<part>`.
  void emit(std::string_view part);

 private:
  Chunk& out_;
  FileReader& reader_;
  std::int64_t time_unix_us_;
  std::int64_t steady_us_;
  std::vector<Field> fields_;
};

}  // namespace penstock::connectors::host
