// The host connector: options, and the poll that asks each group in turn.
#include "connectors/host/host.hpp"

#include <fmt/format.h>
#include <fnmatch.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <iterator>

#include "agent/base/log.hpp"

namespace penstock::connectors::host {
namespace {

using config::Option;
using config::OptionType;

struct GroupType {
  std::string_view name;
  std::unique_ptr<Group> (*make)(const Settings& settings);
};

constexpr GroupType group_types[] = {
    {"cpu", make_cpu},
    {"load", make_load},
    {"memory", make_memory},
    {"swap", make_swap},
    {"pressure", make_pressure},
    {"disk", make_disk},
    {"filesystem", make_filesystem},
    {"network", make_network},
    {"temperature", make_temperature},
    {"system", make_system},
    {"clock", make_clock},
};

constexpr auto group_names = [] {
  std::array<std::string_view, std::size(group_types)> names{};
  for (std::size_t i = 0; i < names.size(); ++i) names[i] = group_types[i].name;
  return names;
}();

constexpr Option disk_options[] = {
    {.name = "include",
     .type = OptionType::text_list,
     .doc = "Only disks that match one of these globs",
     .example = "[sda, \"nvme*\"]"},
    {.name = "exclude",
     .type = OptionType::text_list,
     .doc = "No disks that match one of these globs",
     .default_text = "[\"loop*\", \"ram*\", \"sr*\", \"fd*\"]"},
};
constexpr Option filesystem_options[] = {
    {.name = "include",
     .type = OptionType::text_list,
     .doc = "Only mount points that match one of these globs",
     .example = "[/, \"/data*\"]"},
    {.name = "exclude",
     .type = OptionType::text_list,
     .doc = "No mount points that match one of these globs",
     .example = "[\"/snap/*\"]"},
    {.name = "extra_types",
     .type = OptionType::text_list,
     .doc = "File system types to report though they are left out by default; not network ones",
     .example = "[tmpfs]"},
};
constexpr Option network_options[] = {
    {.name = "include",
     .type = OptionType::text_list,
     .doc = "Only interfaces that match one of these globs",
     .example = "[\"eth*\", wlan0]"},
    {.name = "exclude",
     .type = OptionType::text_list,
     .doc = "No interfaces that match one of these globs",
     .default_text = "[lo, \"veth*\"]"},
};
constexpr Option temperature_options[] = {
    {.name = "include",
     .type = OptionType::text_list,
     .doc = "Only chips whose name matches one of these globs",
     .example = "[coretemp]"},
    {.name = "exclude",
     .type = OptionType::text_list,
     .doc = "No chips whose name matches one of these globs",
     .example = "[drivetemp]"},
};

constexpr Option options[] = {
    {.name = "every",
     .type = OptionType::duration,
     .doc = "Time between two polls",
     .default_text = "10s",
     .min = "100ms"},
    {.name = "collect",
     .type = OptionType::text_list,
     .doc = "Groups of metrics to collect; all of them unless given",
     .choices = group_names,
     .example = "[cpu, memory, network]"},
    {.name = "per_core",
     .type = OptionType::boolean,
     .doc = "Also one event for each processor core, in the stream `core`",
     .default_text = "false"},
    {.name = "disk", .type = OptionType::section, .doc = "Which disks", .children = disk_options},
    {.name = "filesystem",
     .type = OptionType::section,
     .doc = "Which file systems",
     .children = filesystem_options},
    {.name = "network",
     .type = OptionType::section,
     .doc = "Which network interfaces",
     .children = network_options},
    {.name = "temperature",
     .type = OptionType::section,
     .doc = "Which temperature sensors",
     .children = temperature_options},
    {.name = "proc_root",
     .type = OptionType::text,
     .doc = "Where the proc file system is; in a container, where the host's is mounted",
     .default_text = "/proc"},
    {.name = "sys_root",
     .type = OptionType::text,
     .doc = "Where the sys file system is",
     .default_text = "/sys"},
    {.name = "mount_root",
     .type = OptionType::text,
     .doc = "Directory under which the mount points are found",
     .default_text = "/"},
};

class Host final : public PollConnector {
 public:
  explicit Host(Settings settings)
      : PollConnector(settings.every), settings_(std::move(settings)) {}

