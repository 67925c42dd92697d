#include "tests/damage/life.hpp"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <set>

#include "agent/base/clock.hpp"
#include "buffer/continuity.hpp"
#include "buffer/crash_marker.hpp"
#include "buffer/parking.hpp"
#include "tests/buffer/request.hpp"

namespace penstock::tests::damage {
namespace {

using buffer::Priority;

constexpr Priority classes[] = {Priority::high, Priority::normal, Priority::low};
constexpr std::size_t bytes_per_read = 256 << 10;
constexpr std::size_t all_bytes = std::size_t{1} << 40;
constexpr std::string_view newer = "newer";

std::string newer_content(std::uint64_t seq) { return noise(3'000, seq); }

struct Span {
  std::uint64_t first = 0;
  std::uint64_t end = 0;
};

class Life {
 public:
  Life(buffer::Store& store, const Scene& scene) : store_(store), scene_(scene) {
    store_.on_damaged([this] { is_damaged_ = true; });
    const auto streams = store_.stream_stats();
    if (!streams.ok()) return;
    continuity_.begin(*streams);
    for (const buffer::StreamStats& stream : *streams) first_[stream.name] = stream.first_seq;
  }

  bool is_damaged() const { return is_damaged_; }

  /// false: something is wrong, and was said.
  bool check_positions() {
    for (const auto& [part, bytes] : scene_.positions) {
      const auto stored = store_.position(owner, part);
      if (!stored.ok() && stored.error().code != Errc::corrupt) return say(stored.error().text);
      if (stored.ok() && *stored && **stored != bytes && **stored != newer) {
        return say("a position is wrong: " + part);
      }
    }
    return true;
  }

  /// Purges some rows of each class and parked stream, then drops the oldest of each group. false:
  /// something is wrong, and was said.
  bool limit() {
    std::vector<buffer::RowPlace> places;
    const auto choose = [&](const Result<std::vector<buffer::Row>>& rows) {
      if (!rows.ok()) return;
      for (std::size_t i = 0; i < rows->size(); i += 3) {
        const buffer::Row& row = (*rows)[i];
        if (row.kind == buffer::RowKind::batch)
          places.push_back({row.priority, row.is_parked, row.key});
      }
    };
    for (const Priority priority : classes) choose(store_.peek_after(priority, 0, all_bytes));
    for (const std::uint32_t stream : store_.parking()->streams()) {
      choose(store_.parking()->peek_after(stream, 0, all_bytes));
    }
    // What the damage refuses here is met again below.
    static_cast<void>(store_.purge(store_.generation(), places).ok());
    for (const auto& [name, stream] : scene_.streams) {
      const std::string group = name.substr(0, name.find('/'));
      store_.set_policy(group, {stream.priority, buffer::WhenFull::drop_oldest,
                                store_.group_bytes(group) * 3 / 4});
      auto state = store_.open_stream(name, stream.priority, buffer::WhenFull::drop_oldest);
      if (!state.ok()) return say(state.error().text);
      Request request;
      request.batch(*state, 1, newer_content(state->next_seq));
      if (!commit(request.request())) return is_damaged_;
    }
    return true;
  }

  bool read_all() {
    const auto parked = store_.parking()->streams();
    parked_ = {parked.begin(), parked.end()};
    for (const Priority priority : classes) {
      std::uint64_t after = 0;
      while (const std::uint64_t last = read_some(priority, after)) {
        after = last;
        store_.acknowledge(store_.generation(), priority, last);
        if (!commit({})) return is_damaged_;
      }
      if (is_wrong_) return false;
    }
    // Rows of these have moved into the table meanwhile.
    for (const std::uint32_t stream : parked) {
      if (!read_parked(stream)) return false;
      static_cast<void>(store_.parking()->unpark(stream, store_.durable_id()));
    }
    return true;
  }

  bool store_more() {
    for (const auto& [name, stream] : scene_.streams) {
      auto state = store_.open_stream(name, stream.priority, buffer::WhenFull::block);
      if (!state.ok()) return say(state.error().text);
      const bool is_same_epoch = store_.epoch() == scene_.epoch;
      if (is_same_epoch && state->next_seq < stream.next_seq)
        return say(name + " uses numbers twice");
      Request request;
      for (int i = 0; i < 3; ++i) request.batch(*state, 1, newer_content(state->next_seq));
      request.position("part-20", std::string(newer));
      if (!commit(request.request())) return is_damaged_;
    }
    return true;
  }

  /// Whether every number that was not acknowledged was seen once, as an event or as lost.
  bool adds_up() {
    for (const auto& [name, stream] : scene_.streams) {
      std::vector<Span>& seen = seen_[name];
      std::sort(seen.begin(), seen.end(),
                [](const Span& a, const Span& b) { return a.first < b.first; });
      std::vector<Span> joined;
      for (const Span& span : seen) {
        if (joined.empty() || span.first > joined.back().end) {
          joined.push_back(span);
        } else if (span.first == joined.back().end) {
          joined.back().end = span.end;
        } else {
          return say(name + ": told as lost, and not lost, at " + std::to_string(span.first));
        }
      }
      std::size_t at = 0;
      for (const auto& [seq, row] : stream.rows) {
        if (seq < first_[name]) continue;  // acknowledged by a process before this one
        while (at < joined.size() && joined[at].end <= seq) ++at;
        if (at == joined.size() || joined[at].first > seq || joined[at].end < seq + row.count) {
          return say(name + ": numbers are missing, at " + std::to_string(seq));
        }
      }
    }
    return true;
  }
  bool has_losses() const { return has_losses_; }

 private:
  bool say(const std::string& what) {
    std::fprintf(stderr, "%s\n", what.c_str());
    is_wrong_ = true;
    return false;
  }

  /// The id of the last row that was read; 0: none, or damage, or something wrong.
  std::uint64_t read_some(Priority priority, std::uint64_t after) {
    while (!is_damaged_) {
      auto rows = store_.rows_after(priority, after, bytes_per_read);
      if (!rows.ok()) continue;
      if (rows->empty()) return 0;
      const std::uint64_t last = rows->back().key.id;
      buffer::remove_doubtful(*rows);
      const bool is_right = std::all_of(rows->begin(), rows->end(), [&](const auto& row) {
        return parked_.count(row.key.stream_id) != 0 || take(row);
      });
      return is_right ? last : 0;
    }
    return 0;
  }

  bool read_parked(std::uint32_t stream) {
    std::uint64_t after = 0;
    for (unsigned failures = 0; failures < 3;) {
      auto rows = store_.parking()->rows_after(stream, after, 1);
      if (!rows.ok()) {
        ++failures;
        continue;
      }
      if (rows->empty()) return true;
      buffer::Row& row = rows->front();
      if (row.is_damaged) row.key = continuity_.place_of_damaged(row.key);
      if (!take(row)) return false;
      after = row.key.id;
      store_.parking()->acknowledge(stream, after);
      if (!commit({})) return is_damaged_;
    }
    return true;
  }

  bool take(const buffer::Row& row) {
    const std::string name = store_.stream_name(row.key.stream_id);
    const auto stream = scene_.streams.find(name);
    if (const std::uint64_t missing = continuity_.missing_before(row.key, row.is_damaged)) {
      has_losses_ = true;
      seen_[name].push_back({row.key.seq - missing, row.key.seq});
    }
    if (row.is_damaged) {
      has_losses_ = true;
      seen_[name].push_back({row.key.seq, row.key.seq + row.key.count});
      return true;
    }
    if (stream == scene_.streams.end()) return say("a row of a stream that is none");
    if (row.kind == buffer::RowKind::loss) return take_loss(row, name, stream->second);
    if (row.key.seq >= stream->second.next_seq || store_.epoch() != scene_.epoch) {
      // Of a process before this one.
      const auto content = buffer::content_of(row);
      if (content.ok() && *content == newer_content(row.key.seq)) return true;
      return say("a row that was not stored: " + name);
    }
    const auto made = stream->second.rows.find(row.key.seq);
    const bool is_made = made != stream->second.rows.end() && made->second.count == row.key.count;
    const auto content = buffer::content_of(row);
    if (!is_made || made->second.content.empty()) return say("a row that was not stored: " + name);
    if (!content.ok() || *content != made->second.content) return say("wrong data: " + name);
    seen_[name].push_back({row.key.seq, row.key.seq + row.key.count});
    return true;
  }

  /// One that was stored, or that rows became: it covers whole ones.
  bool take_loss(const buffer::Row& row, const std::string& name, const Stream& stream) {
    const std::uint64_t end = row.key.seq + row.key.count;
    const bool is_here = store_.epoch() == scene_.epoch;
    const auto is_bound = [&](std::uint64_t seq) {
      return seq >= stream.next_seq || stream.rows.count(seq) != 0 || seq == first_[name];
    };
    const auto stats = store_.stream_stats();
    if (!stats.ok()) return say(stats.error().text);
    const auto own = std::find_if(stats->begin(), stats->end(),
                                  [&](const auto& one) { return one.name == name; });
    const bool is_given = own != stats->end() && end <= own->state.next_seq;
    if (!is_given || (is_here && !(is_bound(row.key.seq) && is_bound(end)))) {
      return say("a loss of other numbers: " + name);
    }
    seen_[name].push_back({row.key.seq, end});
    return true;
  }

  bool commit(const buffer::CommitRequest& request) {
    for (;;) {
      const auto done = store_.commit(request);
      if (done.ok()) return true;
      if (is_damaged_) return false;
      if (done.error().code == Errc::full && ++times_full_ > 100) {
        return say("full: " + done.error().text);
      }
    }
  }

  buffer::Store& store_;
  const Scene& scene_;
  std::map<std::string, std::vector<Span>> seen_;
  std::map<std::string, std::uint64_t> first_;
  std::set<std::uint32_t> parked_;
  buffer::Continuity continuity_;
  std::atomic<bool> is_damaged_ = false;
  bool is_wrong_ = false;
  unsigned times_full_ = 0;
  bool has_losses_ = false;
};

}  // namespace

Outcome live(const std::filesystem::path& directory, const Scene& scene, Use use) {
  if (!buffer::mark_crashes_in(directory).ok()) return Outcome::wrong;
  buffer::OpenReport report;
  auto store = buffer::Store::open(options_for(directory), report);
  if (!store.ok()) {
    std::fprintf(stderr, "it does not open: %s\n", store.error().text.c_str());
    return Outcome::wrong;
  }
  Life life(**store, scene);
  const bool is_new = (*store)->epoch() != scene.epoch;
  if (!life.check_positions()) return Outcome::wrong;
  if (use == Use::limit && !life.limit()) return Outcome::wrong;
  const bool is_right = life.read_all() && life.store_more() && life.read_all();
  if (life.is_damaged()) return Outcome::again;
  if (!is_right) return Outcome::wrong;
  (*store)->close();
  if (is_new) return Outcome::renewed;
  if (!life.adds_up()) return Outcome::unsound;
  return life.has_losses() ? Outcome::told : Outcome::whole;
}

}  // namespace penstock::tests::damage
