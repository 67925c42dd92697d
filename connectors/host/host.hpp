// The host connector: its settings, and the groups of metrics that it collects.
#pragma once

#include <sys/statvfs.h>
#include <sys/timex.h>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.hpp"
#include "connectors/api/connector.hpp"
#include "connectors/host/reading.hpp"

namespace penstock::connectors::host {

/// Names by glob: taken if `include` is empty or has a match, and `exclude` has none.
struct Filter {
  std::vector<std::string> include;
  std::vector<std::string> exclude;

  bool takes(std::string_view name) const;
};

/// What cannot be read from a tree of files. Tests put their own functions here.
struct SystemCalls {
  int (*statvfs)(const char* path, struct ::statvfs* out) = ::statvfs;
  int (*adjtimex)(struct ::timex* out) = ::adjtimex;
};

struct Settings {
  std::chrono::microseconds every{};
  std::vector<std::string> collect;
  bool per_core = false;
  std::string proc_root;
  std::string sys_root;
  std::string mount_root;  ///< in front of every mount point
  Filter disks;
  Filter mounts;
  std::vector<std::string> extra_types;  ///< file systems reported though left out by default
  Filter interfaces;
  Filter chips;
  SystemCalls system;
};

/// One kind of metrics. Keeps what it needs to know of the poll before. Thread: owner only.
class Group {
 public:
  virtual ~Group() = default;
  /// Appends what can be read now. An error (never fatal) tells the first thing that could not be
  /// read; what was appended before and after it stands.
  virtual Result<void> collect(Poll& poll) = 0;
};

/// `settings` outlives the group.
std::unique_ptr<Group> make_cpu(const Settings& settings);
std::unique_ptr<Group> make_load(const Settings& settings);
std::unique_ptr<Group> make_memory(const Settings& settings);
std::unique_ptr<Group> make_swap(const Settings& settings);
std::unique_ptr<Group> make_pressure(const Settings& settings);
std::unique_ptr<Group> make_disk(const Settings& settings);
std::unique_ptr<Group> make_filesystem(const Settings& settings);
std::unique_ptr<Group> make_network(const Settings& settings);
std::unique_ptr<Group> make_temperature(const Settings& settings);
std::unique_ptr<Group> make_system(const Settings& settings);
std::unique_ptr<Group> make_clock(const Settings& settings);

/// Network file systems, and those that may depend on one: asking them can hang, so they are never
/// asked.
bool is_remote_type(std::string_view filesystem_type);

std::unique_ptr<Connector> make_host(Settings settings);

}  // namespace penstock::connectors::host
