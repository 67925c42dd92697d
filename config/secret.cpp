#include "config/secret.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "agent/base/log.hpp"
#include "agent/base/unique_fd.hpp"

namespace penstock::config {
namespace {

enum class Trust { owner_only, manager };  // manager: systemd guards its credentials itself

Result<void> check_file(const std::string& path, const struct stat& status, Trust trust) {
  if (!S_ISREG(status.st_mode)) {
    return Error{Errc::invalid, fmt::format("{} is not a regular file", penstock::quoted(path))};
  }
  if (trust == Trust::manager) return {};
  if ((status.st_mode & 077) != 0) {
    return Error{Errc::invalid, fmt::format("{} may be read by others (mode {:04o}): chmod 600 it",
                                            penstock::quoted(path), status.st_mode & 07777U)};
  }
  if (status.st_uid != 0 && status.st_uid != ::geteuid()) {
    return Error{Errc::invalid, fmt::format("{} belongs to another user ({})",
                                            penstock::quoted(path), status.st_uid)};
  }
  return {};
}

Result<Secret> read_file(const std::string& path, Trust trust) {
  // O_NONBLOCK: a FIFO in this place must not stop the agent.
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
  if (!fd.is_open()) {
    if (errno == ELOOP) {
      return Error{Errc::invalid, fmt::format("{} is a symbolic link: name the file itself",
                                              penstock::quoted(path))};
    }
    return errno_error(penstock::quoted(path));
  }
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return errno_error(penstock::quoted(path));
  PENSTOCK_TRY(check_file(path, status, trust));
  std::string content(secret_bytes_max + 1, '\0');
  std::size_t size = 0;
  while (size < content.size()) {
    const ssize_t got = ::read(fd.get(), content.data() + size, content.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno_error(penstock::quoted(path));
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  std::string_view text = std::string_view(content).substr(0, size);
  if (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  if (!text.empty() && text.back() == '\r') text.remove_suffix(1);
  Secret secret{std::string(text)};
  ::explicit_bzero(content.data(), content.size());
  if (size > secret_bytes_max) {
    return Error{Errc::invalid, fmt::format("{} is too long for a secret", penstock::quoted(path))};
  }
  if (secret.is_empty())
    return Error{Errc::invalid, fmt::format("{} is empty", penstock::quoted(path))};
  return secret;
}

Result<Secret> read_environment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  if (value == nullptr || *value == '\0') {
    return Error{Errc::unavailable, fmt::format("environment variable {} is not set", name)};
  }
  return Secret(value);
}

Result<Secret> read_credential(const std::string& name) {
  const char* directory = std::getenv("CREDENTIALS_DIRECTORY");
  if (directory == nullptr || *directory == '\0') {
    return Error{Errc::unavailable,
                 fmt::format("there is no credential {}: systemd passes them with LoadCredential=",
                             penstock::quoted(name))};
  }
  return read_file(fmt::format("{}/{}", directory, name), Trust::manager);
}

}  // namespace

Result<Secret> read_secret(const Node& node) {
  PENSTOCK_ASSERT(node.kind == Node::Kind::map && node.children.size() == 1);
  const Node& reference = node.children.front();
  if (reference.key == "env") return read_environment(reference.text);
  if (reference.key == "credential") return read_credential(reference.text);
  return read_file(reference.text, Trust::owner_only);
}

}  // namespace penstock::config
