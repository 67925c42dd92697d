// Groups system (uptime, processes, open files) and clock (is the time of this machine to be
// trusted).
#include <dirent.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "connectors/host/host.hpp"

namespace penstock::connectors::host {
namespace {

constexpr std::size_t entries_max = 1'000'000;
constexpr std::uint64_t no_file_limit = 1ULL << 62;

// Every directory of /proc that is named by a number is a process.
std::optional<std::uint64_t> count_processes(const std::string& proc_root) {
  DIR* directory = ::opendir(proc_root.c_str());
  if (directory == nullptr) return std::nullopt;
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < entries_max; ++i) {
    const dirent* entry = ::readdir(directory);
    if (entry == nullptr) break;
    if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9') ++count;
  }
  ::closedir(directory);
  return count;
}

class System final : public Group {
 public:
  explicit System(const Settings& settings) : root_(settings.proc_root) {}

  Result<void> collect(Poll& poll) override {
    Result<void> first_problem;
    const auto note = [&](Result<void> result) {
      if (first_problem.ok() && !result.ok()) first_problem = std::move(result);
    };
    has_fields_ = false;
    note(add_uptime(poll));
    note(add_counters(poll));
    note(add_threads(poll));
    note(add_files(poll));
    if (!has_fields_) return first_problem;
    if (const auto processes = count_processes(root_)) poll.field("processes", *processes);
    poll.emit("system");
    return first_problem;
  }

 private:
  template <typename T>
  void add(Poll& poll, std::string_view name, std::optional<T> value) {
    if (!value) return;
    poll.field(name, *value);
    has_fields_ = true;
  }

  Result<void> add_uptime(Poll& poll) {
    PENSTOCK_TRY_ASSIGN(const std::string_view text, poll.read(root_ + "/uptime"));
    add(poll, "uptime_seconds", to_double(Words(text).next()));
    return {};
  }

  Result<void> add_counters(Poll& poll) {
    PENSTOCK_TRY_ASSIGN(const std::string_view text, poll.read(root_ + "/stat"));
    std::optional<std::uint64_t> switches;
    std::optional<std::uint64_t> interrupts;
    std::optional<std::uint64_t> forks;
    Lines lines(text);
    while (const auto line = lines.next()) {
      Words words(*line);
      const std::string_view name = words.next();
      if (name == "ctxt") switches = to_uint(words.next());
      if (name == "intr") interrupts = to_uint(words.next());
      if (name == "processes") forks = to_uint(words.next());
      if (name == "procs_running") add(poll, "running", to_uint(words.next()));
      if (name == "procs_blocked") add(poll, "blocked", to_uint(words.next()));
    }
    if (!switches || !interrupts || !forks) return unknown_form(root_ + "/stat");
    const auto growth = rates_.update("", {*switches, *interrupts, *forks}, poll.steady_us());
    if (!growth) return {};
    poll.field("context_switches_per_second", growth->per_second(0));
    poll.field("interrupts_per_second", growth->per_second(1));
    poll.field("forks_per_second", growth->per_second(2));
    return {};
  }

  // "0.20 0.18 0.12 1/80 11206": the fourth is running/all threads.
  Result<void> add_threads(Poll& poll) {
    PENSTOCK_TRY_ASSIGN(const std::string_view text, poll.read(root_ + "/loadavg"));
    Words words(text);
    words.skip(3);
    const std::string_view threads = words.next();
    const std::size_t slash = threads.find('/');
    if (slash == std::string_view::npos) return unknown_form(root_ + "/loadavg");
    add(poll, "threads", to_uint(threads.substr(slash + 1)));
    return {};
  }

  Result<void> add_files(Poll& poll) {
    PENSTOCK_TRY_ASSIGN(const std::string_view text, poll.read(root_ + "/sys/fs/file-nr"));
    Words words(trimmed(text));
    const auto open = to_uint(words.next());
    words.skip(1);
    add(poll, "open_files", open);
    // Kernels since 5.6 set no limit: 2^63-1.
    const auto limit = to_uint(words.next());
    if (limit && *limit < no_file_limit) add(poll, "open_files_max", limit);
    return {};
  }

  std::string root_;
  RateTable<3> rates_;
  bool has_fields_ = false;
};

class ClockState final : public Group {
 public:
  explicit ClockState(const Settings& settings) : adjtimex_(settings.system.adjtimex) {}

  Result<void> collect(Poll& poll) override {
    struct ::timex state {};  // modes 0: only reads, needs no privilege
    const int rc = adjtimex_(&state);
    if (rc < 0) return errno_error("adjtimex");
    // adjtimex(2): STA_NANO tells the unit of the offset; freq is in 2^-16 ppm.
    const bool is_nano = (state.status & STA_NANO) != 0;
    const double offset_us = static_cast<double>(state.offset) / (is_nano ? 1000 : 1);
    poll.field("synchronised", rc != TIME_ERROR && (state.status & STA_UNSYNC) == 0);
    poll.field("offset_us", rounded(offset_us, 3));
    poll.field("estimated_error_us", static_cast<std::int64_t>(state.esterror));
    poll.field("maximum_error_us", static_cast<std::int64_t>(state.maxerror));
    poll.field("frequency_ppm", rounded(static_cast<double>(state.freq) / 65536, 3));
    poll.emit("clock");
    return {};
  }

 private:
  int (*adjtimex_)(struct ::timex* out);
};

}  // namespace

std::unique_ptr<Group> make_system(const Settings& settings) {
  return std::make_unique<System>(settings);
}
std::unique_ptr<Group> make_clock(const Settings& settings) {
  return std::make_unique<ClockState>(settings);
}

}  // namespace penstock::connectors::host
