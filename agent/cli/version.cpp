// `penstock version`: our version, and those of the libraries that are loaded now.
#include <dlfcn.h>
#include <fmt/format.h>
#include <link.h>

#include <CLI/CLI.hpp>
#include <array>
#include <filesystem>
#include <map>

#include "agent/cli/commands.hpp"
#include "agent/cli/terminal.hpp"
#include "agent/daemon/json_line.hpp"

namespace penstock::cli {
namespace {

constexpr std::array<std::string_view, 7> libraries = {
    "liblmdb", "libpaho-mqtt3as", "libyaml-cpp", "libzstd", "libssl", "libfmt", "libspdlog"};

using Versions = std::map<std::string, std::string>;

/// "libfmt.so.9" -> libfmt, and the version behind the name of the file it leads to.
int note_library(dl_phdr_info* info, std::size_t, void* versions) {
  std::error_code error;
  const std::string file = std::filesystem::canonical(info->dlpi_name, error).filename().string();
  const std::size_t end_of_name = file.find(".so.");
  if (error || end_of_name == std::string::npos) return 0;
  const std::string name = file.substr(0, end_of_name);
  if (std::find(libraries.begin(), libraries.end(), name) != libraries.end()) {
    (*static_cast<Versions*>(versions))[name] = file.substr(end_of_name + 4);
  }
  return 0;
}

/// Calls `symbol` of whichever library has it; these functions take what they ignore, and return a
/// text that lives for ever. By name, because their headers belong to other rooms.
template <typename... Args>
void ask_library(Versions& versions, const char* library, const char* symbol, Args... args) {
  using Function = const char* (*)(Args...);
  if (void* found = ::dlsym(RTLD_DEFAULT, symbol)) {
    versions[library] = reinterpret_cast<Function>(found)(args...);
  }
}

Versions loaded_versions() {
  Versions versions;
  ::dl_iterate_phdr(note_library, &versions);
  int* const not_wanted = nullptr;
  ask_library(versions, "liblmdb", "mdb_version", not_wanted, not_wanted, not_wanted);
  ask_library(versions, "libzstd", "ZSTD_versionString");
  ask_library(versions, "libssl", "OpenSSL_version", 0);
  return versions;
}

int version(bool is_json) {
  const Versions versions = loaded_versions();
  if (is_json) {
    daemon::JsonLine inner;
    for (const auto& [library, text] : versions) inner.text(library, text);
    daemon::JsonLine json;
    json.text("version", PENSTOCK_VERSION).text("compiler", __VERSION__);
    print(json.raw("libraries", inner.take()).take());
    return finish_output(0);
  }
  print("penstock " PENSTOCK_VERSION);
  for (const auto& [library, text] : versions) print("  " + padded(library, 18) + text);
  print("  " + padded("compiler", 18) + __VERSION__);
  return finish_output(0);
}

}  // namespace

void add_version_command(CLI::App& app, const Globals& globals, int& exit_code) {
  CLI::App* command = app.add_subcommand("version", "Version of the program and of its libraries");
  command->footer("Example:\n  penstock version --json");
  command->callback([&globals, &exit_code] { exit_code = version(globals.is_json); });
}

}  // namespace penstock::cli
