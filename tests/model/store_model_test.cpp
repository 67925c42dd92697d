// Drives a store with random steps and compares it with StoreModel after each. Arguments:
// [seeds [steps [first seed]]]; prints the seed of a failure, shortens its steps and prints them.
#include <fmt/core.h>

#include <cstdlib>
#include <filesystem>
#include <random>
#include <set>

#include "buffer/faults.hpp"
#include "buffer/streams.hpp"
#include "tests/buffer/request.hpp"
#include "tests/model/store_model.hpp"
#include "tests/support/fake_clock.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::tests {
namespace {

using namespace buffer;

enum class Kind {
  append,
  mixed,
  overload,
  acknowledge,
  pin,
  unpin,
  position,
  fault,
  reopen,
  policy,
  trim
};
constexpr std::pair<Kind, const char*> kinds[] = {
    {Kind::append, "append"},     {Kind::mixed, "append to many"},
    {Kind::overload, "overload"}, {Kind::acknowledge, "acknowledge"},
    {Kind::pin, "pin"},           {Kind::unpin, "unpin"},
    {Kind::position, "position"}, {Kind::fault, "commit fails"},
    {Kind::reopen, "reopen"},     {Kind::policy, "policy"},
    {Kind::trim, "trim"}};
constexpr const char* names[] = {"wait", "wait/2", "old", "old/2", "new", "new/2"};
constexpr const char* groups[] = {"wait", "old", "new"};
constexpr std::chrono::seconds max_age{25};

struct Step {
  Kind kind;
  std::uint32_t a, b, c;
};

std::vector<Step> random_steps(std::uint64_t seed, std::size_t count) {
  std::mt19937_64 random(seed);
  constexpr Kind weighted[] = {Kind::append,      Kind::append,   Kind::append, Kind::append,
                               Kind::append,      Kind::overload, Kind::mixed,  Kind::mixed,
                               Kind::acknowledge, Kind::pin,      Kind::unpin,  Kind::acknowledge,
                               Kind::position,    Kind::fault,    Kind::fault,  Kind::reopen,
                               Kind::policy,      Kind::trim};
  std::vector<Step> steps(count);
  for (Step& step : steps) {
    step = {weighted[random() % std::size(weighted)], static_cast<std::uint32_t>(random()),
            static_cast<std::uint32_t>(random()), static_cast<std::uint32_t>(random())};
  }
  return steps;
}

/// One store beside its model. Every step is valid at any time.
class Run {
 public:
  explicit Run(std::uint64_t seed) {
    // Half of the runs know ages.
    if (seed % 2 == 0) options_.max_age_us = std::chrono::microseconds(max_age).count();
    model_.set_max_age(static_cast<std::uint64_t>(options_.max_age_us));
    options_.path = dir_ / "buffer";
    options_.max_size = max_size_min;
    options_.preallocate = false;
    options_.device = "model";
    faults_.before_commit = [this] { return take(fail_before_); };
    faults_.after_commit = [this] { return take(fail_after_); };
    faults_.reopen = [this] { return take(fail_reopen_); };
  }

  /// "" or what is wrong.
  std::string play(const std::vector<Step>& steps) {
    if (auto wrong = open(); !wrong.empty()) return wrong;
    for (std::size_t i = 0; i < steps.size(); ++i) {
      clock_.advance(std::chrono::seconds(1));
      if (auto wrong = play(steps[i]); !wrong.empty()) return fmt::format("step {}: {}", i, wrong);
    }
    const auto verified = store_->verify({});
    if (!verified.ok()) return verified.error().text;
    return verified->problems.empty() ? "" : "verify: " + verified->problems.front();
  }

  std::uint64_t joined() const { return model_.joined(); }

 private:
  static bool take(int& left) { return left > 0 && left-- > 0; }

  std::string open() {
    store_.reset();
    OpenReport report;
    auto opened = open_with_faults(options_, report, clock_, faults_);
    if (!opened.ok()) return "open: " + opened.error().text;
    store_ = *std::move(opened);
    model_.reopen();
    boot_base_us_ = clock_.boot_us();
    for (const char* name : names) {
      ModelStream& stream = model_.stream(name);
      if (stream.id == 0 && name[0] == 'o') stream.when_full = WhenFull::drop_oldest;
      if (stream.id == 0 && name[0] == 'n') stream.when_full = WhenFull::drop_newest;
      store_->set_policy(name, {stream.wanted, stream.when_full, stream.share});
      const auto state = store_->open_stream(name, stream.wanted, stream.when_full);
      if (!state.ok()) return "open_stream: " + state.error().text;
      stream.id = state->id;
      if (state->next_seq != stream.next_seq) {
        return fmt::format("stream {} goes on at {}, not at {}", name, state->next_seq,
                           stream.next_seq);
      }
    }
    return check(nullptr);
  }

