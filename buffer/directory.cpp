#include "buffer/directory.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <linux/magic.h>
#include <pwd.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "agent/base/log.hpp"

namespace penstock::buffer {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::seconds orphan_patience{5};

struct FileSystem {
  std::uint32_t magic;
  const char* name;
};
// Remote or without the ordering, locks or modes that the store rests on.
constexpr FileSystem refused[] = {
    {NFS_SUPER_MAGIC, "NFS"},   {SMB_SUPER_MAGIC, "SMB"}, {0xFF534D42, "CIFS"},
    {0xFE534D42, "SMB2"},       {V9FS_MAGIC, "9p"},       {FUSE_SUPER_MAGIC, "FUSE"},
    {MSDOS_SUPER_MAGIC, "FAT"}, {0x2011BAB0, "exFAT"},    {0x00C36400, "Ceph"},
    {AFS_SUPER_MAGIC, "AFS"},   {NCP_SUPER_MAGIC, "NCP"}, {CODA_SUPER_MAGIC, "Coda"},
};

std::string user_name(uid_t uid) {
  passwd entry = {};
  passwd* found = nullptr;
  char buffer[1024];
  if (::getpwuid_r(uid, &entry, buffer, sizeof buffer, &found) == 0 && found != nullptr) {
    return found->pw_name;
  }
  return std::to_string(uid);
}

/// "unavailable" with whose directory it is, where rights are what is wrong.
Error denied(const fs::path& path, int err) {
  Error error = errno_error(fmt::format("buffer directory {}", path.string()), err);
  if (err != EACCES && err != EPERM) return error;
  struct stat info = {};
  fs::path owned = path;
  while (::stat(owned.c_str(), &info) != 0) {
    if (!owned.has_relative_path()) return error;
    owned = owned.parent_path();
  }
  error.text += fmt::format(" ({} belongs to {}, mode {:04o}; this process is {})", owned.string(),
                            user_name(info.st_uid), info.st_mode & 07777, user_name(::geteuid()));
  return error;
}

Result<void> sync_directory(const fs::path& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.is_open() || ::fsync(fd.get()) != 0) {
    return errno_error(fmt::format("sync directory {}", path.string()));
  }
  return {};
}

Result<void> make_directory(const fs::path& path) {
  std::error_code failed;
  if (fs::exists(path, failed)) return {};
  if (failed) return denied(path, failed.value());
  if (path.has_parent_path()) fs::create_directories(path.parent_path(), failed);
  if (failed) {
    return Error{Errc::unavailable, fmt::format("make directory {}: {}",
                                                path.parent_path().string(), failed.message())};
  }
  if (::mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return {};
  return denied(path.has_parent_path() ? path.parent_path() : fs::path("."), errno);
}

/// Makes the names on the way to `path` durable, within its file system: whoever made them, a power
/// cut could take them back with all that is below.
Result<void> sync_way_to(const fs::path& path) {
  struct stat own = {};
  if (::stat(path.c_str(), &own) != 0) return denied(path, errno);
  std::error_code failed;
  fs::path folder = fs::canonical(path, failed);
  if (failed) return denied(path, failed.value());
  while (folder.has_relative_path()) {
    folder = folder.parent_path();
    struct stat info = {};
    if (::stat(folder.c_str(), &info) != 0 || info.st_dev != own.st_dev) break;
    // What this process may not read it has not made.
    const auto synced = sync_directory(folder);
    if (!synced.ok() && ::access(folder.c_str(), R_OK) == 0) return synced;
  }
  return {};
}

Result<void> check_file_system(const fs::path& path, std::vector<std::string>& warnings) {
  struct statfs info = {};
  if (::statfs(path.c_str(), &info) != 0) return denied(path, errno);
  const auto magic = static_cast<std::uint32_t>(info.f_type);
  for (const FileSystem& system : refused) {
    if (magic != system.magic) continue;
    return Error{Errc::invalid,
                 fmt::format("buffer directory {} is on {}: the buffer needs a local "
                             "disk (ext4, xfs, btrfs, f2fs, tmpfs)",
                             path.string(), system.name)};
  }
  if (magic == BTRFS_SUPER_MAGIC) {
    warnings.push_back(
        fmt::format("buffer directory {} is on btrfs: reserved blocks may not help on a full disk",
                    path.string()));
  }
  return {};
}

Result<void> sync_file(const fs::path& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd.is_open() || ::fsync(fd.get()) != 0) {
    return errno_error(fmt::format("sync {}", path.string()));
  }
  return {};
}

