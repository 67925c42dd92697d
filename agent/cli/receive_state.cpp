#include "agent/cli/receive_state.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>

#include <array>
#include <cstdio>

#include "agent/base/log.hpp"
#include "agent/base/unique_fd.hpp"

namespace penstock::cli {
namespace {

constexpr std::string_view client_prefix = "client\t";

Result<void> write_durably(const std::filesystem::path& file, std::string_view text) {
  const UniqueFd fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!fd.is_open()) return errno_error("open " + penstock::quoted(file.native()));
  while (!text.empty()) {
    const ssize_t written = ::write(fd.get(), text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno != EINTR) {
      return errno_error("write " + penstock::quoted(file.native()));
    }
  }
  if (::fsync(fd.get()) != 0) return errno_error("sync " + penstock::quoted(file.native()));
  return {};
}

}  // namespace

Result<std::optional<UniqueFd>> lock_state(const std::filesystem::path& file) {
  std::filesystem::path lock = file;
  lock += ".lock";
  UniqueFd fd(::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd.is_open()) return errno_error("open " + penstock::quoted(lock.native()));
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return std::optional<UniqueFd>(std::move(fd));
  if (errno == EWOULDBLOCK) return std::optional<UniqueFd>();
  return errno_error("lock " + penstock::quoted(lock.native()));
}

Result<void> load_state(const std::filesystem::path& file, ReceiverRule& rule,
                        std::string& client_id, std::int64_t now_us) {
  const UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.is_open()) {
    return errno == ENOENT ? Result<void>()
                           : errno_error("open " + penstock::quoted(file.native()));
  }
  std::string text;
  std::array<char, 64 * 1024> piece{};
  while (true) {
    const ssize_t got = ::read(fd.get(), piece.data(), piece.size());
    if (got == 0) break;
    if (got < 0 && errno != EINTR) return errno_error("read " + penstock::quoted(file.native()));
    if (got > 0) text.append(piece.data(), static_cast<std::size_t>(got));
  }
  const std::string_view all = text;
  const std::size_t line_end = all.find('\n');
  if (all.substr(0, client_prefix.size()) != client_prefix || line_end == std::string_view::npos) {
    return Error{Errc::corrupt, penstock::quoted(file.native()) + " is not a receiver's state"};
  }
  const Result<void> loaded = rule.load(all.substr(line_end + 1), now_us);
  if (!loaded.ok()) {
    return Error{Errc::corrupt,
                 fmt::format("{}: {}", penstock::quoted(file.native()), loaded.error().text)};
  }
  client_id = all.substr(client_prefix.size(), line_end - client_prefix.size());
  return {};
}

Result<void> save_state(const std::filesystem::path& file, const ReceiverRule& rule,
                        const std::string& client_id) {
  std::filesystem::path fresh = file;
  fresh += ".new";
  const Result<void> written =
      write_durably(fresh, fmt::format("{}{}\n{}", client_prefix, client_id, rule.save()));
  if (!written.ok()) {
    ::unlink(fresh.c_str());  // on a full disk even a part of it takes what others need
    return written;
  }
  if (::rename(fresh.c_str(), file.c_str()) != 0) {
    return errno_error("replace " + penstock::quoted(file.native()));
  }
  const std::filesystem::path parent = file.has_parent_path() ? file.parent_path() : ".";
  const UniqueFd directory(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.is_open() || ::fsync(directory.get()) != 0) {
    return errno_error("sync " + penstock::quoted(parent.native()));
  }
  return {};
}

}  // namespace penstock::cli
