#include "tests/buffer/failing/failing_calls.hpp"

#include <fcntl.h>
#include <lmdb.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdlib>
#include <filesystem>
#include <new>

namespace penstock::tests {
namespace {

struct Shared {
  std::atomic<std::uint64_t> calls{0};
};

/// One page that children share.
Shared& shared() {
  static Shared* const memory = [] {
    void* const page =
        ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) std::abort();
    return new (page) Shared;
  }();
  return *memory;
}

FailingCalls plan;
bool is_armed = false;
std::int64_t free_blocks = -1;
std::vector<std::string> synced;

bool is_its_turn() {
  if (!is_armed) return false;
  const std::uint64_t number = ++shared().calls;
  return number >= plan.first && number - plan.first < plan.in_a_row;
}

enum class Kind : std::uint8_t { lmdb_read, lmdb_write, lmdb_commit, kernel, kernel_waiting };

/// Whether this call is one of those that the plan is about.
bool concerns(Kind kind) {
  if (plan.is_of_commits) return kind == Kind::lmdb_commit;
  switch (plan.failure) {
    case Failure::interrupted: return kind == Kind::kernel_waiting;
    case Failure::damage: return kind != Kind::kernel && kind != Kind::kernel_waiting;
    case Failure::full_map: return kind == Kind::lmdb_write;
    default: return true;
  }
}

/// 0, or the code that a call of LMDB's fails with.
int lmdb_failure(Kind kind = Kind::lmdb_read) {
  if (!concerns(kind) || !is_its_turn()) return 0;
  switch (plan.failure) {
    case Failure::full_disk: return ENOSPC;
    case Failure::damage: return MDB_CORRUPTED;
    case Failure::full_map: return MDB_MAP_FULL;
    default: return EIO;
  }
}

/// Whether a call of the kernel's fails, with errno set.
bool fails(Kind kind = Kind::kernel) {
  if (!concerns(kind) || !is_its_turn()) return false;
  switch (plan.failure) {
    case Failure::full_disk: errno = ENOSPC; break;
    case Failure::interrupted: errno = EINTR; break;
    default: errno = EIO;
  }
  return true;
}

/// The same for one that a signal may interrupt.
bool fails_waiting() { return fails(Kind::kernel_waiting); }

}  // namespace

void arm(const FailingCalls& calls) {
  shared().calls = 0;
  synced.clear();
  plan = calls;
  is_armed = true;
}

std::uint64_t disarm() {
  is_armed = false;
  return shared().calls;
}

const std::vector<std::string>& synced_names() { return synced; }

void set_free_blocks(std::int64_t blocks) { free_blocks = blocks; }

namespace {

bool is_late() { return plan.failure == Failure::late; }

void note_sync(int fd) {
  if (!is_armed) return;
  std::error_code failed;
  const auto link = std::filesystem::path("/proc/self/fd") / std::to_string(fd);
  synced.push_back(std::filesystem::read_symlink(link, failed).string());
}

void say_free_blocks(struct statvfs* info) {
  if (free_blocks >= 0) info->f_bavail = static_cast<fsblkcnt_t>(free_blocks);
}

}  // namespace
}  // namespace penstock::tests

using namespace penstock::tests;

// The linker gives what is called NAME to __wrap_NAME, and what was called so as __real_NAME.
#define PENSTOCK_REAL(result, name, parameters) \
  result __real_##name parameters;              \
  result __wrap_##name parameters;              \
  result __wrap_##name parameters

