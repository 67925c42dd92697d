// Configuration: the loaded file for a command, with its findings shown and its exit code chosen.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "agent/cli/commands.hpp"
#include "agent/daemon/connector_set.hpp"
#include "config/agent_config.hpp"
#include "config/diagnostics.hpp"

namespace penstock::cli {

/// Every built-in type's options, as the loader wants them.
std::vector<config::TypeOptions> known_types();

/// The path, or the nearest directory above it that exists. path: absolute.
std::filesystem::path nearest_existing(std::filesystem::path path);

/// Not movable: the sections point to the diagnostics.
class Configuration {
 public:
  explicit Configuration(const Globals& globals) : globals_(globals) {}
  Configuration(const Configuration&) = delete;
  Configuration& operator=(const Configuration&) = delete;

  /// Reads the file and makes every connector (which opens nothing), so that all findings come
  /// together. false: there were errors, and exit_code() says which kind.
  bool load();
  int exit_code() const { return exit_code_; }
  /// What the file says of the buffer, whatever is wrong in its other sections; the default path
  /// and a max_size of 0 if no file was named and there is none. nullopt as load()'s false.
  std::optional<config::BufferSettings> load_buffer();
  /// After load(): warns of what `run` can live with and a person wants to know before: no
  /// connector, TLS files or a buffer that cannot be used.
  void add_advice();
  /// The findings to stderr; nothing if there are none.
  void show_findings() const;
  /// load(), and what was found to stderr.
  bool load_or_complain();

  const std::filesystem::path& file() const { return file_; }
  const config::Diagnostics& diagnostics() const { return diagnostics_; }
  const config::LoadedConfig& loaded() const { return *loaded_; }
  std::vector<daemon::BuiltConnector>& connectors() { return connectors_; }

 private:
  bool find_file();
  void advise_of_tls_files();
  void advise_of_buffer();

  const Globals& globals_;
  std::filesystem::path file_;
  config::Diagnostics diagnostics_;
  std::optional<config::LoadedConfig> loaded_;
  std::vector<daemon::BuiltConnector> connectors_;
  std::string complaint_;  // instead of findings: there is no file at all
  int exit_code_ = 0;
};
}  // namespace penstock::cli
