#include "agent/cli/output_file.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "agent/base/log.hpp"

namespace penstock::cli {

namespace {

// A signal handler can take no arguments of ours.
std::array<char, 4096> part_at_signal;

/// The handler is taken back by SA_RESETHAND, so raising the signal again ends the process.
extern "C" void remove_part(int number) {
  if (part_at_signal[0] != '\0') ::unlink(part_at_signal.data());
  ::raise(number);
}

void remove_at_signals(const std::string& part) {
  if (part.size() >= part_at_signal.size()) return;
  std::memcpy(part_at_signal.data(), part.c_str(), part.size() + 1);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction action {};
    // What is ignored stays so, as by nohup.
    if (::sigaction(number, nullptr, &action) != 0 || action.sa_handler != SIG_DFL) continue;
    action.sa_handler = &remove_part;
    action.sa_flags = static_cast<int>(SA_RESETHAND | SA_NODEFER);
    ::sigaction(number, &action, nullptr);
  }
}

}  // namespace

OutputFile::~OutputFile() {
  if (file_ && !part_path_.empty()) ::unlink(part_path_.c_str());
  part_at_signal[0] = '\0';
}

Result<void> OutputFile::open(const std::string& path) {
  struct stat found {};
  const bool is_other = ::stat(path.c_str(), &found) == 0 && !S_ISREG(found.st_mode);
  path_ = path;
  if (!is_other) {
    part_path_ = path + ".part";
    remove_at_signals(part_path_);
  }
  file_.reset(std::fopen(is_other ? path.c_str() : part_path_.c_str(), "we"));
  if (!file_) return errno_error(fmt::format("cannot write {}", penstock::quoted(path)));
  return {};
}

void OutputFile::write(std::string_view text) {
  std::FILE* file = file_ ? file_.get() : stdout;
  if (error_ != 0) return;
  if (std::fwrite(text.data(), 1, text.size(), file) != text.size()) {
    error_ = errno != 0 ? errno : EIO;
  }
}

bool OutputFile::is_terminal() const { return !file_ && ::isatty(STDOUT_FILENO) == 1; }

Result<void> OutputFile::fail(int err) const {
  return errno_error(path_.empty() ? "standard output" : penstock::quoted(path_), err);
}

Result<void> OutputFile::close(bool keep) {
  std::FILE* file = file_ ? file_.get() : stdout;
  if (std::fflush(file) != 0 && error_ == 0) error_ = errno;
  if (!file_) return error_ == 0 ? Result<void>() : fail(error_);
  const bool is_named_later = !part_path_.empty();
  if (error_ == 0 && keep && is_named_later && ::fsync(::fileno(file)) != 0) error_ = errno;
  const bool takes_name = error_ == 0 && keep && is_named_later;
  if (takes_name && ::rename(part_path_.c_str(), path_.c_str()) != 0) error_ = errno;
  if (is_named_later && (!takes_name || error_ != 0)) ::unlink(part_path_.c_str());
  file_.reset();
  return error_ == 0 ? Result<void>() : fail(error_);
}

}  // namespace penstock::cli