  std::string play(const Step& step) {
    const std::size_t index = step.a % priority_count;
    switch (step.kind) {
      case Kind::append:
        add_rows(names[step.a % std::size(names)], step.b, step.c);
        return commit();
      case Kind::mixed:
        for (std::uint32_t i = 0; i < std::size(names); ++i) {
          add_rows(names[i], step.b + i, step.c >> (4 * i));
        }
        return commit();
      case Kind::overload:
        overload(names[step.a % std::size(names)], step.b, step.c);
        return commit();
      case Kind::acknowledge: {
        const std::uint64_t id = model_.id_of(index, step.b % 8);
        store_->acknowledge(store_->generation(), static_cast<Priority>(index), id);
        model_.acknowledge(index, id);
        return "";
      }
      case Kind::pin: {
        const std::uint64_t id = model_.id_of(index, step.b);
        if (id == 0) return "";
        store_->pin(store_->generation(), static_cast<Priority>(index), id);
        model_.pin(index, id);
        return "";
      }
      case Kind::unpin:
        store_->pin(store_->generation(), static_cast<Priority>(index), 0);
        model_.pin(index, 0);
        return "";
      case Kind::position:
        positions_.emplace_back(fmt::format("part{}", step.a % 5),
                                step.b % 4 == 0 ? "" : std::to_string(step.b));
        return commit();
      case Kind::fault:
        (step.a % 2 == 0 ? fail_before_ : fail_after_) = 1 + static_cast<int>(step.a / 2 % 3);
        fail_reopen_ = static_cast<int>(step.a / 8 % 3);
        add_rows(names[step.b % std::size(names)], step.b, step.c);
        positions_.emplace_back("part0", std::to_string(step.c));
        return commit();
      case Kind::reopen: return reopen(step.a % 2 == 0);
      case Kind::policy: return change_policy(step);
      case Kind::trim: return commit();
    }
    return "unknown step";
  }

  std::string change_policy(const Step& step) {
    if (step.a % 2 == 0) {
      const char* name = names[step.b % std::size(names)];
      ModelStream& stream = model_.stream(name);
      stream.wanted = static_cast<Priority>(step.c % priority_count);
      const auto state = store_->open_stream(name, stream.wanted, stream.when_full);
      return state.ok() ? "" : state.error().text;
    }
    constexpr std::uint64_t shares[] = {0, 0, 150'000, 400'000};
    const std::string group = groups[step.b % std::size(groups)];
    GroupPolicy policy;
    policy.priority = static_cast<Priority>(step.c % priority_count);
    policy.when_full = static_cast<WhenFull>(step.a / 2 % 3);
    policy.share_bytes_max = shares[step.a / 8 % std::size(shares)];
    store_->set_policy(group, policy);
    for (const std::string& name : {group, group + "/2"}) {
      ModelStream& stream = model_.stream(name);
      stream.wanted = policy.priority;
      stream.when_full = policy.when_full;
      stream.share = policy.share_bytes_max;
    }
    return "";
  }

  std::uint64_t buffer_now() const {
    return last_commit_us_ + static_cast<std::uint64_t>(clock_.boot_us() - boot_base_us_);
  }

  void note_commit(std::vector<ModelRow> rows) {
    const std::uint64_t now = buffer_now();
    model_.commit(std::move(rows), now);
    last_commit_us_ = now;
    boot_base_us_ = clock_.boot_us();
  }

  std::string reopen(bool is_closing) {
    if (is_closing) {
      const bool commits = store_->stats().commits > 0 || store_->has_pending_trims();
      store_->close();
      if (commits) note_commit({});  // closing trims what was acknowledged
    }
    return open();
  }

  StreamState& next_of(const char* name) {
    const ModelStream& stream = model_.stream(name);
    StreamState& at = next_[name];
    if (at.id == 0) at = {stream.id, stream.next_seq, stream.priority};
    return at;
  }

  void add_loss(StreamState& at, std::uint32_t count, bool is_exact) {
    ModelRow row{0, at.id, at.next_seq, count, RowKind::loss, 0, is_exact, {}};
    row.loss_reason = static_cast<std::uint8_t>(LossReason::source);
    request_.loss(at, count, LossReason::source, is_exact);
    rows_.push_back(std::move(row));
  }

