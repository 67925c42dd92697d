// Groups cpu (with the stream core) and load.
#include <algorithm>

#include "connectors/host/host.hpp"

namespace penstock::connectors::host {
namespace {

// proc(5), /proc/stat: user and nice contain guest and guest_nice.
enum Mode { user, nice, system, idle, iowait, irq, softirq, steal, guest, guest_nice, mode_count };
using Growths = Growth<mode_count>;

// Shares of the time of all modes, together 100 %.
class Shares {
 public:
  explicit Shares(const Growths& growth) : growth_(growth) {
    for (std::size_t mode = user; mode <= steal; ++mode) total_ += count(mode);
  }
  bool has_time() const { return total_ > 0; }
  double busy() const { return percent(total_ - count(idle) - count(iowait), total_); }

  void add_to(Poll& poll) const {
    const double as_guest = count(guest) + count(guest_nice);
    poll.field("busy_percent", busy());
    poll.field("user_percent", share(std::max(0.0, count(user) - count(guest))));
    poll.field("nice_percent", share(std::max(0.0, count(nice) - count(guest_nice))));
    poll.field("system_percent", share(count(system)));
    poll.field("idle_percent", share(count(idle)));
    poll.field("iowait_percent", share(count(iowait)));
    poll.field("irq_percent", share(count(irq)));
    poll.field("softirq_percent", share(count(softirq)));
    poll.field("steal_percent", share(count(steal)));
    poll.field("guest_percent", share(as_guest));
  }

 private:
  double count(std::size_t mode) const { return static_cast<double>(growth_.counts[mode]); }
  double share(double part) const { return percent(part, total_); }

  const Growths& growth_;
  double total_ = 0;
};

class Cpu final : public Group {
 public:
  explicit Cpu(const Settings& settings)
      : path_(settings.proc_root + "/stat"), per_core_(settings.per_core) {}

  Result<void> collect(Poll& poll) override {
    PENSTOCK_TRY_ASSIGN(const std::string_view text, poll.read(path_));
    std::optional<Growths> total;
    double busiest = 0;
    std::uint64_t cores = 0;
    Lines lines(text);
    while (const auto line = lines.next()) {
      Words words(*line);
      const std::string_view name = words.next();
      if (!name.starts_with("cpu")) continue;
      const auto core = to_uint(name.substr(3));
      if ((!core && name != "cpu") || cores == items_max) continue;
      auto growth = rates_.update(name, counts_of(words), poll.steady_us(), OnFall::count_as_zero);
      if (!core) {
        total = growth;
        continue;
      }
      ++cores;
      if (growth) busiest = std::max(busiest, report_core(poll, *core, *growth));
    }
    rates_.finish_round();
    if (!total || !Shares(*total).has_time()) return {};
    Shares(*total).add_to(poll);
    poll.field("busiest_core_percent", busiest);
    poll.field("cores", cores);
    poll.emit("cpu");
    return {};
  }

 private:
  static RateTable<mode_count>::Counts counts_of(Words& words) {
    RateTable<mode_count>::Counts counts{};
    for (std::uint64_t& count : counts) count = to_uint(words.next()).value_or(0);
    return counts;
  }

  double report_core(Poll& poll, std::uint64_t core, const Growths& growth) const {
    const Shares shares(growth);
    if (!shares.has_time()) return 0;
    if (per_core_) {
      poll.field("core", core);
      shares.add_to(poll);
      poll.emit("core");
    }
    return shares.busy();
  }

  std::string path_;
  bool per_core_;
  RateTable<mode_count> rates_;
};

class Load final : public Group {
 public:
  explicit Load(const Settings& settings) : path_(settings.proc_root + "/loadavg") {}

  Result<void> collect(Poll& poll) override {
    PENSTOCK_TRY_ASSIGN(const std::string_view text, poll.read(path_));
    Words words(text);
    const auto load1 = to_double(words.next());
    const auto load5 = to_double(words.next());
    const auto load15 = to_double(words.next());
    if (!load1 || !load5 || !load15) return unknown_form(path_);
    poll.field("load1", *load1);
    poll.field("load5", *load5);
    poll.field("load15", *load15);
    poll.emit("load");
    return {};
  }

 private:
  std::string path_;
};

}  // namespace

std::unique_ptr<Group> make_cpu(const Settings& settings) {
  return std::make_unique<Cpu>(settings);
}
std::unique_ptr<Group> make_load(const Settings& settings) {
  return std::make_unique<Load>(settings);
}

}  // namespace penstock::connectors::host