 protected:
  Result<void> open(Session& session) override {
    session_ = &session;
    groups_.clear();
    for (const GroupType& type : group_types) {
      const auto& wanted = settings_.collect;
      if (std::find(wanted.begin(), wanted.end(), type.name) == wanted.end()) continue;
      groups_.push_back({type.name, type.make(settings_), {}});
    }
    return {};
  }

  Result<void> poll(Chunk& out) override {
    if (::access(settings_.proc_root.c_str(), X_OK) != 0) {
      return errno_error(fmt::format("proc_root {}", quoted(settings_.proc_root)));
    }
    Poll poll(out, reader_, session_->clock().wall_us(), session_->clock().steady_us());
    for (Member& member : groups_) note(member, member.group->collect(poll));
    return {};
  }

 private:
  struct Member {
    std::string_view name;
    std::unique_ptr<Group> group;
    std::string problem;  // as logged; "" = all was well at the poll before
  };

  // What a machine does not have stays away for good: one line when that changes, none per poll.
  void note(Member& member, const Result<void>& result) {
    const std::string problem = result.ok() ? std::string() : result.error().text;
    if (problem == member.problem) return;
    if (problem.empty()) {
      session_->log().info("event=group_readable group={}", member.name);
    } else {
      session_->log().info("event=group_incomplete group={} reason={}", member.name,
                           quoted(problem));
    }
    member.problem = problem;
  }

  Settings settings_;
  Session* session_ = nullptr;
  FileReader reader_;
  std::vector<Member> groups_;
};

Filter filter_of(const config::Section& section) {
  return {section.text_list("include"), section.text_list("exclude")};
}

std::string without_last_slash(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

Result<std::unique_ptr<Connector>> make(const config::Section& section) {
  Settings settings;
  settings.every = section.duration("every");
  settings.collect = section.text_list("collect");
  if (settings.collect.empty()) settings.collect.assign(group_names.begin(), group_names.end());
  settings.per_core = section.boolean("per_core");
  settings.proc_root = without_last_slash(section.text("proc_root"));
  settings.sys_root = without_last_slash(section.text("sys_root"));
  settings.mount_root = without_last_slash(section.text("mount_root"));
  settings.disks = filter_of(section.section("disk"));
  settings.interfaces = filter_of(section.section("network"));
  settings.chips = filter_of(section.section("temperature"));
  const config::Section filesystem = section.section("filesystem");
  settings.mounts = filter_of(filesystem);
  settings.extra_types = filesystem.text_list("extra_types");
  for (const std::string& type : settings.extra_types) {
    if (is_remote_type(type)) {
      return filesystem.invalid("extra_types",
                                fmt::format("{} may be a network file system", quoted(type)),
                                "a server that is away would hang this connector: leave it out");
    }
  }
  return make_host(std::move(settings));
}

bool matches_any(const std::vector<std::string>& globs, const std::string& name) {
  return std::any_of(globs.begin(), globs.end(), [&](const std::string& glob) {
    return ::fnmatch(glob.c_str(), name.c_str(), 0) == 0;
  });
}

}  // namespace

bool Filter::takes(std::string_view name) const {
  const std::string terminated(name);
  return (include.empty() || matches_any(include, terminated)) && !matches_any(exclude, terminated);
}

std::unique_ptr<Connector> make_host(Settings settings) {
  return std::make_unique<Host>(std::move(settings));
}

extern const ConnectorType type;
const ConnectorType type{
    .name = "host",
    .summary = "this machine: processor, memory, disks, file systems, network, temperatures, clock",
    .is_rereadable = false,
    .options = options,
    .make = make,
};

}  // namespace penstock::connectors::host
