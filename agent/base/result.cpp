#include "agent/base/result.hpp"

#include <cstring>

namespace penstock {

std::string_view to_string(Errc code) {
  switch (code) {
    case Errc::stopped: return "stopped";
    case Errc::unavailable: return "unavailable";
    case Errc::invalid: return "invalid";
    case Errc::full: return "full";
    case Errc::corrupt: return "corrupt";
  }
  return "unknown";
}

Error errno_error(std::string_view what, int err) {
  return {Errc::unavailable, std::string(what) + ": " + std::strerror(err)};
}

}  // namespace penstock
