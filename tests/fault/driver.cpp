// Lets the n-th call fail in a run of the real collector and store, for many n, and checks what was
// noted first-hand against what the store still has.
// Usage (under the shim): fault_driver FOLDER MODE COUNT FIRST LAST STEP
// COUNT calls fail in a row from the n-th on; n = FIRST, FIRST + STEP … LAST. Prints one line.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "tests/fault/collected.hpp"
#include "tests/fault/shim.hpp"

namespace {

using namespace penstock;
using namespace penstock::fault;
namespace fs = std::filesystem;

constexpr unsigned seconds_max = 120;
constexpr int exit_clean = 70;  // out of memory, as the agent ends
constexpr int exit_wrong = 1;

template <typename F>
F shim(const char* name) {
  const auto found = reinterpret_cast<F>(::dlsym(RTLD_DEFAULT, name));
  if (found == nullptr) {
    std::fprintf(stderr, "the shim is not loaded\n");
    std::exit(64);
  }
  return found;
}

void arm(const Plan& plan, const fs::path& folder) {
  shim<void (*)(const Plan*, const char*)>("fault_arm")(&plan, folder.c_str());
}
std::uint64_t calls() { return shim<std::uint64_t (*)()>("fault_calls")(); }

/// What a run noted.
struct Notes {
  std::uint64_t durable_chunks = 0;
  std::map<std::string, std::set<std::uint64_t>> got;
  std::map<std::string, std::uint64_t> lost;

  explicit Notes(const fs::path& log) {
    std::ifstream in(log);
    std::string line;
    while (std::getline(in, line)) {
      std::istringstream words(line);
      std::string what;
      std::string source;
      std::uint64_t number = 0;
      words >> what;
      if (what == "durable") {
        words >> durable_chunks;
      } else {
        words >> source >> number;
        if (what == "got") got[source].insert(number);
        if (what == "lost") lost[source] += number;
      }
    }
  }
};

/// What is stored, in the buffer and in files that were set aside.
class Stored {
 public:
  /// "" = it can all be read.
  std::string read(const fs::path& folder) {
    const fs::path buffer = store_options(folder, false).path;
    for (const auto& entry : fs::directory_iterator(buffer)) {
      const std::string name = entry.path().filename().string();
      if (!entry.is_directory()) continue;
      if (name.rfind("previous-", 0) != 0) return "there is " + name;
      // A crash while it is set aside leaves a second name of the file that is still in use.
      std::error_code failed;
      if (!fs::exists(entry.path() / "buffer.mdb", failed)) continue;
      if (fs::equivalent(entry.path() / "buffer.mdb", buffer / "buffer.mdb", failed)) continue;
      if (std::string found = read_one(entry.path()); !found.empty()) return found;
    }
    if (!fs::exists(buffer / "buffer.mdb")) return {};
    return read_one(buffer);
  }

  std::map<std::string, std::set<std::uint64_t>> numbers;
  std::map<std::string, std::uint64_t> lost;

 private:
  std::string read_one(const fs::path& path) {
    buffer::StoreOptions options = store_options({}, true);
    options.path = path;
    options.device.clear();
    buffer::OpenReport report;
    auto store = buffer::Store::open(options, report);
    if (!store.ok()) return "does not open: " + store.error().text;
    const auto verified = (*store)->verify({});
    if (!verified.ok()) return "cannot be verified: " + verified.error().text;
    if (!verified->problems.empty()) return "verify: " + verified->problems.front();

    std::uint64_t after_id = 0;
    for (;;) {
      const auto rows = (*store)->peek_after(buffer::Priority::normal, after_id, 1 << 20);
      if (!rows.ok()) return "rows: " + rows.error().text;
      if (rows->empty()) return {};
      for (const buffer::Row& row : *rows) {
        after_id = row.key.id;
        if (std::string found = take(row, (*store)->stream_name(row.key.stream_id));
            !found.empty()) {
          return found;
        }
      }
    }
  }