std::string holder_of(int lock_fd) {
  char text[32] = {};
  const ssize_t size = ::pread(lock_fd, text, sizeof text - 1, 0);
  std::string pid;
  for (ssize_t i = 0; i < size && text[i] >= '0' && text[i] <= '9'; ++i) pid += text[i];
  return pid.empty() ? "unknown" : pid;
}

/// The process that noted itself in the lock is gone, and something else holds it.
bool is_orphaned(int lock_fd) {
  const std::string pid = holder_of(lock_fd);
  if (pid == "unknown") return false;
  return ::kill(static_cast<pid_t>(std::strtol(pid.c_str(), nullptr, 10)), 0) != 0 &&
         errno == ESRCH;
}

/// 0 or the errno. A killed agent's child keeps the lock from its fork to its exec, or to its end:
/// it is waited for, and the wait is told when it begins: whoever started an agent sees why it is
/// silent.
int lock_patiently(int fd, const fs::path& path) {
  using namespace std::chrono;
  const auto until = steady_clock::now() + orphan_patience;
  for (bool is_told = false;; is_told = true) {
    if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return 0;
    if (errno != EWOULDBLOCK) return errno;
    if (!is_orphaned(fd) || steady_clock::now() >= until) return EWOULDBLOCK;
    if (!is_told) {
      Log("buffer").warn(
          "event=buffer_held path={} pid={} text=\"the agent that took it is gone from here, and a "
          "child of it or another container has the buffer: waiting up to {} s for it\"",
          penstock::quoted(path.string()), holder_of(fd), orphan_patience.count());
    }
    std::this_thread::sleep_for(10ms);
  }
}

Result<void> lock_file(int fd, const fs::path& path) {
  const int code = lock_patiently(fd, path);
  if (code == 0) return {};
  if (code != EWOULDBLOCK) return errno_error(fmt::format("lock {}/LOCK", path.string()), code);
  return Error{Errc::unavailable, fmt::format("another agent (pid {}) is using the buffer {}",
                                              holder_of(fd), path.string())};
}

