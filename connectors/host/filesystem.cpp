// Group filesystem: size and use of what is mounted. Never asks a file system that can hang.
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <climits>
#include <iterator>
#include <map>
#include <set>

#include "connectors/host/host.hpp"

namespace penstock::connectors::host {
namespace {

// Types that hold no data of their own, or are always full (images).
constexpr std::string_view left_out_types[] = {
    "autofs",   "binder",    "binfmt_misc", "bpf",        "cgroup",   "cgroup2",    "configfs",
    "cramfs",   "debugfs",   "devpts",      "devtmpfs",   "ecryptfs", "efivarfs",   "erofs",
    "fusectl",  "hugetlbfs", "iso9660",     "mqueue",     "nsfs",     "overlay",    "proc",
    "pstore",   "ramfs",     "rootfs",      "rpc_pipefs", "romfs",    "securityfs", "selinuxfs",
    "squashfs", "sysfs",     "tmpfs",       "tracefs",    "udf",
};

constexpr std::string_view remote_types[] = {
    "9p",    "acfs",     "afs",       "beegfs", "ceph",   "cifs",     "coda",   "davfs",  "fuse",
    "gfs",   "gfs2",     "glusterfs", "gpfs",   "lustre", "ncpfs",    "ncp",    "nfs",    "nfs4",
    "ocfs2", "orangefs", "pvfs2",     "smb3",   "smbfs",  "virtiofs", "vboxsf", "prl_fs",
};

template <std::size_t N>
bool is_one_of(const std::string_view (&types)[N], std::string_view type) {
  return std::find(std::begin(types), std::end(types), type) != std::end(types);
}

struct Mount {
  std::string point;
  std::string type;
  std::string source;
  std::string device;  // major:minor
  bool is_read_only = false;
};

// proc(5): space, tab, newline and backslash are written as three octal digits.
std::string unescaped(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  const auto is_octal = [](char c) { return c >= '0' && c <= '7'; };
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && is_octal(text[i + 1]) && is_octal(text[i + 2]) &&
        is_octal(text[i + 3])) {
      out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                               (text[i + 3] - '0'));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

// proc(5), /proc/PID/mountinfo:
// "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue"
// The last member is the file system's own state: a sandbox's read-only view of it is not meant.
std::optional<Mount> parse_mount(std::string_view line) {
  Words words(line);
  words.skip(2);
  Mount mount;
  mount.device = words.next();
  words.skip(1);
  mount.point = unescaped(words.next());
  std::string_view word = words.next();
  while (!word.empty() && word != "-") word = words.next();
  mount.type = words.next();
  mount.source = unescaped(words.next());
  const std::string_view options = words.next();
  mount.is_read_only = options == "ro" || options.starts_with("ro,");
  if (mount.type.empty() || mount.point.empty() || mount.point.size() >= PATH_MAX ||
      mount.point.front() != '/' || mount.type.size() > name_bytes_max ||
      mount.source.size() >= PATH_MAX || mount.device.size() > name_bytes_max) {
    return std::nullopt;
  }
  return mount;
}

bool is_below(const std::string& path, const std::string& directory) {
  return path.size() > directory.size() && path.starts_with(directory) &&
         (directory == "/" || path[directory.size()] == '/');
}

class Filesystem final : public Group {
 public:
  explicit Filesystem(const Settings& settings) : settings_(settings) {}

  Result<void> collect(Poll& poll) override {
    PENSTOCK_TRY_ASSIGN(const std::string_view text, read(poll));
    Result<void> first_problem;
    for (const Mount& mount : choose(parse(text))) {
      Result<void> result = report(poll, mount);
      if (first_problem.ok() && !result.ok()) first_problem = std::move(result);
    }
    return first_problem;
  }

 private:
  // With another mount_root the mounts meant are those of the host, which are those of process 1.
  Result<std::string_view> read(Poll& poll) const {
    if (settings_.mount_root != "/") {
      auto text = poll.read(settings_.proc_root + "/1/mountinfo");
      if (text.ok()) return text;
    }
    return poll.read(settings_.proc_root + "/self/mountinfo");
  }

