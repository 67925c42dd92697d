// Groups memory, swap and pressure.
#include <unistd.h>

#include "connectors/host/host.hpp"

namespace penstock::connectors::host {
namespace {

// The values of a file of lines "name value [unit]" (meminfo, vmstat) that were asked for.
template <std::size_t N>
std::array<std::optional<std::uint64_t>, N> pick(std::string_view text,
                                                 const std::array<std::string_view, N>& names) {
  std::array<std::optional<std::uint64_t>, N> values;
  Lines lines(text);
  while (const auto line = lines.next()) {
    Words words(*line);
    std::string_view name = words.next();
    if (name.ends_with(':')) name.remove_suffix(1);
    for (std::size_t i = 0; i < N; ++i) {
      if (name == names[i]) values[i] = to_uint(words.next());
    }
  }
  return values;
}

void bytes_field(Poll& poll, std::string_view name, std::optional<std::uint64_t> kibibytes) {
  if (kibibytes) poll.field(name, *kibibytes * 1024);
}

std::uint64_t less(std::uint64_t whole, std::uint64_t part) {
  return whole > part ? whole - part : 0;
}

class Memory final : public Group {
 public:
  explicit Memory(const Settings& settings) : path_(settings.proc_root + "/meminfo") {}

  Result<void> collect(Poll& poll) override {
    PENSTOCK_TRY_ASSIGN(const std::string_view text, poll.read(path_));
    constexpr std::array<std::string_view, 7> names{
        "MemTotal", "MemFree", "MemAvailable", "Buffers", "Cached", "Shmem", "Dirty"};
    const auto [total, free, available, buffers, cached, shared, dirty] = pick(text, names);
    if (!total || !free) return unknown_form(path_);
    // Kernels before 3.14 do not tell what is available.
    const std::uint64_t usable =
        available.value_or(*free + buffers.value_or(0) + cached.value_or(0));
    const std::uint64_t used = less(*total, usable);
    bytes_field(poll, "total_bytes", total);
    bytes_field(poll, "used_bytes", used);
    bytes_field(poll, "available_bytes", usable);
    bytes_field(poll, "free_bytes", free);
    bytes_field(poll, "buffers_bytes", buffers);
    bytes_field(poll, "cached_bytes", cached);
    bytes_field(poll, "shared_bytes", shared);
    bytes_field(poll, "dirty_bytes", dirty);
    poll.field("used_percent", percent(static_cast<double>(used), static_cast<double>(*total)));
    poll.emit("memory");
    return {};
  }

 private:
  std::string path_;
};

class Swap final : public Group {
 public:
  explicit Swap(const Settings& settings)
      : meminfo_path_(settings.proc_root + "/meminfo"),
        vmstat_path_(settings.proc_root + "/vmstat") {}

  Result<void> collect(Poll& poll) override {
    PENSTOCK_TRY_ASSIGN(const std::string_view text, poll.read(meminfo_path_));
    const auto [total, free] = pick<2>(text, {"SwapTotal", "SwapFree"});
    if (!total || !free) return unknown_form(meminfo_path_);
    const std::uint64_t used = less(*total, *free);

    const Result<std::string_view> vmstat = poll.read(vmstat_path_);
    std::optional<Growth<2>> growth;
    if (vmstat.ok()) {
      const auto [in, out] = pick<2>(*vmstat, {"pswpin", "pswpout"});
      if (in && out) growth = pages_.update("", {*in, *out}, poll.steady_us());
    }
    bytes_field(poll, "total_bytes", total);
    bytes_field(poll, "used_bytes", used);
    bytes_field(poll, "free_bytes", free);
    poll.field("used_percent", percent(static_cast<double>(used), static_cast<double>(*total)));
    if (growth) {
      const auto page_bytes = static_cast<double>(::sysconf(_SC_PAGESIZE));
      poll.field("in_bytes_per_second", rounded(growth->per_second(0) * page_bytes, 1));
      poll.field("out_bytes_per_second", rounded(growth->per_second(1) * page_bytes, 1));
    }
    poll.emit("swap");
    if (!vmstat.ok()) return vmstat.error();
    return {};
  }

 private:
  std::string meminfo_path_;
  std::string vmstat_path_;
  RateTable<2> pages_;
};

// Kernel documentation, accounting/psi.rst: the share of time in which some, or all, tasks waited.
class Pressure final : public Group {
 public:
  explicit Pressure(const Settings& settings) : root_(settings.proc_root + "/pressure/") {}

  Result<void> collect(Poll& poll) override {
    Result<void> first_problem;
    for (const std::string_view resource : {"cpu", "io", "memory"}) {
      Result<void> result = collect_one(poll, resource);
      if (first_problem.ok() && !result.ok()) first_problem = std::move(result);
    }
    stalls_.finish_round();
    return first_problem;
  }

 private:
  struct Stall {
    std::optional<double> avg10;
    std::optional<std::uint64_t> total_us;
  };

  // "some avg10=0.12 avg60=0.05 avg300=0.01 total=123456"
  static Stall parse(Words words) {
    Stall stall;
    for (std::string_view word = words.next(); !word.empty(); word = words.next()) {
      if (word.starts_with("avg10=")) stall.avg10 = to_double(word.substr(6));
      if (word.starts_with("total=")) stall.total_us = to_uint(word.substr(6));
    }
    return stall;
  }

  Result<void> collect_one(Poll& poll, std::string_view resource) {
    const std::string path = root_ + std::string(resource);
    PENSTOCK_TRY_ASSIGN(const std::string_view text, poll.read(path));
    Stall some;
    Stall full;
    Lines lines(text);
    while (const auto line = lines.next()) {
      Words words(*line);
      const std::string_view kind = words.next();
      if (kind == "some") some = parse(words);
      if (kind == "full") full = parse(words);
    }
    if (!some.avg10 || !some.total_us) return unknown_form(path);
    // Kernels before 5.13 have no line "full" for the processor.
    const auto growth =
        stalls_.update(resource, {*some.total_us, full.total_us.value_or(0)}, poll.steady_us());
    poll.field("resource", resource);
    report(poll, some, "some_avg10_percent", "some_total_us");
    if (growth) poll.field("some_percent", share(*growth, 0));
    if (full.avg10 && full.total_us) {
      report(poll, full, "full_avg10_percent", "full_total_us");
      if (growth) poll.field("full_percent", share(*growth, 1));
    }
    poll.emit("pressure");
    return {};
  }

  static void report(Poll& poll, const Stall& stall, std::string_view avg10_name,
                     std::string_view total_name) {
    poll.field(avg10_name, *stall.avg10);
    poll.field(total_name, *stall.total_us);
  }

  static double share(const Growth<2>& growth, std::size_t index) {
    return std::min(100.0,
                    percent(static_cast<double>(growth.counts[index]), growth.seconds * 1e6));
  }

  std::string root_;
  RateTable<2> stalls_;
};

}  // namespace

std::unique_ptr<Group> make_memory(const Settings& settings) {
  return std::make_unique<Memory>(settings);
}
std::unique_ptr<Group> make_swap(const Settings& settings) {
  return std::make_unique<Swap>(settings);
}
std::unique_ptr<Group> make_pressure(const Settings& settings) {
  return std::make_unique<Pressure>(settings);
}

}  // namespace penstock::connectors::host