  /// Batches, and before each what the source lost.
  void overload(const char* name, std::uint32_t shape, std::uint32_t seed) {
    StreamState& at = next_of(name);
    const bool is_exact = shape % 4 != 0;
    for (std::uint32_t i = 0; i < 4 + shape / 4 % 16; ++i) {
      add_loss(at, is_exact ? 3 : 1, is_exact);
      ModelRow row{0, at.id, at.next_seq, 10, RowKind::batch, 0, true, {}};
      row.content = std::make_shared<const std::string>(noise(2'100, seed + i));
      request_.batch(at, 10, *row.content);
      rows_.push_back(std::move(row));
    }
  }

  void add_rows(const char* name, std::uint32_t shape, std::uint32_t seed) {
    StreamState& at = next_of(name);
    const std::uint32_t rows = 1 + shape % 4;
    for (std::uint32_t i = 0; i < rows; ++i) {
      const std::uint32_t count = 1 + (shape >> 4) % 7;
      if ((shape >> 8) % 8 == i) {
        const bool is_exact = (shape >> 11) % 4 != 0;
        add_loss(at, is_exact ? count : 1, is_exact);
        continue;
      }
      ModelRow row{0, at.id, at.next_seq, count, RowKind::batch, 0, true, {}};
      constexpr std::uint32_t sizes[] = {10, 500, 1900, 2100, 20'000, 60'000, 90'000, 120'000};
      row.content = std::make_shared<const std::string>(
          noise(sizes[(shape >> 13) % std::size(sizes)], seed + i));
      request_.batch(at, count, *row.content);
      rows_.push_back(std::move(row));
    }
  }

  /// Commits what was added, again and again as long as the store asks for it.
  std::string commit() {
    std::uint64_t request_bytes = 0;
    for (const ModelRow& row : rows_) request_bytes += row.content ? row.content->size() : 0;
    largest_request_ = std::max(largest_request_, request_bytes);
    for (const auto& [part, bytes] : positions_) request_.position(part, bytes);
    const std::uint64_t durable_before = store_->durable_id();
    CommitReport report;
    std::string wrong;
    bool is_full = false;
    for (int attempt = 0;; ++attempt) {
      const auto done = store_->commit(request_.request());
      if (done.ok()) {
        note_commit(std::move(rows_));
        for (const auto& [part, bytes] : positions_) model_.positions()[part] = bytes;
        report = *done;
        break;
      }
      if (store_->durable_id() != durable_before) return "published what failed";
      if (done.error().code == Errc::full) {
        wrong = check_full();
        is_full = true;
        break;
      }
      if (done.error().code != Errc::unavailable || attempt > 12) return done.error().text;
    }
    fail_before_ = fail_after_ = fail_reopen_ = 0;
    groups_committed_.clear();
    for (const auto& [name, state] : next_) {
      if (!is_full) groups_committed_.insert(std::string(group_name_of(name)));
    }
    rows_.clear();
    positions_.clear();
    request_ = Request();
    next_.clear();
    if (!wrong.empty()) return wrong;
    return is_full ? commit_trims() : check(&report);
  }

  /// What was acknowledged goes also when nothing else fits.
  std::string commit_trims() {
    const auto done = store_->commit({});
    if (!done.ok()) return "commit of trims: " + done.error().text;
    note_commit({});
    return check(&*done);
  }

  std::string check_full() {
    if (rows_.empty()) return "full without rows";
    std::uint64_t wanted = 0;
    for (const ModelRow& row : rows_) wanted += row.content ? row.content->size() : 0;
    if (store_->stats().live_bytes + wanted < max_size_min * 3 / 4) return "full, with room left";
    return "";
  }

  /// nullptr: after a reopening, which nothing is reported of.
  std::string check(const CommitReport* report) {
    std::array<std::vector<Row>, priority_count> read;
    for (std::size_t i = 0; i < priority_count; ++i) {
      const auto priority = static_cast<Priority>(i);
      auto rows = store_->peek_after(priority, 0, std::size_t{1} << 30);
      if (!rows.ok()) return rows.error().text;
      read[i] = *std::move(rows);
    }
    ModelReport told;
    if (report != nullptr) {
      told = {{report->dropped_rows, report->dropped_events},
              {report->expired_rows, report->expired_events}};
    }
    std::string wrong = model_.check(read, report == nullptr ? nullptr : &told);
    if (!wrong.empty()) return wrong;
    const auto stats = store_->stream_stats();
    if (!stats.ok()) return stats.error().text;
    if (wrong = model_.check_accounts(*stats); !wrong.empty()) return wrong;
    if (report != nullptr) wrong = check_limits();
    if (!wrong.empty()) return wrong;
    // A request beside no other rows is taken whatever its size.
    if (store_->stats().live_bytes > std::max(max_size_min, largest_request_ + 200'000)) {
      return fmt::format("larger than allowed: {} bytes", store_->stats().live_bytes);
    }
    for (const auto& [part, bytes] : model_.positions()) {
      const auto stored = store_->position(owner, part);
      if (!stored.ok()) return stored.error().text;
      if (stored->value_or("") != bytes) return "another position of " + part;
    }
    return "";
  }

  std::string check_limits() {
    for (const GroupStats& group : store_->group_stats()) {
      if (groups_committed_.count(group.name) == 0) continue;
      if (auto wrong = model_.check_share(group.name, group.bytes); !wrong.empty()) return wrong;
    }
    return model_.check_ages();
  }

  TempDir dir_;
  FakeClock clock_;
  Faults faults_;
  int fail_before_ = 0;
  int fail_after_ = 0;
  int fail_reopen_ = 0;
  StoreOptions options_;
  std::unique_ptr<Store> store_;
  StoreModel model_;
  std::set<std::string> groups_committed_;  // that the commit had rows of
  std::uint64_t largest_request_ = 0;
  std::uint64_t last_commit_us_ = 0;  // buffer time
  std::int64_t boot_base_us_ = 0;
  Request request_;
  std::map<std::string, StreamState> next_;
  std::vector<ModelRow> rows_;
  std::vector<std::pair<std::string, std::string>> positions_;
};

std::uint64_t joined = 0;  // losses of several kinds, in all runs

std::string play(std::uint64_t seed, const std::vector<Step>& steps) {
  Run run(seed);
  const std::string wrong = run.play(steps);
  joined += run.joined();
  return wrong;
}

/// Removes chunks of steps, ever smaller ones, as long as what is left still fails.
std::vector<Step> shortened(std::uint64_t seed, std::vector<Step> steps) {
  for (std::size_t chunk = steps.size() / 2; chunk > 0; chunk /= 2) {
    for (std::size_t start = 0; start < steps.size();) {
      std::vector<Step> fewer = steps;
      const auto from = fewer.begin() + static_cast<std::ptrdiff_t>(start);
      const auto size = static_cast<std::ptrdiff_t>(std::min(chunk, fewer.size() - start));
      fewer.erase(from, from + size);
      if (play(seed, fewer).empty()) {
        start += chunk;
      } else {
        steps = std::move(fewer);
      }
    }
  }
  return steps;
}

int report_failure(std::uint64_t seed, const std::vector<Step>& steps, const std::string& wrong) {
  fmt::print("seed {}, {} steps: {}\n", seed, steps.size(), wrong);
  const std::vector<Step> few = shortened(seed, steps);
  fmt::print("{} steps are enough: {}\n", few.size(), play(seed, few));
  for (const Step& step : few) {
    const auto found = std::find_if(std::begin(kinds), std::end(kinds),
                                    [&](const auto& entry) { return entry.first == step.kind; });
    fmt::print("  {:16} {:#010x} {:#010x} {:#010x}\n", found->second, step.a, step.b, step.c);
  }
  return 1;
}

}  // namespace
}  // namespace penstock::tests

int main(int argc, char** argv) {
  using namespace penstock::tests;
  const auto argument = [&](int i, std::uint64_t otherwise) {
    return argc > i ? std::strtoull(argv[i], nullptr, 10) : otherwise;
  };
  const std::uint64_t seeds = argument(1, 200);
  const std::uint64_t step_count = argument(2, 60);
  const std::uint64_t first_seed = argument(3, 1);
  // Syncs are not what is tested here, and memory has none.
  if (std::getenv("TMPDIR") == nullptr && std::filesystem::is_directory("/dev/shm")) {
    ::setenv("TMPDIR", "/dev/shm", 1);
  }
  for (std::uint64_t seed = first_seed; seed < first_seed + seeds; ++seed) {
    const auto steps = random_steps(seed, step_count);
    const std::string wrong = play(seed, steps);
    if (!wrong.empty()) return report_failure(seed, steps, wrong);
  }
  if (seeds >= 100 && joined == 0) {
    fmt::print("no losses of several kinds became one: that was not tried\n");
    return 1;
  }
  fmt::print("{} seeds from {} on, {} steps each: the store did what the model did\n", seeds,
             first_seed, step_count);
  return 0;
}
