// What tests/scale/run and tests/scale/wear measure, one job a process; prints one JSON line.
// Usage:
//   scale_driver fill PATH BYTES STREAMS          a backlog of so many live bytes
//   scale_driver measure PATH STREAMS EVENTS [ROW]   open, append EVENTS, in rows of ROW if given,
//                                                 drain EVENTS; ends unclean
//   scale_driver cycles PATH PEAK_BYTES DAYS      eight drained outages of random length a day
//   scale_driver wear PATH EVENTS_PER_S SECONDS TEXT   a simulated time at a rate (0: one burst),
//                                                 TEXT log|noise
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

#include "tests/scale/rig.hpp"

using namespace penstock;
using namespace penstock::tests;
using namespace std::chrono_literals;

namespace {

constexpr std::uint32_t chunk_events = 500;
constexpr double default_budget = 500e6 / 86'400;
constexpr std::uint64_t mib = std::uint64_t{1} << 20;

/// What a phase of the work took, in µs.
struct Taken {
  double cpu = 0;  ///< user and system, of ended children too
  double wall = 0;
};

Taken now() {
  Taken sum;
  for (const int who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
    rusage usage{};
    ::getrusage(who, &usage);
    for (const timeval& time : {usage.ru_utime, usage.ru_stime}) {
      sum.cpu += static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_usec);
    }
  }
  sum.wall = static_cast<double>(system_clock().steady_us());
  return sum;
}

/// `"name_us":…,"name_wall_us":…` for each of `count` things.
std::string phase(std::string_view name, const Taken& began, const Taken& ended,
                  std::uint64_t count) {
  const auto each = [count](double us) { return us / static_cast<double>(count); };
  return fmt::format("\"{0}_us\":{1:.4f},\"{0}_wall_us\":{2:.4f},", name,
                     each(ended.cpu - began.cpu), each(ended.wall - began.wall));
}

/// Many streams get small chunks, so that a small backlog has all of them too.
std::uint32_t chunk_size(std::uint32_t streams) { return streams == 1 ? chunk_events : 20; }

std::uint64_t rss_anon_kib() {
  std::ifstream file("/proc/self/status");
  std::string word;
  std::uint64_t value = 0;
  while (file >> word) {
    if (word == "RssAnon:" && file >> value) return value;
  }
  return 0;
}

int fill(const std::string& path, std::uint64_t bytes, std::uint32_t streams) {
  Rig rig({.path = path,
           .max_size = bytes + bytes / 4 + 64 * mib,
           .commit_bytes = 8 * mib,
           .streams = streams});
  std::uint64_t events = 0;
  const std::uint32_t chunk = chunk_size(streams);
  while (events < streams * std::uint64_t{chunk} || rig.store().stats().live_bytes < bytes) {
    // Asking costs a turn each time; a commit holds more than this.
    for (int i = 0; i < 20; ++i, events += chunk) rig.push(chunk);
  }
  rig.settle();
  const auto stats = rig.store().stats();
  rig.store().close();
  fmt::print("{{\"events\":{},\"live_bytes\":{},\"file_bytes\":{}}}\n", events, stats.live_bytes,
             stats.file_bytes);
  return 0;
}

int measure(const std::string& path, std::uint32_t streams, std::uint64_t events,
            std::uint32_t chunk) {
  const Taken began = now();
  Rig rig({.path = path,
           .max_size = std::uint64_t{64} << 30,
           .streams = streams,
           .row_events_max = chunk});
  const Taken opened = now();
  const std::uint64_t before = rig.store().stats().events;
  for (std::uint64_t done = 0; done < events; done += chunk) rig.push(chunk);
  rig.settle();
  const Taken appended = now();
  const std::uint64_t appended_events = rig.store().stats().events - before;
  const std::uint64_t drained_events = rig.drain(events);
  const Taken drained = now();
  const auto stats = rig.store().stats();
  fmt::print(
      "{{{}{}{}\"appended\":{},\"drained\":{},\"rss_anon_kib\":{},\"file_bytes\":{},"
      "\"before\":{},\"after\":{}}}\n",
      phase("open", began, opened, 1), phase("append", opened, appended, appended_events),
      phase("drain", appended, drained, drained_events), appended_events, drained_events,
      rss_anon_kib(), stats.file_bytes, before, stats.events);
  std::fflush(stdout);
  std::_Exit(0);
}