  static std::vector<Mount> parse(std::string_view text) {
    std::map<std::string, Mount> by_point;  // of several mounts on one point the last one is seen
    Lines lines(text);
    while (const auto line = lines.next()) {
      if (auto mount = parse_mount(*line)) by_point[mount->point] = std::move(*mount);
    }
    std::vector<Mount> mounts;
    mounts.reserve(by_point.size());
    for (auto& [point, mount] : by_point) mounts.push_back(std::move(mount));
    return mounts;
  }

  bool is_wanted(const Mount& mount) const {
    const auto& extra = settings_.extra_types;
    if (is_remote_type(mount.type) || !settings_.mounts.takes(mount.point)) return false;
    if (std::find(extra.begin(), extra.end(), mount.type) != extra.end()) return true;
    const bool is_container_root = mount.type == "overlay" && mount.point == "/";
    return is_container_root || !is_one_of(left_out_types, mount.type);
  }

  // Each device once, at its shortest mount point; nothing whose path leads through the network.
  std::vector<Mount> choose(std::vector<Mount> mounts) const {
    std::vector<std::string> remote_points;
    for (const Mount& mount : mounts) {
      if (is_remote_type(mount.type)) remote_points.push_back(mount.point);
    }
    std::erase_if(mounts, [&](const Mount& mount) {
      return !is_wanted(mount) ||
             std::any_of(remote_points.begin(), remote_points.end(),
                         [&](const std::string& remote) { return is_below(mount.point, remote); });
    });
    std::stable_sort(mounts.begin(), mounts.end(), [](const Mount& a, const Mount& b) {
      return a.point.size() < b.point.size();
    });
    std::set<std::string> devices;
    std::erase_if(mounts, [&](const Mount& m) { return !devices.insert(m.device).second; });
    if (mounts.size() > items_max) mounts.resize(items_max);
    return mounts;
  }

  Result<void> report(Poll& poll, const Mount& mount) const {
    const std::string path =
        settings_.mount_root == "/" ? mount.point : settings_.mount_root + mount.point;
    struct ::statvfs info {};
    if (settings_.system.statvfs(path.c_str(), &info) != 0) {
      if (errno == ENOENT) return {};  // unmounted since the list was read
      return errno_error(fmt::format("statvfs {}", path));
    }
    if (info.f_blocks == 0) return {};  // holds no data, whatever its type
    const std::uint64_t block = info.f_frsize;
    const std::uint64_t used = info.f_blocks - std::min(info.f_blocks, info.f_bfree);
    poll.field("mount", std::string_view(mount.point));
    poll.field("type", std::string_view(mount.type));
    poll.field("source", std::string_view(mount.source));
    poll.field("size_bytes", info.f_blocks * block);
    poll.field("used_bytes", used * block);
    poll.field("free_bytes", info.f_bfree * block);
    poll.field("available_bytes", info.f_bavail * block);
    // As df does: of what an ordinary user can have.
    poll.field("used_percent",
               percent(static_cast<double>(used), static_cast<double>(used + info.f_bavail)));
    if (info.f_files > 0) {
      const std::uint64_t inodes_used = info.f_files - std::min(info.f_files, info.f_ffree);
      poll.field("inodes_total", static_cast<std::uint64_t>(info.f_files));
      poll.field("inodes_free", static_cast<std::uint64_t>(info.f_ffree));
      poll.field("inodes_used_percent",
                 percent(static_cast<double>(inodes_used), static_cast<double>(info.f_files)));
    }
    poll.field("read_only", mount.is_read_only);
    poll.emit("filesystem");
    return {};
  }

  const Settings& settings_;
};

}  // namespace

bool is_remote_type(std::string_view filesystem_type) {
  return is_one_of(remote_types, filesystem_type) || filesystem_type.starts_with("fuse.");
}

std::unique_ptr<Group> make_filesystem(const Settings& settings) {
  return std::make_unique<Filesystem>(settings);
}

}  // namespace penstock::connectors::host
