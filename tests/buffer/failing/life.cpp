#include "tests/buffer/failing/life.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "buffer/layout.hpp"
#include "buffer/parking.hpp"

namespace penstock::tests {
namespace {

using namespace buffer;
namespace fs = std::filesystem;

constexpr std::size_t everything = std::size_t{1} << 30;
constexpr int attempts_max = 12;

std::string line_of(const Row& row) {
  std::string what =
      fmt::format("loss {} {} {}", row.loss_reason, row.loss_is_exact, row.refusal_code);
  if (row.kind == RowKind::batch) {
    const auto content = content_of(row);
    what = content.ok() ? fmt::format("batch {:x}", hash_of(*content)) : content.error().text;
  }
  return fmt::format("{}+{} {}{}{}", row.key.seq, row.key.count, what,
                     row.is_parked ? " parked" : "", row.is_damaged ? " damaged" : "");
}

void see_rows(const Store& store, const Result<std::vector<Row>>& rows, Sight& sight) {
  if (!rows.ok()) return sight.problems.push_back(rows.error().text);
  for (const Row& row : *rows) {
    sight.rows[store.stream_name(row.key.stream_id)].push_back(line_of(row));
  }
}

/// Lines of batches, whether parked or not.
std::set<std::string> batches_of(const std::vector<std::string>& lines) {
  std::set<std::string> out;
  for (const std::string& line : lines) {
    if (line.find("batch") != std::string::npos) out.insert(line.substr(0, line.find(" parked")));
  }
  return out;
}

/// One operation, with what it finds and what it leaves when nothing fails.
class Trial {
 public:
  explicit Trial(const Operation& operation) : operation_(operation) {
    Life life;
    operation.begin(life);
    if (life.store) life.store->close();
    life.store.reset();
    options_ = life.options;
    if (fs::exists(file(life))) base_ = read_file(file(life));
    before_ = anew(life);
    begin(life);
    const auto done = operation.act(life);
    INFO((done.ok() ? std::string() : done.error().text));
    REQUIRE(done.ok());
    life.store.reset();
    after_ = anew(life);
    CHECK(before_.problems == std::vector<std::string>{});
    CHECK(after_.problems == std::vector<std::string>{});
    for (const NewRow& row : life.request.request().rows) {
      if (row.kind != RowKind::batch) continue;
      requested_.insert(fmt::format("{}+{} batch {:x}", row.seq, row.count, hash_of(row.value)));
    }
  }

  /// False: no call failed, since there are fewer.
  bool run(const FailingCalls& calls, bool dies) const {
    Life life;
    begin(life);
    arm(calls);
    const auto done = operation_.act(life);
    const bool has_failed = disarm() >= calls.first;
    INFO("the error: " << (done.ok() ? std::string("none") : done.error().text));
    if (!done.ok()) CHECK_FALSE(done.error().text.empty());
    if (!has_failed) CHECK(done.ok());
    if (!dies || (operation_.may_set_aside && done.ok())) {
      check_goes_on(life, done);
    } else {
      life.store.reset();
      check_whole(life, done.ok() && operation_.tells_all);
    }
    return has_failed;
  }

 private:
  static fs::path file(const Life& life) { return life.options.path / "buffer.mdb"; }

  /// The buffer as it is before, and the store open.
  void begin(Life& life) const {
    life.store.reset();
    fs::path path = life.options.path;
    life.options = options_;
    life.options.path = std::move(path);
    fs::remove_all(life.options.path);
    set_free_blocks(-1);
    if (!base_.empty()) {
      fs::create_directories(life.options.path);
      write_file(file(life), base_);
    }
    operation_.arrange(life);
  }

  /// What is there for one who comes later: the buffer is opened by a tool, so that it stays as it
  /// is.
  Sight anew(Life& life) const {
    if (!fs::exists(file(life))) return {};
    StoreOptions options = life.options;
    options.device.clear();
    OpenReport report;
    auto store = Store::open(options, report, life.clock);
    if (!store.ok()) return {{}, {}, {}, {store.error().text}};
    return sight_of(**store);
  }

  void check_goes_on(Life& life, Result<void> done) const {
    for (int attempt = 0; !done.ok() && attempt < attempts_max; ++attempt) {
      done = operation_.act(life);
    }
    INFO("tried again: " << (done.ok() ? std::string("done") : done.error().text));
    REQUIRE(done.ok());
    if (life.store) life.store->close();
    life.store.reset();
    if (life.report.reason == "quarantined") return check_quarantined(life);
    check_whole(life, operation_.tells_all);
    if (operation_.may_set_aside) commit_one(life);
  }

