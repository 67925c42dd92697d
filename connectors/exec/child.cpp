#include "connectors/exec/child.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <vector>

#include "agent/base/clock.hpp"
#include "agent/base/log.hpp"

namespace penstock::connectors::exec {
namespace {

constexpr int without_pidfd_ms = 20;  // how often an old kernel is asked whether the child lives

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

Result<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return errno_error("pipe");
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

/// A socket, because writing to one that the child has closed can be done without SIGPIPE.
Result<Pipe> make_input() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return errno_error("socketpair");
  }
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

Result<std::string> find_program(const Settings& settings) {
  const std::string& name = settings.command[0];
  if (name.find('/') != std::string::npos) return name;
  std::string_view rest = settings.search_path;
  while (!rest.empty()) {
    const std::string_view folder = rest.substr(0, rest.find(':'));
    const std::string path = fmt::format("{}/{}", folder, name);
    if (folder.starts_with('/') && ::access(path.c_str(), X_OK) == 0) return path;
    rest.remove_prefix(std::min(rest.size(), folder.size() + 1));
  }
  return Error{Errc::unavailable,
               fmt::format("{}: not found in {}", quoted(name), settings.search_path)};
}

/// What the child needs between fork and exec: nothing may be allocated there.
struct Launch {
  const char* program;
  std::vector<char*> arguments;
  std::vector<char*> environment;
  const char* directory;
  int input, output, errors, report;
  pid_t parent;
};

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (const std::string& text : texts) out.push_back(const_cast<char*>(text.c_str()));
  out.push_back(nullptr);
  return out;
}

/// Runs in the child; only calls that are safe after fork in a program with threads.
[[noreturn]] void become(const Launch& launch) {
  const auto fail = [&] {
    const int why = errno;
    static_cast<void>(!::write(launch.report, &why, sizeof why));
    ::_exit(127);
  };
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != launch.parent) ::_exit(127);  // it died before it could be watched
  for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (::dup2(launch.input, 0) < 0 || ::dup2(launch.output, 1) < 0 || ::dup2(launch.errors, 2) < 0 ||
      ::chdir(launch.directory) != 0) {
    fail();
  }
  ::execve(launch.program, launch.arguments.data(), launch.environment.data());
  fail();
  ::_exit(127);
}

void do_not_block(const UniqueFd& fd) {
  ::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) | O_NONBLOCK);
}

}  // namespace

Child::Child(Child&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      input_(std::move(other.input_)),
      output_(std::move(other.output_)),
      errors_(std::move(other.errors_)),
      process_(std::move(other.process_)) {}

Result<Child> Child::start(const Settings& settings) {
  PENSTOCK_TRY_ASSIGN(const std::string program, find_program(settings));
  PENSTOCK_TRY_ASSIGN(Pipe input, make_input());
  PENSTOCK_TRY_ASSIGN(Pipe output, make_pipe());
  PENSTOCK_TRY_ASSIGN(Pipe errors, make_pipe());
  PENSTOCK_TRY_ASSIGN(Pipe report, make_pipe());
  const Launch launch{program.c_str(),
                      pointers(settings.command),
                      pointers(settings.environment),
                      settings.directory.c_str(),
                      input.read.get(),
                      output.write.get(),
                      errors.write.get(),
                      report.write.get(),
                      ::getpid()};
  const pid_t pid = ::fork();
  if (pid < 0) return errno_error("fork");
  if (pid == 0) become(launch);
  ::setpgid(pid, pid);  // whoever comes first
  Child child;
  child.pid_ = pid;
  report.write.reset();
  int why = 0;
  if (::read(report.read.get(), &why, sizeof why) == static_cast<ssize_t>(sizeof why)) {
    return errno_error(fmt::format("start {}", quoted(program)), why);
  }
  child.process_.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  child.input_ = std::move(input.write);
  child.output_ = std::move(output.read);
  child.errors_ = std::move(errors.read);
  for (const UniqueFd* fd : {&child.input_, &child.output_, &child.errors_}) do_not_block(*fd);
  return child;
}

bool Child::has_ended() const {
  siginfo_t info{};
  return ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         info.si_pid == pid_;
}

std::string Child::end(std::chrono::microseconds grace) {
  if (pid_ < 0) return {};
  const std::int64_t deadline_us = system_clock().steady_us() + grace.count();
  if (!has_ended()) ::kill(-pid_, SIGTERM);
  // Nobody reads any more: a child that writes is not to wait for us.
  output_.reset();
  errors_.reset();
  input_.reset();
  while (!has_ended()) {
    const std::int64_t left_us = deadline_us - system_clock().steady_us();
    if (left_us <= 0) break;
    pollfd wait{process_.get(), POLLIN, 0};
    const auto left_ms = static_cast<int>(left_us / 1000 + 1);
    ::poll(&wait, 1, process_.is_open() ? left_ms : std::min(left_ms, without_pidfd_ms));
  }
  // Before the leader is reaped, so that the group's number cannot be another's yet.
  ::kill(-pid_, SIGKILL);
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  if (WIFSIGNALED(status)) return fmt::format("signal {}", WTERMSIG(status));
  return WEXITSTATUS(status) == 0 ? "" : fmt::format("exit status {}", WEXITSTATUS(status));
}

}  // namespace penstock::connectors::exec
