// LD_PRELOAD library that makes the n-th call of a kind fail, once or for a while. Armed by
// fault_arm (a driver finds it by dlsym), or from the environment for a program that knows nothing
// of it: FAULT_MODE (enospc, eio, …), FAULT_FOLDER, FAULT_FIRST, FAULT_COUNT; or FAULT_WHILE, and
// calls fail as long as that file exists. While there is FAULT_SLOW_FLAG each sync below
// FAULT_FOLDER takes FAULT_SLOW_MS more. FAULT_STOP_AT stops the process (SIGSTOP) before that many
// writes and syncs, so that somebody can change the disk in the middle of a commit.
#include "tests/fault/shim.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <new>

namespace {

using penstock::fault::Mode;
using penstock::fault::Plan;

constexpr int fds_max = 4096;
constexpr std::size_t folder_max = 512;

enum class Call : unsigned { open, write, sync, size, name, map };

struct Shared {
  std::atomic<std::uint64_t> calls{0};
};

// Set before there are threads.
Plan plan;
char folder[folder_max];
std::size_t folder_size = 0;
long slow_ms = 0;
const char* slow_flag = nullptr;
const char* fails_while = nullptr;
std::uint64_t stop_at = 0;
Shared* shared = nullptr;
std::atomic<bool> is_inside[fds_max];  // by descriptor: a file below the folder

template <typename F>
F real(const char* name) {
  return reinterpret_cast<F>(::dlsym(RTLD_NEXT, name));
}

bool concerns(Mode mode, Call call) {
  switch (mode) {
    case Mode::enospc:
    case Mode::edquot: return call != Call::sync && call != Call::map;
    case Mode::eio:
    case Mode::eio_late: return call != Call::map;
    case Mode::emfile: return call == Call::open || call == Call::map;
    case Mode::eintr: return call != Call::map && call != Call::name;
    case Mode::torn:
    case Mode::lies: return call == Call::write;
    case Mode::quota: return call == Call::write || call == Call::size;
    case Mode::erofs: return call != Call::sync && call != Call::map;
    default: return false;
  }
}

int error_of(Mode mode, Call call) {
  switch (mode) {
    case Mode::enospc: return ENOSPC;
    case Mode::edquot:
    case Mode::quota: return EDQUOT;
    case Mode::erofs: return EROFS;
    case Mode::emfile: return call == Call::map ? ENOMEM : EMFILE;
    case Mode::eintr: return EINTR;
    default: return EIO;
  }
}

/// Counts a call that could fail; whether this one does.
bool counts() {
  const std::uint64_t number = ++shared->calls;
  return number >= plan.first && number - plan.first < plan.count;
}

bool is_there(const char* path) {
  const int before = errno;
  const bool found = ::access(path, F_OK) == 0;
  errno = before;
  return found;
}

bool fails(Call call) {
  if (!concerns(plan.mode, call)) return false;
  return fails_while == nullptr ? counts() : is_there(fails_while);
}

bool is_below(const char* path) {
  return folder_size != 0 && path != nullptr && std::strncmp(path, folder, folder_size) == 0;
}

bool is_known(int fd) { return fd >= 0 && fd < fds_max && is_inside[fd]; }

void slow_down() {
  if (slow_ms == 0 || (slow_flag != nullptr && !is_there(slow_flag))) return;
  timespec time{slow_ms / 1000, slow_ms % 1000 * 1'000'000};
  while (::nanosleep(&time, &time) != 0) continue;
}

/// Before a write or sync below the folder.
void stop_if_it_is_time() {
  static std::atomic<std::uint64_t> seen{0};
  if (stop_at != 0 && ++seen == stop_at) ::raise(SIGSTOP);
}

/// Whether a write to `end` needs blocks that the file does not have, reserved ones among them.
bool grows(int fd, off_t end) {
  struct stat info = {};
  return ::fstat(fd, &info) != 0 || end > std::max<off_t>(info.st_size, info.st_blocks * 512);
}

off_t end_of_write(int fd, std::size_t size) {
  return ::lseek(fd, 0, SEEK_CUR) + static_cast<off_t>(size);
}

/// Other modes decide about writes by themselves.
bool is_counted_whole(int fd, off_t end) {
  if (plan.mode == Mode::quota) return grows(fd, end);
  return plan.mode != Mode::torn && plan.mode != Mode::lies;
}

/// Does a call that answers -1 on failure, or lets it fail.
template <typename Do>
auto attempt(Call call, bool is_concerned, Do&& perform) -> decltype(perform()) {
  if (!is_concerned || !fails(call)) return perform();
  if (plan.mode == Mode::eio_late) perform();
  errno = error_of(plan.mode, call);
  return -1;
}

Mode mode_named(const char* name) {
  constexpr const char* names[] = {"none",  "enospc", "edquot", "eio",    "eio_late", "emfile",
                                   "eintr", "torn",   "lies",   "memory", "quota",    "erofs"};
  for (unsigned i = 0; i < std::size(names); ++i) {
    if (std::strcmp(names[i], name) == 0) return static_cast<Mode>(i);
  }
  return Mode::none;
}

std::uint64_t number_in(const char* variable, std::uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

__attribute__((constructor)) void set_up() {
  void* memory =
      ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  shared = new (memory) Shared;
  const char* where = std::getenv("FAULT_FOLDER");
  if (where == nullptr) return;
  slow_ms = static_cast<long>(number_in("FAULT_SLOW_MS", 0));
  slow_flag = std::getenv("FAULT_SLOW_FLAG");
  fails_while = std::getenv("FAULT_WHILE");
  stop_at = number_in("FAULT_STOP_AT", 0);
  const char* mode = std::getenv("FAULT_MODE");
  const Plan wanted{mode_named(mode == nullptr ? "none" : mode), number_in("FAULT_FIRST", 1),
                    number_in("FAULT_COUNT", 1)};
  fault_arm(&wanted, where);
}

int opened(const char* path, int fd) {
  if (fd >= 0 && fd < fds_max) is_inside[fd] = is_below(path);
  return fd;
}

/// A full disk lets files be opened that are there, a read-only one lets them be read.
bool may_fail_to_open(const char* path, int flags) {
  if (!is_below(path)) return plan.mode == Mode::emfile && folder_size != 0;
  if (plan.mode == Mode::erofs) return (flags & (O_ACCMODE | O_CREAT)) != O_RDONLY;
  const bool is_full = plan.mode == Mode::enospc || plan.mode == Mode::edquot;
  return !is_full || (flags & O_CREAT) != 0;
}

mode_t mode_of(int flags, va_list& arguments) {
  return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
}

}  // namespace

extern "C" {

void fault_arm(const Plan* wanted, const char* where) {
  plan = *wanted;
  folder_size = std::min(std::strlen(where), folder_max - 1);
  std::memcpy(folder, where, folder_size);
  shared->calls = 0;
}
void fault_disarm() { plan = {}; }
std::uint64_t fault_calls() { return shared->calls; }

#define FAULT_OPEN(name)                                                   \
  int name(const char* path, int flags, ...) {                             \
    static const auto call = real<int (*)(const char*, int, ...)>(#name);  \
    va_list arguments;                                                     \
    va_start(arguments, flags);                                            \
    const mode_t mode = mode_of(flags, arguments);                         \
    va_end(arguments);                                                     \
    return attempt(Call::open, may_fail_to_open(path, flags),              \
                   [&] { return opened(path, call(path, flags, mode)); }); \
  }
FAULT_OPEN(open)
FAULT_OPEN(open64)

#define FAULT_OPENAT(name)                                                      \
  int name(int dir, const char* path, int flags, ...) {                         \
    static const auto call = real<int (*)(int, const char*, int, ...)>(#name);  \
    va_list arguments;                                                          \
    va_start(arguments, flags);                                                 \
    const mode_t mode = mode_of(flags, arguments);                              \
    va_end(arguments);                                                          \
    return attempt(Call::open, may_fail_to_open(path, flags),                   \
                   [&] { return opened(path, call(dir, path, flags, mode)); }); \
  }
FAULT_OPENAT(openat)
FAULT_OPENAT(openat64)

int close(int fd) {
  static const auto call = real<int (*)(int)>("close");
  if (fd >= 0 && fd < fds_max) is_inside[fd] = false;
  return call(fd);
}

ssize_t write(int fd, const void* data, std::size_t size) {
  static const auto call = real<ssize_t (*)(int, const void*, std::size_t)>("write");
  if (!is_known(fd)) return call(fd, data, size);
  if (plan.mode == Mode::torn && size > 1 && fails(Call::write)) return call(fd, data, size / 2);
  if (plan.mode == Mode::lies && fails(Call::write)) return static_cast<ssize_t>(size);
  stop_if_it_is_time();
  return attempt(Call::write, is_counted_whole(fd, end_of_write(fd, size)),
                 [&] { return call(fd, data, size); });
}

#define FAULT_PWRITE(name)                                                                   \
  ssize_t name(int fd, const void* data, std::size_t size, off_t offset) {                   \
    static const auto call = real<ssize_t (*)(int, const void*, std::size_t, off_t)>(#name); \
    if (!is_known(fd)) return call(fd, data, size, offset);                                  \
    if (plan.mode == Mode::torn && size > 1 && fails(Call::write)) {                         \
      return call(fd, data, size / 2, offset);                                               \
    }                                                                                        \
    if (plan.mode == Mode::lies && fails(Call::write)) return static_cast<ssize_t>(size);    \
    stop_if_it_is_time();                                                                    \
    return attempt(Call::write, is_counted_whole(fd, offset + static_cast<off_t>(size)),     \
                   [&] { return call(fd, data, size, offset); });                            \
  }
FAULT_PWRITE(pwrite)
FAULT_PWRITE(pwrite64)

ssize_t writev(int fd, const iovec* parts, int count) {
  static const auto call = real<ssize_t (*)(int, const iovec*, int)>("writev");
  if (!is_known(fd)) return call(fd, parts, count);
  if (plan.mode == Mode::torn && count > 1 && fails(Call::write)) return call(fd, parts, count / 2);
  std::size_t size = 0;
  for (int i = 0; i < count; ++i) size += parts[i].iov_len;
  if (plan.mode == Mode::lies && fails(Call::write)) return static_cast<ssize_t>(size);
  stop_if_it_is_time();
  return attempt(Call::write, is_counted_whole(fd, end_of_write(fd, size)),
                 [&] { return call(fd, parts, count); });
}

#define FAULT_SYNC(name)                                                \
  int name(int fd) {                                                    \
    static const auto call = real<int (*)(int)>(#name);                 \
    if (is_known(fd)) slow_down();                                      \
    if (is_known(fd)) stop_if_it_is_time();                             \
    return attempt(Call::sync, is_known(fd), [&] { return call(fd); }); \
  }
FAULT_SYNC(fsync)
FAULT_SYNC(fdatasync)

#define FAULT_RESIZE(name)                                                                \
  int name(int fd, off_t size) {                                                          \
    static const auto call = real<int (*)(int, off_t)>(#name);                            \
    const bool is_meant = plan.mode != Mode::quota || grows(fd, size);                    \
    return attempt(Call::size, is_known(fd) && is_meant, [&] { return call(fd, size); }); \
  }
FAULT_RESIZE(ftruncate)
FAULT_RESIZE(ftruncate64)

#define FAULT_ALLOCATE(name)                                                    \
  int name(int fd, int mode, off_t offset, off_t size) {                        \
    static const auto call = real<int (*)(int, int, off_t, off_t)>(#name);      \
    const bool is_meant = plan.mode != Mode::quota || grows(fd, offset + size); \
    return attempt(Call::size, is_known(fd) && is_meant,                        \
                   [&] { return call(fd, mode, offset, size); });               \
  }
FAULT_ALLOCATE(fallocate)
FAULT_ALLOCATE(fallocate64)

int rename(const char* from, const char* to) {
  static const auto call = real<int (*)(const char*, const char*)>("rename");
  return attempt(Call::name, is_below(from), [&] { return call(from, to); });
}
int link(const char* from, const char* to) {
  static const auto call = real<int (*)(const char*, const char*)>("link");
  return attempt(Call::name, is_below(from), [&] { return call(from, to); });
}
int unlink(const char* path) {
  static const auto call = real<int (*)(const char*)>("unlink");
  return attempt(Call::name, is_below(path), [&] { return call(path); });
}
int mkdir(const char* path, mode_t mode) {
  static const auto call = real<int (*)(const char*, mode_t)>("mkdir");
  return attempt(Call::name, is_below(path), [&] { return call(path, mode); });
}

#define FAULT_MAP(name)                                                                        \
  void* name(void* at, std::size_t size, int protection, int flags, int fd, off_t offset) {    \
    static const auto call = real<void* (*)(void*, std::size_t, int, int, int, off_t)>(#name); \
    if (is_known(fd) && fails(Call::map)) {                                                    \
      errno = ENOMEM;                                                                          \
      return MAP_FAILED;                                                                       \
    }                                                                                          \
    return call(at, size, protection, flags, fd, offset);                                      \
  }
FAULT_MAP(mmap)
FAULT_MAP(mmap64)

// glibc's own names: finding them by dlsym would itself allocate.
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* old, std::size_t size);

void* malloc(std::size_t size) {
  if (plan.mode == Mode::memory && counts()) {
    errno = ENOMEM;
    return nullptr;
  }
  return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) {
  if (plan.mode == Mode::memory && counts()) {
    errno = ENOMEM;
    return nullptr;
  }
  return __libc_calloc(count, size);
}
void* realloc(void* old, std::size_t size) {
  if (plan.mode == Mode::memory && counts()) {
    errno = ENOMEM;
    return nullptr;
  }
  return __libc_realloc(old, size);
}

}  // extern "C"
