#include "buffer/crash_marker.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstring>

namespace penstock::buffer {

constinit thread_local bool is_inside_store = false;

namespace {

constexpr const char* first_name = "CRASHED";
constexpr const char* second_name = "CRASHED.again";
constexpr std::size_t path_max = 4096;
constexpr int numbers[] = {SIGSEGV, SIGBUS, SIGABRT};

// A signal handler can take no arguments of ours.
std::array<char, path_max> first_path;
std::array<char, path_max> second_path;

/// Only calls that a signal handler may make.
void leave_marker(const char* first, const char* second) {
  constexpr int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
  int fd = ::open(first, flags, 0600);
  if (fd < 0 && errno == EEXIST) fd = ::open(second, flags, 0600);
  if (fd < 0) return;
  ::fsync(fd);
  ::close(fd);
}

/// The handler is taken back by SA_RESETHAND, so raising
/// the signal again ends the process.
extern "C" void on_crash(int number) {
  if (is_inside_store) leave_marker(first_path.data(), second_path.data());
  ::raise(number);
}

bool is_there(const std::filesystem::path& file) { return ::access(file.c_str(), F_OK) == 0; }

bool keep(std::array<char, path_max>& out, const std::filesystem::path& path) {
  const std::string& text = path.native();
  if (text.size() >= out.size()) return false;
  std::memcpy(out.data(), text.c_str(), text.size() + 1);
  return true;
}

}  // namespace

CrashCount crash_count(const std::filesystem::path& directory) {
  if (is_there(directory / second_name)) return CrashCount::again;
  return is_there(directory / first_name) ? CrashCount::once : CrashCount::none;
}

void forget_crashes(const std::filesystem::path& directory) {
  ::unlink((directory / second_name).c_str());
  ::unlink((directory / first_name).c_str());
}

void note_crash(const std::filesystem::path& directory) {
  leave_marker((directory / first_name).c_str(), (directory / second_name).c_str());
}

Result<void> mark_crashes_in(const std::filesystem::path& directory) {
  const std::filesystem::path whole = std::filesystem::absolute(directory);
  if (!keep(first_path, whole / first_name) || !keep(second_path, whole / second_name)) {
    return Error{Errc::invalid, "the path of the buffer is too long"};
  }
  struct sigaction action = {};
  action.sa_handler = &on_crash;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_NODEFER);
  for (const int number : numbers) {
    if (::sigaction(number, &action, nullptr) != 0) return errno_error("sigaction");
  }
  return {};
}

}  // namespace penstock::buffer