int cycles(const std::string& path, std::uint64_t peak, std::uint64_t days) {
  constexpr std::uint64_t cycles_a_day = 8;
  Rig rig({.path = path, .max_size = 4 * peak, .streams = 20});
  std::uint64_t state = 7;
  std::uint64_t first_file = 0;
  std::uint64_t most_live = 0;
  for (std::uint64_t cycle = 0; cycle < days * cycles_a_day; ++cycle) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    const std::uint64_t goal = cycle == 0 ? peak : peak / 16 + (state >> 33) % (peak * 15 / 16);
    std::uint32_t size = 1;
    while (rig.store().stats().live_bytes < goal) {
      rig.push(size = size % chunk_events + 7);  // rows of every size
    }
    rig.settle();
    most_live = std::max(most_live, rig.store().stats().live_bytes);
    rig.drain(~std::uint64_t{0});
    for (int i = 0; i < 60; ++i) {  // and a trickle that is forwarded at once
      rig.push(1);
      rig.pass(1s);
      rig.acknowledge_all();
    }
    rig.settle();
    if (cycle == 0) first_file = rig.store().stats().file_bytes;
  }
  const auto stats = rig.store().stats();
  fmt::print(
      "{{\"cycles\":{},\"most_live_bytes\":{},\"first_file_bytes\":{},\"file_bytes\":{},"
      "\"left_bytes\":{}}}\n",
      days * cycles_a_day, most_live, first_file, stats.file_bytes, stats.live_bytes);
  return 0;
}

int wear(const std::string& path, std::uint32_t rate, std::uint32_t seconds, Text text) {
  Rig rig({.path = path,
           .max_size = 64 * mib,
           .preallocate = true,
           .write_budget_bytes_per_s = default_budget,
           .text = text});
  const int file = ::open((path + "/buffer.mdb").c_str(), O_RDONLY | O_CLOEXEC);
  std::uint64_t events = 0;
  std::uint64_t journaled = 0;  // commits whose time is in the journal
  for (std::uint32_t second = 0; second < seconds; ++second) {
    // Events come one by one, as a source has them; a burst in chunks.
    const std::uint32_t chunks = rate == 0 ? 40 : rate;
    for (std::uint32_t i = 0; i < chunks; ++i) {
      rig.push(rate == 0 ? chunk_events : 1);
      events += rate == 0 ? chunk_events : 1;
      rig.pass(std::chrono::microseconds(1'000'000 / chunks));
    }
    rig.acknowledge_all();  // a broker that keeps up
    // Every five seconds of real time the file system's journal takes the new time of a file that
    // was written; here, of simulated time, in which the kernel's own clock hardly moves.
    const std::uint64_t commits = rig.stats().commits;
    if (second % 5 == 4 && commits != journaled) {
      journaled = commits;
      const timespec times[] = {{0, UTIME_OMIT}, {second + 1, 0}};
      ::futimens(file, times);
      ::syncfs(file);
    }
  }
  rig.settle();
  ::syncfs(file);
  const auto stats = rig.stats();
  fmt::print(
      "{{\"events\":{},\"payload_bytes\":{},\"text_bytes\":{},\"commits\":{},\"written_bytes\":{},"
      "\"seconds\":{}}}\n",
      events, events * 128, stats.bytes, stats.commits, stats.written_bytes, seconds);
  ::close(file);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  const auto number = [&](std::size_t index) { return std::stoull(words.at(index)); };
  const std::string job = words.empty() ? "" : words[0];
  if (job == "fill" && words.size() == 4) {
    return fill(words[1], number(2), static_cast<std::uint32_t>(number(3)));
  }
  if (job == "measure" && (words.size() == 4 || words.size() == 5)) {
    const auto streams = static_cast<std::uint32_t>(number(2));
    const std::uint32_t row =
        words.size() == 5 ? static_cast<std::uint32_t>(number(4)) : chunk_size(streams);
    return measure(words[1], streams, number(3), row);
  }
  if (job == "cycles" && words.size() == 4) return cycles(words[1], number(2), number(3));
  if (job == "wear" && words.size() == 5) {
    return wear(words[1], static_cast<std::uint32_t>(number(2)),
                static_cast<std::uint32_t>(number(3)), words[4] == "log" ? Text::log : Text::noise);
  }
  fmt::print(stderr, "usage: scale_driver fill|measure|cycles|wear ...\n");
  return 64;
}
