// The subcommands: each adds itself to the command line and leaves its exit code.
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace penstock::cli {

/// Options that every command takes, in front of or behind its name.
struct Globals {
  std::string config_file;  ///< -c; "": the default path
  std::string socket;       ///< --socket; "": beside the buffer
  std::string color = "auto";
  bool is_json = false;
  int louder = 0;   ///< times -v was given
  int quieter = 0;  ///< times -q was given
};

/// `globals` and `exit_code` must outlive the parsing. The command runs while the line is parsed.
void add_run_command(CLI::App& app, const Globals& globals, int& exit_code);
void add_check_command(CLI::App& app, const Globals& globals, int& exit_code);
void add_show_command(CLI::App& app, const Globals& globals, int& exit_code);
void add_list_command(CLI::App& app, const Globals& globals, int& exit_code);
void add_describe_command(CLI::App& app, const Globals& globals, int& exit_code);
void add_probe_command(CLI::App& app, const Globals& globals, int& exit_code);
void add_send_command(CLI::App& app, const Globals& globals, int& exit_code);
void add_schema_command(CLI::App& app, int& exit_code);
void add_status_command(CLI::App& app, const Globals& globals, int& exit_code);
void add_buffer_command(CLI::App& app, const Globals& globals, int& exit_code);
void add_version_command(CLI::App& app, const Globals& globals, int& exit_code);

/// The whole command line. Returns the exit code. Thread: main.
int run_command_line(int argument_count, char** arguments);

}  // namespace penstock::cli