/// Against an agent that holds the buffer since before it became read-only. Without a file for it
/// the lock is a closed descriptor: no agent has ever been here, and none can come.
Result<UniqueFd> take_lock_to_read(const fs::path& path) {
  UniqueFd fd(::open((path / "LOCK").c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.is_open() && errno != ENOENT) return denied(path, errno);
  if (fd.is_open()) PENSTOCK_TRY(lock_file(fd.get(), path));
  return fd;
}

/// is_read_only: in, whether that will do; out, whether it is.
Result<UniqueFd> take_lock(const fs::path& path, bool& is_read_only) {
  UniqueFd fd(::open((path / "LOCK").c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.is_open() && errno == EROFS && is_read_only) return take_lock_to_read(path);
  is_read_only = false;
  if (!fd.is_open()) return denied(path, errno);
  PENSTOCK_TRY(give_to_owner(path, path / "LOCK"));
  PENSTOCK_TRY(lock_file(fd.get(), path));
  // Only for the message above; on a full disk it is missing.
  const std::string pid = fmt::format("{}\n", ::getpid());
  if (::ftruncate(fd.get(), 0) != 0 || ::pwrite(fd.get(), pid.data(), pid.size(), 0) < 0) return fd;
  return fd;
}

}  // namespace

Result<void> give_to_owner(const fs::path& directory, const fs::path& made) {
  if (::geteuid() != 0) return {};
  struct stat folder = {};
  struct stat own = {};
  if (::stat(directory.c_str(), &folder) != 0) return errno_error(directory.string());
  const UniqueFd fd(::open(made.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd.is_open() || ::fstat(fd.get(), &own) != 0) return errno_error(made.string());
  // A file with a second name may be one of root's that somebody put here.
  const bool is_of_here = S_ISDIR(own.st_mode) || (S_ISREG(own.st_mode) && own.st_nlink == 1);
  if (folder.st_uid == 0 || own.st_uid != 0 || !is_of_here) return {};
  if (::fchown(fd.get(), folder.st_uid, folder.st_gid) == 0) return {};
  return errno_error(fmt::format("give {} to {}", made.string(), user_name(folder.st_uid)));
}

Result<Directory> Directory::hold(const fs::path& path, bool make,
                                  std::vector<std::string>& warnings) {
  if (make) PENSTOCK_TRY(make_directory(path));
  struct stat info = {};
  if (::stat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) {
      return Error{Errc::invalid, fmt::format("there is no buffer in {}", path.string())};
    }
    return denied(path, errno);
  }
  if (!S_ISDIR(info.st_mode)) {
    return Error{Errc::invalid, fmt::format("{} is not a directory", path.string())};
  }
  PENSTOCK_TRY(check_file_system(path, warnings));
  bool is_read_only = !make;
  PENSTOCK_TRY_ASSIGN(UniqueFd lock, take_lock(path, is_read_only));
  return Directory(path, std::move(lock), is_read_only);
}

Result<void> Directory::remove_leftovers() const {
  for (const fs::path& file : {birth_file(), copy_file()}) {
    if (::unlink(file.c_str()) != 0 && errno != ENOENT) {
      return errno_error(fmt::format("remove {}", file.string()));
    }
  }
  return {};
}

Result<void> Directory::publish_copy() const {
  PENSTOCK_TRY(give_to_owner(path_, copy_file()));
  PENSTOCK_TRY(sync_file(copy_file()));
  if (::rename(copy_file().c_str(), file().c_str()) != 0) {
    return errno_error(fmt::format("rename {}", copy_file().string()));
  }
  return {};
}

Result<void> Directory::sync_names() const { return sync_directory(path_); }

Result<void> Directory::publish_birth() const {
  PENSTOCK_TRY(give_to_owner(path_, birth_file()));
  PENSTOCK_TRY(sync_file(birth_file()));
  PENSTOCK_TRY(sync_way_to(path_));
  if (::rename(birth_file().c_str(), file().c_str()) != 0) {
    return errno_error(fmt::format("rename {}", birth_file().string()));
  }
  return sync_directory(path_);
}

Result<fs::path> Directory::keep_aside(std::string_view kind, std::string_view epoch) const {
  struct stat own = {};
  if (::stat(file().c_str(), &own) != 0) return errno_error(file().string());
  for (int n = 1;; ++n) {
    const fs::path aside = path_ / fmt::format("{}-{}-{}", kind, epoch, n);
    const fs::path name = aside / "buffer.mdb";
    if (::mkdir(aside.c_str(), 0700) != 0 && errno != EEXIST) return errno_error(aside.string());
    PENSTOCK_TRY(give_to_owner(path_, aside));
    struct stat there = {};
    if (::stat(name.c_str(), &there) == 0) {
      // The same file: a crash came between its second name and the end of its first.
      if (there.st_ino == own.st_ino && there.st_dev == own.st_dev) return aside;
      continue;
    }
    if (::link(file().c_str(), name.c_str()) != 0) return errno_error(name.string());
    PENSTOCK_TRY(sync_directory(aside));
    PENSTOCK_TRY(sync_directory(path_));
    return aside;
  }
}

}  // namespace penstock::buffer
