#include "buffer/new_epoch.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>

#include "agent/base/unique_fd.hpp"

namespace penstock::buffer {
namespace {

constexpr const char* file_name = "NEW_EPOCH";

}  // namespace

Result<void> ask_new_epoch(const std::filesystem::path& directory, std::string_view epoch) {
  const std::filesystem::path path = directory / file_name;
  const UniqueFd file(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.is_open()) return errno_error(path.string());
  const ssize_t written = ::write(file.get(), epoch.data(), epoch.size());
  if (written != static_cast<ssize_t>(epoch.size()) || ::fsync(file.get()) != 0) {
    return errno_error(path.string());
  }
  const UniqueFd folder(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.is_open() || ::fsync(folder.get()) != 0) return errno_error(directory.string());
  return {};
}

bool is_new_epoch_asked(const std::filesystem::path& directory, std::string_view epoch) {
  const UniqueFd file(::open((directory / file_name).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  std::array<char, 16> text = {};
  if (!file.is_open()) return false;
  const ssize_t size = ::read(file.get(), text.data(), text.size());
  return size > 0 && std::string_view(text.data(), static_cast<std::size_t>(size)) == epoch;
}

}  // namespace penstock::buffer
