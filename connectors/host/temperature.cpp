// Group temperature: the sensors under /sys/class/hwmon and /sys/class/thermal.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <climits>

#include "connectors/host/host.hpp"

namespace penstock::connectors::host {
namespace {

constexpr std::int64_t search_again_us = 60'000'000;
constexpr std::size_t chips_max = 256;
constexpr std::size_t files_per_chip_max = 4096;
constexpr std::int64_t absolute_zero_millidegrees =
    -273'150;  // below: "no reading" of some drivers

struct Sensor {
  std::string path;
  std::string chip;    // coretemp, nvme, cpu-thermal
  std::string parent;  // the device that the chip belongs to: nvme0, coretemp.0, thermal_zone0
  std::string name;    // its label ("Package id 0"), else temp1, temp2 …
};

std::string last_name_of_link(const std::string& path, const std::string& otherwise) {
  std::string target(PATH_MAX, '\0');
  const ssize_t size = ::readlink(path.c_str(), target.data(), target.size());
  if (size <= 0) return otherwise;
  target.resize(static_cast<std::size_t>(size));
  return target.substr(target.find_last_of('/') + 1);
}

// The kernel names the hwmon chip of a thermal zone after the zone, with '_' for '-'.
std::string as_chip_name(std::string zone_type) {
  std::replace(zone_type.begin(), zone_type.end(), '-', '_');
  return zone_type;
}

class Temperature final : public Group {
 public:
  explicit Temperature(const Settings& settings)
      : hwmon_(settings.sys_root + "/class/hwmon"),
        thermal_(settings.sys_root + "/class/thermal"),
        filter_(settings.chips) {}

  Result<void> collect(Poll& poll) override {
    if (is_stale_ || poll.steady_us() - searched_us_ >= search_again_us) search(poll);
    for (const Sensor& sensor : sensors_) report(poll, sensor);
    if (has_no_directory_) {
      return Error{Errc::unavailable, fmt::format("{} and {}: not there", hwmon_, thermal_)};
    }
    return {};
  }

 private:
  void search(Poll& poll) {
    sensors_.clear();
    chips_.clear();
    is_stale_ = false;
    searched_us_ = poll.steady_us();
    const auto chips = list_directory(hwmon_, chips_max);
    const auto zones = list_directory(thermal_, chips_max);
    has_no_directory_ = !chips.ok() && !zones.ok();
    if (chips.ok()) {
      for (const std::string& chip : *chips) search_chip(poll, chip);
    }
    if (zones.ok()) {
      for (const std::string& zone : *zones) search_zone(poll, zone);
    }
  }

  void search_chip(Poll& poll, const std::string& directory) {
    const std::string root = hwmon_ + "/" + directory;
    const std::string chip = read_text(poll, root + "/name", directory);
    const auto files = list_directory(root, files_per_chip_max);
    if (!files.ok()) return;
    const std::string parent = last_name_of_link(root + "/device", directory);
    for (const std::string& file : *files) {
      if (!file.starts_with("temp") || !file.ends_with("_input")) continue;
      if (chips_.empty() || chips_.back() != chip) chips_.push_back(chip);
      if (!filter_.takes(chip)) return;
      const std::string number = file.substr(0, file.size() - std::string_view("_input").size());
      keep({root + "/" + file, chip, parent,
            read_text(poll, root + "/" + number + "_label", number)});
    }
  }

  void search_zone(Poll& poll, const std::string& directory) {
    if (!directory.starts_with("thermal_zone")) return;
    const std::string root = thermal_ + "/" + directory;
    const std::string chip = read_text(poll, root + "/type", directory);
    const bool is_known =
        std::find(chips_.begin(), chips_.end(), as_chip_name(chip)) != chips_.end();
    if (!is_known && filter_.takes(chip)) keep({root + "/temp", chip, directory, "temp"});
  }

  void keep(Sensor sensor) {
    if (sensors_.size() < items_max) sensors_.push_back(std::move(sensor));
  }

  static std::string read_text(Poll& poll, const std::string& path, const std::string& otherwise) {
    const auto text = poll.read(path);
    if (!text.ok()) return otherwise;
    const std::string_view line = trimmed(text->substr(0, name_bytes_max));
    return line.empty() ? otherwise : std::string(line);
  }

  // A sensor that gives no value now (asleep, busy) is left out; one that is gone brings a new
  // search.
  void report(Poll& poll, const Sensor& sensor) {
    const auto text = poll.read(sensor.path);
    if (!text.ok()) {
      is_stale_ = is_stale_ || ::access(sensor.path.c_str(), F_OK) != 0;
      return;
    }
    const auto millidegrees = to_int(trimmed(*text));
    if (!millidegrees || *millidegrees < absolute_zero_millidegrees) return;
    poll.field("chip", std::string_view(sensor.chip));
    poll.field("parent", std::string_view(sensor.parent));
    poll.field("sensor", std::string_view(sensor.name));
    poll.field("temperature_celsius", rounded(static_cast<double>(*millidegrees) / 1000, 3));
    poll.emit("temperature");
  }

  std::string hwmon_;
  std::string thermal_;
  const Filter& filter_;
  std::vector<Sensor> sensors_;
  std::vector<std::string> chips_;  // names of the hwmon chips that have a thermometer
  bool is_stale_ = true;
  bool has_no_directory_ = false;
  std::int64_t searched_us_ = 0;
};

}  // namespace

std::unique_ptr<Group> make_temperature(const Settings& settings) {
  return std::make_unique<Temperature>(settings);
}

}  // namespace penstock::connectors::host
