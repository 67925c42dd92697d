// Group disk: what whole disks read and write.
#include <algorithm>

#include "connectors/host/host.hpp"

namespace penstock::connectors::host {
namespace {

// Kernel documentation, admin-guide/iostats.rst, in the order of its fields.
enum Column {
  reads,
  reads_merged,
  sectors_read,
  read_ms,
  writes,
  writes_merged,
  sectors_written,
  write_ms,
  in_progress,
  busy_ms,
  column_count
};
using Columns = std::array<std::uint64_t, column_count>;

constexpr std::uint64_t sector_bytes = 512;  // of this interface, whatever the device has

class Disk final : public Group {
 public:
  explicit Disk(const Settings& settings)
      : stats_path_(settings.proc_root + "/diskstats"),
        whole_disks_path_(settings.sys_root + "/block"),
        filter_(settings.disks) {}

  Result<void> collect(Poll& poll) override {
    const auto whole_disks = list_directory(whole_disks_path_, 8 * items_max);
    PENSTOCK_TRY_ASSIGN(const std::string_view text, poll.read(stats_path_));
    std::size_t count = 0;
    Lines lines(text);
    while (const auto line = lines.next()) {
      Words words(*line);
      words.skip(2);  // major and minor number
      const std::string_view name = words.next();
      if (name.empty() || name.size() > name_bytes_max || !filter_.takes(name)) continue;
      if (whole_disks.ok() && !is_listed(*whole_disks, name)) continue;
      Columns columns{};
      std::size_t known = 0;
      for (std::uint64_t& column : columns) {
        if (const auto value = to_uint(words.next())) {
          column = *value;
          ++known;
        }
      }
      if (known < column_count || ++count > items_max) continue;
      report(poll, name, columns);
    }
    growths_.finish_round();
    times_.finish_round();
    return {};
  }

 private:
  // Partitions are in diskstats but not in /sys/block, where '/' in a name is written '!'.
  static bool is_listed(const std::vector<std::string>& sorted, std::string_view name) {
    std::string in_sys(name);
    std::replace(in_sys.begin(), in_sys.end(), '/', '!');
    return std::binary_search(sorted.begin(), sorted.end(), in_sys);
  }

  void report(Poll& poll, std::string_view name, const Columns& now) {
    const auto growth = growths_.update(
        name, {now[reads], now[writes], now[sectors_read], now[sectors_written]}, poll.steady_us());
    // Times are 32 bits wide in the kernel and start again at 0, on a busy disk after 50 days.
    const auto times =
        times_.update(name, {now[read_ms], now[write_ms], now[busy_ms]}, poll.steady_us());
    poll.field("disk", name);
    poll.field("read_bytes_total", now[sectors_read] * sector_bytes);
    poll.field("written_bytes_total", now[sectors_written] * sector_bytes);
    poll.field("reads_total", now[reads]);
    poll.field("writes_total", now[writes]);
    poll.field("busy_ms_total", now[busy_ms]);
    poll.field("in_progress", now[in_progress]);
    if (growth) {
      poll.field("read_bytes_per_second", bytes_per_second(*growth, 2));
      poll.field("written_bytes_per_second", bytes_per_second(*growth, 3));
      poll.field("reads_per_second", growth->per_second(0));
      poll.field("writes_per_second", growth->per_second(1));
    }
    if (growth && times) {
      poll.field("busy_percent", std::min(100.0, percent(static_cast<double>(times->counts[2]),
                                                         times->seconds * 1000)));
      if (growth->counts[0] > 0) poll.field("read_wait_ms", each(*times, 0, growth->counts[0]));
      if (growth->counts[1] > 0) poll.field("write_wait_ms", each(*times, 1, growth->counts[1]));
    }
    poll.emit("disk");
  }

  static double bytes_per_second(const Growth<4>& growth, std::size_t index) {
    const auto bytes = static_cast<double>(growth.counts[index] * sector_bytes);
    return rounded(bytes / growth.seconds, 1);
  }

  static double each(const Growth<3>& times, std::size_t index, std::uint64_t operations) {
    return rounded(static_cast<double>(times.counts[index]) / static_cast<double>(operations), 3);
  }

  std::string stats_path_;
  std::string whole_disks_path_;
  const Filter& filter_;
  RateTable<4> growths_;
  RateTable<3> times_;
};

}  // namespace

std::unique_ptr<Group> make_disk(const Settings& settings) {
  return std::make_unique<Disk>(settings);
}

}  // namespace penstock::connectors::host