  /// What was taken for damaged is there as it was, and so are the positions that could be read.
  void check_quarantined(Life& life) const {
    CHECK(operation_.may_set_aside);
    const Sight born = anew(life);
    CHECK(born.problems == std::vector<std::string>{});
    for (const auto& [part, bytes] : before_.positions) {
      const auto carried = born.positions.find(part);
      if (carried != born.positions.end()) CHECK(carried->second == bytes);
    }
    check_left_behind(life);
    commit_one(life);
  }

  /// There is one directory with a file that is no more in use, and in it all that was in the
  /// buffer before.
  void check_left_behind(Life& life) const {
    int found = 0;
    const fs::path path = life.options.path;
    for (const auto& entry : fs::directory_iterator(path)) {
      if (!entry.is_directory()) continue;
      life.options.path = entry.path();
      CHECK(anew(life) == before_);
      ++found;
    }
    life.options.path = path;
    CHECK(found == 1);
  }

  /// The buffer can be used.
  void commit_one(Life& life) const {
    if (life.options.device.empty()) return;
    life.open();
    auto next = life.stream("next");
    life.commit(Request().batch(next, 1, "n"));
  }

  void check_whole(Life& life, bool is_done) const {
    const Sight sight = anew(life);
    CHECK(sight.problems == std::vector<std::string>{});
    // All of a commit is there, or nothing.
    const bool is_after = sight.next_seq == after_.next_seq && sight.positions == after_.positions;
    const bool is_before =
        sight.next_seq == before_.next_seq && sight.positions == before_.positions;
    CHECK((is_after || (!is_done && is_before)));
    if (after_.next_seq.empty() && !is_before) check_left_behind(life);
    for (const auto& [name, next] : sight.next_seq) {
      INFO("stream " << name);
      check_stream(name, sight, is_done);
    }
  }

  void check_stream(const std::string& name, const Sight& sight, bool is_done) const {
    const auto lines = [&name](const Sight& of) {
      const auto found = of.rows.find(name);
      return found == of.rows.end() ? std::vector<std::string>() : found->second;
    };
    const bool may_drop = operation_.has_drops && name.find("drop") != std::string::npos;
    if (is_done && !may_drop) {
      CHECK(lines(sight) == lines(after_));
      return;
    }
    const auto seen = batches_of(lines(sight));
    const auto before = batches_of(lines(before_));
    const auto after = batches_of(lines(after_));
    for (const std::string& line : seen) {
      INFO("there is " << line);
      CHECK((before.count(line) != 0 || requested_.count(line) != 0));
    }
    if (may_drop) return;
    for (const std::string& line : before) {
      if (after.count(line) == 0) continue;
      INFO("missing: " << line);
      CHECK(seen.count(line) != 0);
    }
  }

  const Operation& operation_;
  StoreOptions options_;
  std::string base_;
  Sight before_;
  Sight after_;
  std::set<std::string> requested_;
};

const char* name_of(Failure failure) {
  switch (failure) {
    case Failure::broken_disk: return "broken disk";
    case Failure::full_disk: return "full disk";
    case Failure::late: return "late";
    case Failure::interrupted: return "interrupted";
    case Failure::damage: return "damage";
    case Failure::full_map: return "full map";
  }
  return "";
}

}  // namespace

Sight sight_of(Store& store) {
  Sight sight;
  const auto streams = store.stream_stats();
  if (!streams.ok()) return {{}, {}, {}, {streams.error().text}};
  for (std::size_t i = 0; i < priority_count; ++i) {
    see_rows(store, store.peek_after(static_cast<Priority>(i), 0, everything), sight);
  }
  for (const StreamStats& stream : *streams) {
    sight.next_seq[stream.name] = stream.state.next_seq;
    see_rows(store, store.parking()->peek_after(stream.state.id, 0, everything), sight);
  }
  const auto positions = store.positions();
  if (!positions.ok()) return {{}, {}, {}, {positions.error().text}};
  for (const auto& one : *positions) sight.positions[one[0] + one[1]] = one[2];
  const auto verified = store.verify({});
  if (!verified.ok()) return {{}, {}, {}, {verified.error().text}};
  sight.problems.insert(sight.problems.end(), verified->problems.begin(), verified->problems.end());
  return sight;
}

void Life::acknowledge_all() {
  for (std::size_t i = 0; i < priority_count; ++i) {
    store->acknowledge(store->generation(), static_cast<Priority>(i), store->durable_id());
  }
}

std::uint64_t fail_each_call(const Operation& operation, Failure failure, std::uint64_t in_a_row,
                             std::uint64_t first, std::uint64_t step) {
  INFO(operation.name);
  const Trial trial(operation);
  std::uint64_t failed = 0;
  bool dies = false;
  for (FailingCalls calls{failure, first, in_a_row};; calls.first += step, dies = !dies) {
    INFO(name_of(failure) << ", call " << calls.first << ", in a row " << in_a_row
                          << (dies ? ", then it dies" : ""));
    if (!trial.run(calls, dies)) return failed;
    ++failed;
  }
}

}  // namespace penstock::tests
