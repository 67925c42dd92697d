#include "buffer/new_epoch.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <array>

#include "agent/base/unique_fd.hpp"
#include "buffer/directory.hpp"

namespace penstock::buffer {
namespace {

constexpr const char* file_name = "NEW_EPOCH";

}  // namespace

Result<void> ask_new_epoch(const std::filesystem::path& directory, std::string_view epoch) {
  const std::filesystem::path path = directory / file_name;
  // Made anew: what is there may be another file's second name.
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return errno_error(path.string());
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file.is_open()) return errno_error(path.string());
  PENSTOCK_TRY(give_to_owner(directory, path));
  const ssize_t written = ::write(file.get(), epoch.data(), epoch.size());
  if (written != static_cast<ssize_t>(epoch.size()) || ::fsync(file.get()) != 0) {
    return errno_error(path.string());
  }
  const UniqueFd folder(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.is_open() || ::fsync(folder.get()) != 0) return errno_error(directory.string());
  return {};
}

Result<bool> is_new_epoch_asked(const std::filesystem::path& directory, std::string_view epoch) {
  const std::filesystem::path path = directory / file_name;
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  std::array<char, 16> text = {};
  if (!file.is_open() && errno == ENOENT) return false;
  const ssize_t size = file.is_open() ? ::read(file.get(), text.data(), text.size()) : -1;
  if (size < 0) {
    Error error = errno_error(fmt::format("whether {} asks for a new epoch", path.string()));
    error.text += "; let this user read it, or remove it";
    return error;
  }
  return std::string_view(text.data(), static_cast<std::size_t>(size)) == epoch;
}

}  // namespace penstock::buffer
