// Cuts the power at sampled points of a trace, opens every state with the real store, and checks
// it. Usage: replay TRACE FOLDER SEED STEPS IMAGES [honest|ignores_syncs|ignores_all] Prints one
// line: images, fine, damaged (with the first findings on stderr); exits 1 if an honest disk shows
// damage.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <optional>

#include "agent/base/log.hpp"
#include "tests/powercut/disk.hpp"
#include "tests/powercut/plan.hpp"

namespace {

using namespace penstock;
using namespace penstock::powercut;

constexpr unsigned check_seconds_max = 20;

struct Record {
  RecordHead head;
  std::string_view data;
};

std::vector<Record> parse(std::string_view trace) {
  std::vector<Record> records;
  while (trace.size() >= sizeof(RecordHead)) {
    Record record;
    std::copy_n(trace.data(), sizeof(RecordHead), reinterpret_cast<char*>(&record.head));
    if (trace.size() < sizeof(RecordHead) + record.head.size) break;
    record.data = trace.substr(sizeof(RecordHead), record.head.size);
    trace.remove_prefix(sizeof(RecordHead) + record.head.size);
    records.push_back(record);
  }
  return records;
}

/// What the store must hold: the state after commit `marked`, or the one after it that was under
/// way.
class Checker {
 public:
  Checker(const std::vector<Step>& plan, std::uint64_t marked, std::filesystem::path folder)
      : plan_(plan), marked_(marked), folder_(std::move(folder)) {}

  /// "" = fine.
  std::string check() {
    buffer::OpenReport report;
    auto opened = buffer::Store::open(store_options(folder_), report);
    if (!opened.ok()) return "does not open: " + opened.error().text;
    store_ = std::move(opened).value();
    // Before the first commit has returned nothing was promised, and the epoch may be new.
    if (report.is_new_epoch && marked_ > 0) return "a new epoch (" + report.reason + ")";
    const auto state = find_state();
    if (!state) return "numbers and position do not belong to a commit that could have happened";
    for (std::size_t i = 0; i < stream_count; ++i) {
      if (const std::string found = check_rows(i, *state); !found.empty()) return found;
    }
    return goes_on(*state);
  }

 private:
  std::array<std::uint64_t, stream_count> numbers_at(std::uint64_t commit) const {
    return commit == 0 ? std::array<std::uint64_t, stream_count>{} : plan_[commit - 1].next;
  }

  std::optional<std::uint64_t> find_state() {
    std::array<std::uint64_t, stream_count> next{};
    for (std::size_t i = 0; i < stream_count; ++i) {
      auto stream = store_->open_stream(stream_names[i], stream_priorities[i], stream_policies[i]);
      if (!stream.ok()) return std::nullopt;
      ids_[i] = stream->id;
      next[i] = stream->next_seq;
    }
    auto position = store_->position(position_owner, "p");
    if (!position.ok()) return std::nullopt;
    const std::uint64_t at = *position ? std::strtoull((*position)->c_str(), nullptr, 10) : 0;
    if (at != marked_ && at != marked_ + 1) return std::nullopt;
    if (at > plan_.size() || numbers_at(at) != next) return std::nullopt;
    return at;
  }

