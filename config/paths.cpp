// Where state and configuration lie unless something else is said.
#include <pwd.h>
#include <unistd.h>

#include <cstdlib>

#include "config/agent_config.hpp"

namespace penstock::config {
namespace {

namespace fs = std::filesystem;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

fs::path home() {
  if (const std::string value = environment("HOME"); !value.empty()) return value;
  // At start-up, before any other thread.
  const passwd* user = ::getpwuid(::geteuid());
  return user != nullptr && user->pw_dir != nullptr ? user->pw_dir : "/";
}

/// XDG Base Directory Specification: relative paths are to be ignored.
fs::path user_directory(const char* variable, const char* below_home) {
  const fs::path given = environment(variable);
  return given.is_absolute() ? given : home() / below_home;
}

}  // namespace

fs::path default_state_dir() {
  // systemd lists several directories with colons.
  const std::string given = environment("STATE_DIRECTORY");
  if (!given.empty()) return given.substr(0, given.find(':'));
  if (::geteuid() == 0) return "/var/lib/penstock";
  return user_directory("XDG_STATE_HOME", ".local/state") / "penstock";
}

fs::path default_config_file() {
  const fs::path system = "/etc/penstock/penstock.yaml";
  if (::geteuid() == 0) return system;
  const fs::path own = user_directory("XDG_CONFIG_HOME", ".config") / "penstock/penstock.yaml";
  std::error_code ignored;
  return !fs::exists(own, ignored) && fs::exists(system, ignored) ? system : own;
}

}  // namespace penstock::config