  std::string take(const buffer::Row& row, const std::string& name) {
    if (row.kind == buffer::RowKind::loss) {
      lost[name] += row.key.count;
      return {};
    }
    const auto content = buffer::content_of(row);
    if (!content.ok()) return content.error().text;
    for (const std::uint64_t n : numbers_in(*content)) {
      if (!numbers[name].insert(n).second) {
        return name + " has " + std::to_string(n) + " twice";
      }
    }
    return {};
  }
};

/// A check of the buffer may outlive its parent for a moment, and holds the lock until then.
void wait_for_lock(const fs::path& folder) {
  const fs::path lock = store_options(folder, false).path / "LOCK";
  const int fd = ::open(lock.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  ::flock(fd, LOCK_EX);
  ::close(fd);
}

/// Every event that was durable has been handed on, or is stored, or is told as lost (where the
/// source cannot be read again).
std::string check(const fs::path& folder, const fs::path& log) {
  const Notes notes(log);
  Stored stored;
  if (notes.durable_chunks == 0) return {};
  wait_for_lock(folder);
  if (std::string found = stored.read(folder); !found.empty()) return found;
  for (std::size_t i = 0; i < source_count; ++i) {
    const std::string name = source_names[i];
    const auto got = notes.got.find(name);
    const auto lost = notes.lost.find(name);
    std::uint64_t missing = 0;
    for (std::uint64_t n = 0; n < notes.durable_chunks * events_per_chunk; ++n) {
      const bool was_got = got != notes.got.end() && got->second.count(n) != 0;
      if (!was_got && stored.numbers[name].count(n) == 0) ++missing;
    }
    const std::uint64_t told = stored.lost[name] + (lost == notes.lost.end() ? 0 : lost->second);
    if (missing > (i == 0 ? 0 : told)) {
      return std::to_string(missing) + " durable events of " + name + " are gone";
    }
  }
  return {};
}

[[noreturn]] void run(const fs::path& folder, const fs::path& log, const Plan& plan) {
  ::alarm(seconds_max);
  std::set_terminate([] { ::_exit(exit_clean); });
  const int log_fd = ::open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  arm(plan, folder);
  try {
    Run(folder, log_fd).to_the_end();
  } catch (const std::runtime_error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    ::_exit(exit_wrong);
  } catch (const std::bad_alloc&) {
    ::_exit(exit_clean);
  }
  ::_exit(0);
}

template <typename Do>
int in_child(Do&& perform) {
  const pid_t child = ::fork();
  if (child == 0) perform();
  int status = 0;
  ::waitpid(child, &status, 0);
  return status;
}

/// Whether this n was fine.
bool play(const fs::path& folder, const Plan& plan) {
  const fs::path root = folder / "root";
  const fs::path log = folder.string() + ".notes";
  fs::remove_all(root);
  fs::create_directories(root);
  const int status = in_child([&] { run(root, log, plan); });
  const bool is_clean =
      WIFEXITED(status) && (WEXITSTATUS(status) == 0 ||
                            (WEXITSTATUS(status) == exit_clean && plan.mode == Mode::memory));
  const int checked = in_child([&] {
    ::alarm(seconds_max);
    const std::string found = check(root, log);
    if (!found.empty()) std::fprintf(stderr, "%s\n", found.c_str());
    ::_exit(found.empty() ? 0 : 1);
  });
  if (!is_clean || checked != 0) {
    std::fprintf(stderr, "n = %llu, %llu in a row: run %s %d, check %d\n",
                 static_cast<unsigned long long>(plan.first),
                 static_cast<unsigned long long>(plan.count),
                 WIFSIGNALED(status) ? "signal" : "exit",
                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), checked);
  }
  return is_clean && checked == 0;
}

Mode parse_mode(const char* name) {
  constexpr const char* names[] = {"none",   "enospc", "edquot", "eio",  "eio_late",
                                   "emfile", "eintr",  "torn",   "lies", "memory"};
  for (unsigned i = 0; i < std::size(names); ++i) {
    if (std::strcmp(names[i], name) == 0) return static_cast<Mode>(i);
  }
  std::fprintf(stderr, "unknown mode %s\n", name);
  std::exit(64);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) {
    std::fprintf(stderr, "usage: fault_driver FOLDER MODE COUNT FIRST LAST STEP\n");
    return 64;
  }
  set_up_logging(LogLevel::off, LogStyle::plain);
  const fs::path folder = argv[1];
  Plan plan{parse_mode(argv[2]), 0, std::strtoull(argv[3], nullptr, 10)};
  const std::uint64_t last = std::strtoull(argv[5], nullptr, 10);
  const std::uint64_t step = std::strtoull(argv[6], nullptr, 10);
  std::uint64_t cases = 0;
  std::uint64_t wrong = 0;
  std::uint64_t most_calls = 0;
  for (plan.first = std::strtoull(argv[4], nullptr, 10); plan.first <= last; plan.first += step) {
    const bool is_fine = play(folder, plan);
    most_calls = std::max(most_calls, calls());
    if (calls() < plan.first) break;  // the run is over before
    ++cases;
    wrong += is_fine ? 0 : 1;
  }
  fs::remove_all(folder / "root");
  std::printf("cases %llu wrong %llu calls %llu\n", static_cast<unsigned long long>(cases),
              static_cast<unsigned long long>(wrong), static_cast<unsigned long long>(most_calls));
  return wrong == 0 ? 0 : 1;
}