  std::string check_rows(std::size_t stream, std::uint64_t state) {
    std::uint64_t after = 0;
    std::optional<std::uint64_t> expected;
    for (;;) {
      auto rows = store_->rows_after(stream_priorities[stream], after, 100'000);
      if (!rows.ok()) return "rows cannot be read: " + rows.error().text;
      if (rows->empty()) break;
      for (const buffer::Row& row : *rows) {
        after = row.key.id;
        if (row.key.stream_id != ids_[stream]) continue;
        if (row.is_damaged) return "a damaged row";
        if (expected && row.key.seq != *expected) return "a hole in the numbers";
        expected = row.key.seq + row.key.count;
        if (row.kind == buffer::RowKind::loss) continue;
        auto content = buffer::content_of(row);
        if (!content.ok() || *content != content_for(stream, row.key.seq, row.key.count)) {
          return "a row with other content";
        }
      }
    }
    if (expected && *expected != numbers_at(state)[stream]) return "the newest rows are missing";
    return {};
  }

  /// The next commit must work, and survive a clean reopening.
  std::string goes_on(std::uint64_t state) {
    buffer::NewRow row;
    row.stream_id = ids_[0];
    row.seq = numbers_at(state)[0];
    row.count = 7;
    row.value = "x";
    auto report = store_->commit({std::span(&row, 1), {}});
    if (!report.ok()) return "the next commit fails: " + report.error().text;
    store_->close();
    store_.reset();
    buffer::OpenReport again;
    auto opened = buffer::Store::open(store_options(folder_), again);
    if (!opened.ok()) return "does not open again: " + opened.error().text;
    auto stream = (*opened)->open_stream(stream_names[0], stream_priorities[0], stream_policies[0]);
    if (!stream.ok() || stream->next_seq != row.seq + 7) return "numbers do not go on";
    return {};
  }

  const std::vector<Step>& plan_;
  std::uint64_t marked_;
  std::filesystem::path folder_;
  std::unique_ptr<buffer::Store> store_;
  std::array<std::uint32_t, stream_count> ids_{};
};

/// In a child: a damaged file may end the process by a signal.
std::string check_in_child(const std::vector<Step>& plan, std::uint64_t marked,
                           const std::filesystem::path& folder) {
  int pipe_fds[2];
  if (::pipe(pipe_fds) != 0) std::abort();
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(check_seconds_max);
    const std::string found = Checker(plan, marked, folder).check();
    const auto ignored = ::write(pipe_fds[1], found.data(), found.size());
    static_cast<void>(ignored);
    ::_exit(found.empty() ? 0 : 1);
  }
  ::close(pipe_fds[1]);
  std::string found(4096, '\0');
  const ssize_t size = ::read(pipe_fds[0], found.data(), found.size());
  found.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  ::close(pipe_fds[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFSIGNALED(status)) return "signal " + std::to_string(WTERMSIG(status));
  return found;
}

Honesty parse_honesty(std::string_view text) {
  if (text == "ignores_syncs") return Honesty::ignores_syncs;
  if (text == "ignores_all") return Honesty::ignores_all;
  return Honesty::honest;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 6) {
    std::fprintf(
        stderr,
        "usage: replay TRACE FOLDER SEED STEPS IMAGES [honest|ignores_syncs|ignores_all]\n");
    return 64;
  }
  set_up_logging(LogLevel::off, LogStyle::plain);
  std::ifstream in(argv[1], std::ios::binary);
  const std::string trace{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  const std::filesystem::path folder = argv[2];
  const std::uint64_t seed = std::strtoull(argv[3], nullptr, 10);
  const auto plan = make_plan(seed, std::strtoull(argv[4], nullptr, 10));
  const std::size_t images = std::strtoull(argv[5], nullptr, 10);
  const Honesty honesty = parse_honesty(argc > 6 ? argv[6] : "honest");

  const auto records = parse(trace);
  if (records.empty()) {
    std::fprintf(stderr, "replay: the trace is empty\n");
    return 65;
  }
  std::mt19937_64 random(seed);
  std::vector<std::size_t> cuts(images);
  for (std::size_t& cut : cuts) cut = random() % records.size();
  std::sort(cuts.begin(), cuts.end());

  Disk disk(honesty);
  std::size_t applied = 0;
  std::size_t damaged = 0;
  for (const std::size_t cut : cuts) {
    for (; applied < cut; ++applied) disk.apply(records[applied].head, records[applied].data);
    Disk at_cut = disk;
    if (random() % 2 == 0) at_cut.begin(records[cut].head, records[cut].data);
    const std::uint64_t kind = random() % 8;
    const Survival survival = kind == 0   ? Survival::none
                              : kind == 1 ? Survival::all
                                          : Survival::random;
    std::filesystem::remove_all(folder);
    std::filesystem::create_directories(folder);
    at_cut.write_image(folder, survival, random);
    const std::string found = check_in_child(plan, at_cut.marked(), folder);
    if (!found.empty() && ++damaged <= 5) {
      std::fprintf(stderr, "seed %llu cut %zu after commit %llu: %s\n",
                   static_cast<unsigned long long>(seed), cut,
                   static_cast<unsigned long long>(at_cut.marked()), found.c_str());
    }
  }
  std::filesystem::remove_all(folder);
  std::printf("images %zu fine %zu damaged %zu\n", images, images - damaged, damaged);
  return honesty == Honesty::honest && damaged != 0 ? 1 : 0;
}
