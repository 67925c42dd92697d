#include "agent/daemon/store_opening.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>

#include "agent/base/unique_fd.hpp"
#include "agent/daemon/exit_code.hpp"
#include "agent/daemon/machine.hpp"

namespace penstock::daemon {
namespace {

namespace fs = std::filesystem;

bool is_forbidden(const fs::path& path) {
  return ::access(path.c_str(), R_OK | W_OK | X_OK) != 0 && errno == EACCES;
}

fs::path nearest_existing(const fs::path& path) {
  fs::path existing = fs::absolute(path);
  while (::access(existing.c_str(), F_OK) != 0 && errno == ENOENT && existing.has_relative_path()) {
    existing = existing.parent_path();
  }
  return existing;
}

/// The directory may not be used, or may not be made in the nearest one that exists.
bool is_directory_forbidden(const fs::path& directory) {
  if (is_forbidden(nearest_existing(directory))) return true;
  for (const char* file : {"LOCK", "buffer.mdb"}) {
    if (::access((directory / file).c_str(), R_OK | W_OK) != 0 && errno == EACCES) return true;
  }
  return false;
}

}  // namespace

buffer::StoreOptions store_options(const config::AgentConfig& config) {
  buffer::StoreOptions options;
  options.path = config.buffer.path;
  options.max_size = config.buffer.max_size;
  options.keep_free = config.buffer.keep_free;
  options.preallocate = config.buffer.preallocate;
  options.max_age_us = config.buffer.max_age.count();
  options.device = config.agent.id;
  options.machine_id = machine_id();
  return options;
}

bool is_buffer_held(const fs::path& buffer_dir) {
  const UniqueFd lock(::open((buffer_dir / "LOCK").c_str(), O_RDONLY | O_CLOEXEC));
  return lock.is_open() && ::flock(lock.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

int exit_code_of_open(const fs::path& buffer_dir, const Error& error) {
  if (error.code == Errc::invalid || error.code == Errc::corrupt) return exit_data;
  if (is_buffer_held(buffer_dir)) return exit_try_again;
  if (is_directory_forbidden(buffer_dir)) return exit_permission;
  return ::access(buffer_dir.c_str(), F_OK) == 0 ? exit_io : exit_cannot_create;
}

bool may_pass(const fs::path& buffer_dir, const Error& error) {
  const int code = exit_code_of_open(buffer_dir, error);
  if (error.code == Errc::full || code == exit_io) return true;
  if (code != exit_cannot_create) return false;
  struct statvfs disk = {};
  if (::statvfs(nearest_existing(buffer_dir).c_str(), &disk) != 0) return false;
  return (disk.f_flag & ST_RDONLY) != 0 || disk.f_bavail == 0 || disk.f_favail == 0;
}

}  // namespace penstock::daemon