extern "C" {

PENSTOCK_REAL(int, mdb_env_create, (MDB_env * *env)) {
  const int code = lmdb_failure();
  return code != 0 ? code : __real_mdb_env_create(env);
}
PENSTOCK_REAL(int, mdb_env_set_mapsize, (MDB_env * env, std::size_t bytes)) {
  const int code = lmdb_failure();
  return code != 0 ? code : __real_mdb_env_set_mapsize(env, bytes);
}
PENSTOCK_REAL(int, mdb_env_open,
              (MDB_env * env, const char* path, unsigned flags, mdb_mode_t mode)) {
  const int code = lmdb_failure();
  return code != 0 ? code : __real_mdb_env_open(env, path, flags, mode);
}
PENSTOCK_REAL(int, mdb_dbi_open, (MDB_txn * txn, const char* name, unsigned flags, MDB_dbi* out)) {
  const int code = lmdb_failure();
  return code != 0 ? code : __real_mdb_dbi_open(txn, name, flags, out);
}
PENSTOCK_REAL(int, mdb_txn_begin, (MDB_env * env, MDB_txn* parent, unsigned flags, MDB_txn** txn)) {
  const int code = lmdb_failure();
  return code != 0 ? code : __real_mdb_txn_begin(env, parent, flags, txn);
}
PENSTOCK_REAL(int, mdb_txn_commit, (MDB_txn * txn)) {
  const int code = lmdb_failure(Kind::lmdb_commit);
  if (code == 0) return __real_mdb_txn_commit(txn);
  if (is_late()) {
    __real_mdb_txn_commit(txn);
  } else {
    mdb_txn_abort(txn);
  }
  return code;
}
PENSTOCK_REAL(int, mdb_get, (MDB_txn * txn, MDB_dbi table, MDB_val* key, MDB_val* value)) {
  const int code = lmdb_failure();
  return code != 0 ? code : __real_mdb_get(txn, table, key, value);
}
PENSTOCK_REAL(int, mdb_put,
              (MDB_txn * txn, MDB_dbi table, MDB_val* key, MDB_val* value, unsigned flags)) {
  const int code = lmdb_failure(Kind::lmdb_write);
  return code != 0 ? code : __real_mdb_put(txn, table, key, value, flags);
}
PENSTOCK_REAL(int, mdb_stat, (MDB_txn * txn, MDB_dbi table, MDB_stat* out)) {
  const int code = lmdb_failure();
  return code != 0 ? code : __real_mdb_stat(txn, table, out);
}
PENSTOCK_REAL(int, mdb_cursor_open, (MDB_txn * txn, MDB_dbi table, MDB_cursor** cursor)) {
  const int code = lmdb_failure();
  return code != 0 ? code : __real_mdb_cursor_open(txn, table, cursor);
}
PENSTOCK_REAL(int, mdb_cursor_get,
              (MDB_cursor * cursor, MDB_val* key, MDB_val* value, MDB_cursor_op operation)) {
  const int code = lmdb_failure();
  return code != 0 ? code : __real_mdb_cursor_get(cursor, key, value, operation);
}
PENSTOCK_REAL(int, mdb_cursor_del, (MDB_cursor * cursor, unsigned flags)) {
  const int code = lmdb_failure(Kind::lmdb_write);
  return code != 0 ? code : __real_mdb_cursor_del(cursor, flags);
}

PENSTOCK_REAL(ssize_t, read, (int fd, void* bytes, std::size_t size)) {
  return fails_waiting() ? -1 : __real_read(fd, bytes, size);
}
PENSTOCK_REAL(ssize_t, write, (int fd, const void* bytes, std::size_t size)) {
  return fails_waiting() ? -1 : __real_write(fd, bytes, size);
}
PENSTOCK_REAL(ssize_t, pread, (int fd, void* bytes, std::size_t size, off_t at)) {
  return fails_waiting() ? -1 : __real_pread(fd, bytes, size, at);
}
PENSTOCK_REAL(pid_t, waitpid, (pid_t child, int* status, int options)) {
  // Another error than this one there cannot be.
  const bool is_interrupted = plan.failure == Failure::interrupted && fails_waiting();
  return is_interrupted ? -1 : __real_waitpid(child, status, options);
}
PENSTOCK_REAL(int, fsync, (int fd)) {
  note_sync(fd);
  if (!fails()) return __real_fsync(fd);
  if (is_late()) __real_fsync(fd);
  return -1;
}
PENSTOCK_REAL(int, rename, (const char* from, const char* to)) {
  return fails() ? -1 : __real_rename(from, to);
}
PENSTOCK_REAL(int, link, (const char* from, const char* to)) {
  return fails() ? -1 : __real_link(from, to);
}
PENSTOCK_REAL(int, unlink, (const char* path)) { return fails() ? -1 : __real_unlink(path); }
PENSTOCK_REAL(int, mkdir, (const char* path, mode_t mode)) {
  return fails() ? -1 : __real_mkdir(path, mode);
}
PENSTOCK_REAL(int, ftruncate, (int fd, off_t size)) {
  return fails() ? -1 : __real_ftruncate(fd, size);
}
PENSTOCK_REAL(int, fallocate, (int fd, int mode, off_t at, off_t size)) {
  return fails() ? -1 : __real_fallocate(fd, mode, at, size);
}
PENSTOCK_REAL(int, flock, (int fd, int operation)) {
  return fails() ? -1 : __real_flock(fd, operation);
}
PENSTOCK_REAL(int, pipe2, (int* ends, int flags)) {
  return fails() ? -1 : __real_pipe2(ends, flags);
}
PENSTOCK_REAL(pid_t, fork, ()) { return fails() ? -1 : __real_fork(); }
PENSTOCK_REAL(int, dup2, (int from, int to)) { return fails() ? -1 : __real_dup2(from, to); }
PENSTOCK_REAL(int, stat, (const char* path, struct stat* info)) {
  return fails() ? -1 : __real_stat(path, info);
}
PENSTOCK_REAL(int, fstat, (int fd, struct stat* info)) {
  return fails() ? -1 : __real_fstat(fd, info);
}
PENSTOCK_REAL(int, statfs, (const char* path, struct statfs* info)) {
  return fails() ? -1 : __real_statfs(path, info);
}
PENSTOCK_REAL(int, statvfs, (const char* path, struct statvfs* info)) {
  if (fails()) return -1;
  const int code = __real_statvfs(path, info);
  say_free_blocks(info);
  return code;
}
PENSTOCK_REAL(int, fstatvfs, (int fd, struct statvfs* info)) {
  if (fails()) return -1;
  const int code = __real_fstatvfs(fd, info);
  say_free_blocks(info);
  return code;
}
PENSTOCK_REAL(ssize_t, getrandom, (void* bytes, std::size_t size, unsigned flags)) {
  return fails() ? -1 : __real_getrandom(bytes, size, flags);
}
PENSTOCK_REAL(int, sigaction,
              (int number, const struct sigaction* action, struct sigaction* before)) {
  return fails() ? -1 : __real_sigaction(number, action, before);
}

int __real_open(const char* path, int flags, ...);
int __wrap_open(const char* path, int flags, ...);
int __wrap_open(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  return fails() ? -1 : __real_open(path, flags, mode);
}

}  // extern "C"
