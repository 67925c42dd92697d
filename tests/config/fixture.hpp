// What the configuration's tests share: connector types made up for them, and files of their own.
#pragma once

#include <cstdlib>
#include <string>
#include <string_view>

#include "config/agent_config.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::config::tests {

/// Stand-ins named like real types: `file`, `host`, and `plc` with a bit of everything.
std::span<const TypeOptions> fake_types();

/// One run of load() on files in a directory of its own; a machine-id is there.
class Run {
 public:
  Run() { penstock::tests::write_file(directory_ / "machine-id", "0123456789abcdef\n"); }
  explicit Run(std::string_view yaml) : Run() {
    write("penstock.yaml", yaml);
    load();
  }

  void write(std::string_view name, std::string_view text);
  void load();

  bool is_ok() const { return loaded.has_value(); }
  const AgentConfig& values() const { return loaded->values; }
  /// A path as it stands in messages.
  std::string path(std::string_view name) const { return (directory_ / name).string(); }
  /// to_text() with the directory removed.
  std::string text() const;

  Diagnostics diagnostics;
  LoadRequest request;
  std::optional<LoadedConfig> loaded;
  Error error;

 private:
  penstock::tests::TempDir directory_;
};

/// An environment variable for the time of a test.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) { ::setenv(name, value, 1); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;
  ~Variable() { ::unsetenv(name_); }

 private:
  const char* name_;
};

}  // namespace penstock::config::tests
