#include "agent/forward/tls_files.hpp"

#include <fcntl.h>

#include <array>
#include <string>
#include <utility>

#include "agent/base/log.hpp"
#include "agent/base/unique_fd.hpp"

namespace penstock::forward {

Result<void> check_tls_files(const TlsFiles& files) {
  const std::array<std::pair<const char*, const std::string*>, 3> named{
      {{"ca", &files.ca}, {"cert", &files.cert}, {"key", &files.key}}};
  for (const auto& [name, path] : named) {
    if (path->empty()) continue;
    const UniqueFd file(::open(path->c_str(), O_RDONLY | O_CLOEXEC));
    if (!file.is_open()) {
      return Error{Errc::invalid,
                   errno_error(std::string("tls.") + name + " " + penstock::quoted(*path)).text};
    }
  }
  return {};
}

}  // namespace penstock::forward
