// LD_PRELOAD library that records every write, sync and directory change below $POWER_DIR into
// $POWER_TRACE, for replay.cpp to cut the power at any of them. One thread writes at a time.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>

#include "tests/power/trace.hpp"

namespace {

using penstock::power::Op;
using penstock::power::RecordHead;

constexpr int fds_max = 4096;

template <typename F>
F real(const char* name) {
  return reinterpret_cast<F>(::dlsym(RTLD_NEXT, name));
}

ssize_t real_write(int fd, const void* data, std::size_t size) {
  static const auto call = real<ssize_t (*)(int, const void*, std::size_t)>("write");
  return call(fd, data, size);
}

struct State {
  std::mutex mutex;  // guards: all below
  std::string dir;
  int trace_fd = -1;
  bool traced[fds_max] = {};
  bool is_dir[fds_max] = {};
  std::string dir_name[fds_max];
  bool is_dsync[fds_max] = {};
};

State& state() {
  static State* const instance = [] {
    auto* made = new State;  // lives as long as the process: other libraries may write during exit
    const char* dir = std::getenv("POWER_DIR");
    const char* trace = std::getenv("POWER_TRACE");
    if (dir != nullptr && trace != nullptr) {
      made->dir = dir;
      static const auto open_call = real<int (*)(const char*, int, ...)>("open");
      made->trace_fd = open_call(trace, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    }
    return made;
  }();
  return *instance;
}

void record(Op op, std::int32_t fd, std::uint64_t offset, const void* data, std::size_t size) {
  const RecordHead head{op, fd, offset, size};
  real_write(state().trace_fd, &head, sizeof head);
  if (size != 0) real_write(state().trace_fd, data, size);
}

/// The path below the directory, or nullptr.
const char* inside(const char* path) {
  const State& known = state();
  if (known.trace_fd < 0 || path == nullptr) return nullptr;
  if (std::strncmp(path, known.dir.c_str(), known.dir.size()) != 0) return nullptr;
  const char* rest = path + known.dir.size();
  if (*rest == '\0') return rest;
  return *rest == '/' ? rest + 1 : nullptr;
}

bool is_traced(int fd) { return fd >= 0 && fd < fds_max && state().traced[fd]; }

int opened(int fd, const char* path, int flags, bool existed) {
  const char* name = inside(path);
  if (fd < 0 || fd >= fds_max || name == nullptr) return fd;
  State& known = state();
  const std::lock_guard lock(known.mutex);
  struct stat info {};
  ::fstat(fd, &info);
  known.traced[fd] = true;
  known.is_dir[fd] = S_ISDIR(info.st_mode);
  known.is_dsync[fd] = (flags & O_DSYNC) != 0;
  if (known.is_dir[fd]) {
    known.dir_name[fd] = name;
  } else {
    const bool truncated = existed && (flags & O_TRUNC) != 0;
    record(existed ? Op::open : Op::create, fd, truncated ? 1 : 0, name, std::strlen(name));
  }
  return fd;
}

bool exists(const char* path) {
  struct stat info {};
  return ::stat(path, &info) == 0;
}

void written(int fd, std::uint64_t offset, const void* data, ssize_t size) {
  if (size <= 0) return;
  record(state().is_dsync[fd] ? Op::write_durable : Op::write, fd, offset, data,
         static_cast<std::size_t>(size));
}

template <typename Call>
int change_name(Op op, const char* from, const char* to, Call call) {
  const char* name = inside(from);
  if (name == nullptr) return call();
  const std::lock_guard lock(state().mutex);
  const int rc = call();
  if (rc == 0) {
    std::string names(name);
    if (to != nullptr) names += std::string(1, '\0') + (inside(to) ? inside(to) : "?");
    record(op, -1, 0, names.data(), names.size());
  }
  return rc;
}

template <typename Call>
int synced(int fd, Call call) {
  if (!is_traced(fd)) return call();
  const std::lock_guard lock(state().mutex);
  const int rc = call();
  if (rc != 0) return rc;
  if (state().is_dir[fd]) {
    const std::string& name = state().dir_name[fd];
    record(Op::sync_dir, fd, 0, name.data(), name.size());
  } else {
    record(Op::sync, fd, 0, nullptr, 0);
  }
  return rc;
}

template <typename Call>
int resized(int fd, std::uint64_t size, bool only_grows, Call call) {
  if (!is_traced(fd)) return call();
  const std::lock_guard lock(state().mutex);
  struct stat info {};
  ::fstat(fd, &info);
  const int rc = call();
  if (rc == 0 && !(only_grows && size <= static_cast<std::uint64_t>(info.st_size))) {
    record(Op::resize, fd, size, nullptr, 0);
  }
  return rc;
}

mode_t mode_of(int flags, va_list& arguments) {
  return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
}

}  // namespace

extern "C" {

/// Called by the workload through dlsym.
void power_mark(std::int32_t mark, std::uint64_t value) {
  const std::lock_guard lock(state().mutex);
  if (state().trace_fd >= 0) record(Op::mark, mark, value, nullptr, 0);
}

#define POWER_OPEN(name)                                                  \
  int name(const char* path, int flags, ...) {                            \
    static const auto call = real<int (*)(const char*, int, ...)>(#name); \
    va_list arguments;                                                    \
    va_start(arguments, flags);                                           \
    const mode_t mode = mode_of(flags, arguments);                        \
    va_end(arguments);                                                    \
    const bool existed = inside(path) == nullptr || exists(path);         \
    return opened(call(path, flags, mode), path, flags, existed);         \
  }
POWER_OPEN(open)
POWER_OPEN(open64)

#define POWER_OPENAT(name)                                                     \
  int name(int dir, const char* path, int flags, ...) {                        \
    static const auto call = real<int (*)(int, const char*, int, ...)>(#name); \
    va_list arguments;                                                         \
    va_start(arguments, flags);                                                \
    const mode_t mode = mode_of(flags, arguments);                             \
    va_end(arguments);                                                         \
    const bool existed = inside(path) == nullptr || exists(path);              \
    return opened(call(dir, path, flags, mode), path, flags, existed);         \
  }
POWER_OPENAT(openat)
POWER_OPENAT(openat64)

int close(int fd) {
  static const auto call = real<int (*)(int)>("close");
  if (is_traced(fd)) {
    const std::lock_guard lock(state().mutex);
    state().traced[fd] = false;
  }
  return call(fd);
}

ssize_t write(int fd, const void* data, std::size_t size) {
  if (!is_traced(fd)) return real_write(fd, data, size);
  const std::lock_guard lock(state().mutex);
  const auto offset = static_cast<std::uint64_t>(::lseek(fd, 0, SEEK_CUR));
  const ssize_t done = real_write(fd, data, size);
  written(fd, offset, data, done);
  return done;
}

ssize_t writev(int fd, const iovec* parts, int count) {
  static const auto call = real<ssize_t (*)(int, const iovec*, int)>("writev");
  if (!is_traced(fd)) return call(fd, parts, count);
  const std::lock_guard lock(state().mutex);
  const auto offset = static_cast<std::uint64_t>(::lseek(fd, 0, SEEK_CUR));
  const ssize_t done = call(fd, parts, count);
  std::string whole;
  for (int i = 0; i < count; ++i)
    whole.append(static_cast<const char*>(parts[i].iov_base), parts[i].iov_len);
  written(fd, offset, whole.data(), done);
  return done;
}

#define POWER_PWRITE(name)                                                                   \
  ssize_t name(int fd, const void* data, std::size_t size, off_t offset) {                   \
    static const auto call = real<ssize_t (*)(int, const void*, std::size_t, off_t)>(#name); \
    if (!is_traced(fd)) return call(fd, data, size, offset);                                 \
    const std::lock_guard lock(state().mutex);                                               \
    const ssize_t done = call(fd, data, size, offset);                                       \
    written(fd, static_cast<std::uint64_t>(offset), data, done);                             \
    return done;                                                                             \
  }
POWER_PWRITE(pwrite)
POWER_PWRITE(pwrite64)

int fsync(int fd) {
  static const auto call = real<int (*)(int)>("fsync");
  return synced(fd, [&] { return call(fd); });
}
int fdatasync(int fd) {
  static const auto call = real<int (*)(int)>("fdatasync");
  return synced(fd, [&] { return call(fd); });
}

#define POWER_RESIZE(name)                                                                       \
  int name(int fd, off_t size) {                                                                 \
    static const auto call = real<int (*)(int, off_t)>(#name);                                   \
    return resized(fd, static_cast<std::uint64_t>(size), false, [&] { return call(fd, size); }); \
  }
POWER_RESIZE(ftruncate)
POWER_RESIZE(ftruncate64)

#define POWER_ALLOCATE(name)                                            \
  int name(int fd, off_t offset, off_t size) {                          \
    static const auto call = real<int (*)(int, off_t, off_t)>(#name);   \
    return resized(fd, static_cast<std::uint64_t>(offset + size), true, \
                   [&] { return call(fd, offset, size); });             \
  }
POWER_ALLOCATE(posix_fallocate)
POWER_ALLOCATE(posix_fallocate64)

int fallocate(int fd, int mode, off_t offset, off_t size) {
  static const auto call = real<int (*)(int, int, off_t, off_t)>("fallocate");
  return resized(fd, mode == 0 ? static_cast<std::uint64_t>(offset + size) : 0, true,
                 [&] { return call(fd, mode, offset, size); });
}

int rename(const char* from, const char* to) {
  static const auto call = real<int (*)(const char*, const char*)>("rename");
  return change_name(Op::rename, from, to, [&] { return call(from, to); });
}
int link(const char* from, const char* to) {
  static const auto call = real<int (*)(const char*, const char*)>("link");
  return change_name(Op::link, from, to, [&] { return call(from, to); });
}
int mkdir(const char* path, mode_t mode) {
  static const auto call = real<int (*)(const char*, mode_t)>("mkdir");
  return change_name(Op::make_dir, path, nullptr, [&] { return call(path, mode); });
}
int rmdir(const char* path) {
  static const auto call = real<int (*)(const char*)>("rmdir");
  return change_name(Op::unlink, path, nullptr, [&] { return call(path); });
}
int unlink(const char* path) {
  static const auto call = real<int (*)(const char*)>("unlink");
  return change_name(Op::unlink, path, nullptr, [&] { return call(path); });
}
int remove(const char* path) {
  static const auto call = real<int (*)(const char*)>("remove");
  return change_name(Op::unlink, path, nullptr, [&] { return call(path); });
}

}  // extern "C"
