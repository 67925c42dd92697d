// Group network: traffic, errors and state of the interfaces.
#include <string>

#include "connectors/host/host.hpp"

namespace penstock::connectors::host {
namespace {

enum Counter {
  received_bytes,
  received_packets,
  received_errors,
  received_drops,
  sent_bytes,
  sent_packets,
  sent_errors,
  sent_drops,
  counter_count
};
using Counters = std::array<std::uint64_t, counter_count>;

struct CounterNames {
  std::string_view total;
  std::string_view rate;
};
constexpr std::array<CounterNames, counter_count> names{{
    {"received_bytes_total", "received_bytes_per_second"},
    {"received_packets_total", "received_packets_per_second"},
    {"received_errors_total", "received_errors_per_second"},
    {"received_drops_total", "received_drops_per_second"},
    {"sent_bytes_total", "sent_bytes_per_second"},
    {"sent_packets_total", "sent_packets_per_second"},
    {"sent_errors_total", "sent_errors_per_second"},
    {"sent_drops_total", "sent_drops_per_second"},
}};

class Network final : public Group {
 public:
  explicit Network(const Settings& settings)
      : own_path_(settings.proc_root + "/net/dev"),
        init_path_(settings.proc_root + "/1/net/dev"),
        is_host_view_(settings.proc_root != "/proc"),
        state_root_(settings.sys_root + "/class/net/"),
        filter_(settings.interfaces) {}

  Result<void> collect(Poll& poll) override {
    PENSTOCK_TRY_ASSIGN(const std::string text, read(poll));
    std::size_t count = 0;
    Lines lines(text);
    while (const auto line = lines.next()) {
      const std::size_t colon = line->find(':');
      if (colon == std::string_view::npos) continue;  // one of the two head lines
      const std::string_view name = trimmed(line->substr(0, colon));
      if (name.empty() || name.size() > name_bytes_max || !filter_.takes(name)) continue;
      const auto counters = parse(line->substr(colon + 1));
      if (!counters || ++count > items_max) continue;
      report(poll, name, *counters);
    }
    rates_.finish_round();
    return {};
  }

 private:
  // net/dev tells of the network name space of its reader. Under another proc_root that is the
  // container's, while the host's is the one of process 1. A copy: the state files are read into
  // the same buffer.
  Result<std::string> read(Poll& poll) const {
    if (is_host_view_) {
      if (const auto text = poll.read(init_path_); text.ok()) return std::string(*text);
    }
    PENSTOCK_TRY_ASSIGN(const std::string_view text, poll.read(own_path_));
    return std::string(text);
  }

  static std::optional<Counters> parse(std::string_view text) {
    std::array<std::uint64_t, 12> columns{};
    Words words(text);
    for (std::uint64_t& column : columns) {
      const auto value = to_uint(words.next());
      if (!value) return std::nullopt;
      column = *value;
    }
    return Counters{columns[0], columns[1], columns[2],  columns[3],
                    columns[8], columns[9], columns[10], columns[11]};
  }

  void report(Poll& poll, std::string_view name, const Counters& counters) {
    const auto growth = rates_.update(name, counters, poll.steady_us());
    poll.field("interface", name);
    report_state(poll, name);
    for (std::size_t i = 0; i < counter_count; ++i) poll.field(names[i].total, counters[i]);
    for (std::size_t i = 0; growth && i < counter_count; ++i) {
      poll.field(names[i].rate, growth->per_second(i));
    }
    poll.emit("network");
  }

  // up | down | unknown (lo, tunnels) | dormant …
  void report_state(Poll& poll, std::string_view name) const {
    if (name.find('/') != std::string_view::npos) return;  // the kernel takes no such name
    const auto state = poll.read(state_root_ + std::string(name) + "/operstate");
    if (state.ok() && state->size() <= name_bytes_max) poll.field("state", trimmed(*state));
  }

  std::string own_path_;
  std::string init_path_;
  bool is_host_view_;
  std::string state_root_;
  const Filter& filter_;
  RateTable<counter_count> rates_;
};

}  // namespace

std::unique_ptr<Group> make_network(const Settings& settings) {
  return std::make_unique<Network>(settings);
}

}  // namespace penstock::connectors::host
