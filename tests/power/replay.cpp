// Cuts the power at sampled points of a trace, opens every state with the real store, and checks
// it. Usage: replay TRACE FOLDER SEED STEPS IMAGES HONESTY, where HONESTY is honest,
// ignores_dir_syncs, ignores_syncs or ignores_all. Prints one line: images, fine, damaged (with the
// first findings on stderr); exits 1 if an honest disk shows damage.
#include <malloc.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "agent/base/log.hpp"
#include "tests/power/checker.hpp"

namespace {

using namespace penstock;
using namespace penstock::power;

constexpr unsigned check_seconds_max = 120;
constexpr std::size_t findings_shown_max = 5;
constexpr int mapped_from_bytes = 1 << 20;

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

Honesty parse_honesty(std::string_view text) {
  if (text == "ignores_dir_syncs") return Honesty::ignores_dir_syncs;
  if (text == "ignores_syncs") return Honesty::ignores_syncs;
  if (text == "ignores_all") return Honesty::ignores_all;
  return Honesty::honest;
}

/// In memory shared with the child that checks: a damaged file may end it by a signal.
struct Tally {
  std::size_t done = 0;
  std::size_t damaged = 0;
};

/// All states of one trace. A state depends on the seed and its index alone.
class Replay {
 public:
  Replay(std::vector<Record> records, Plan plan, std::filesystem::path folder, std::uint64_t seed,
         std::size_t images, Honesty honesty)
      : records_(std::move(records)),
        plan_(std::move(plan)),
        folder_(std::move(folder)),
        seed_(seed),
        disk_(honesty),
        cuts_(images) {
    std::mt19937_64 random(seed);
    for (std::size_t& cut : cuts_) cut = random() % records_.size();
    std::sort(cuts_.begin(), cuts_.end());
    void* shared =
        ::mmap(nullptr, sizeof(Tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) std::abort();
    tally_ = new (shared) Tally;
  }

  const Tally& run() {
    while (tally_->done < cuts_.size()) {
      const pid_t child = ::fork();
      if (child == 0) {
        check_all();
        ::_exit(0);
      }
      int status = 0;
      ::waitpid(child, &status, 0);
      if (WIFSIGNALED(status)) {
        note_damage(tally_->done, "signal " + std::to_string(WTERMSIG(status)));
        ++tally_->done;
      } else if (tally_->done < cuts_.size()) {
        note_damage(tally_->done, "exit " + std::to_string(WEXITSTATUS(status)));
        ++tally_->done;
      }
    }
    std::filesystem::remove_all(folder_);
    return *tally_;
  }

 private:
  void check_all() {
    while (tally_->done < cuts_.size()) {
      ::alarm(check_seconds_max);
      const std::string found = check_one(tally_->done);
      if (!found.empty()) note_damage(tally_->done, found);
      ++tally_->done;
    }
  }

  std::string check_one(std::size_t index) {
    const std::size_t cut = cuts_[index];
    for (; applied_ < cut; ++applied_) apply(records_[applied_]);
    std::mt19937_64 random(seed_ * 1'000'003 + index);
    const std::uint64_t kind = random() % 8;
    const Survival survival = kind == 0   ? Survival::none
                              : kind == 1 ? Survival::all
                                          : Survival::random;
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    if (random() % 2 == 0) {
      Disk at_cut = disk_;
      at_cut.begin(records_[cut].head, records_[cut].data);
      at_cut.write_image(folder_, survival, random);
    } else {
      disk_.write_image(folder_, survival, random);
    }
    return Checker(plan_, promise_, folder_).check();
  }

  void apply(const Record& record) {
    if (record.head.op == Op::mark) {
      promise_.note(record.head, disk_);
    } else {
      disk_.apply(record.head, record.data);
    }
  }

  void note_damage(std::size_t index, const std::string& found) {
    if (++tally_->damaged > findings_shown_max) return;
    std::fprintf(stderr, "seed %llu state %zu, cut at operation %zu: %s\n",
                 static_cast<unsigned long long>(seed_), index, cuts_[index], found.c_str());
  }

  const std::vector<Record> records_;
  const Plan plan_;
  const std::filesystem::path folder_;
  const std::uint64_t seed_;
  Disk disk_;
  Promise promise_;
  std::vector<std::size_t> cuts_;
  std::size_t applied_ = 0;
  Tally* tally_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) {
    std::fprintf(stderr, "usage: replay TRACE FOLDER SEED STEPS IMAGES HONESTY\n");
    return 64;
  }
  set_up_logging(LogLevel::off, LogStyle::plain);
  // Each opening takes 2 MiB of zeros for LMDB's list of dirty pages: mapped, they cost nothing
  // until they are used; from the heap they are written, and copied at the next fork.
  ::mallopt(M_MMAP_THRESHOLD, mapped_from_bytes);
  std::ifstream in(argv[1], std::ios::binary);
  const std::string trace{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  auto records = parse(trace);
  if (records.empty()) {
    std::fprintf(stderr, "replay: the trace is empty\n");
    return 65;
  }
  const std::uint64_t seed = std::strtoull(argv[3], nullptr, 10);
  const std::size_t images = std::strtoull(argv[5], nullptr, 10);
  const Honesty honesty = parse_honesty(argv[6]);
  const Tally& tally =
      Replay(std::move(records), make_plan(seed, std::strtoull(argv[4], nullptr, 10)), argv[2],
             seed, images, honesty)
          .run();
  std::printf("images %zu fine %zu damaged %zu\n", images, images - tally.damaged, tally.damaged);
  return honesty == Honesty::honest && tally.damaged != 0 ? 1 : 0;
}
