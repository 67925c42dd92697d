// `penstock schema`: JSON Schema of the configuration, for editors and validators.
#include <CLI/CLI.hpp>

#include "agent/cli/commands.hpp"
#include "agent/cli/configuration.hpp"
#include "agent/cli/terminal.hpp"

namespace penstock::cli {

void add_schema_command(CLI::App& app, int& exit_code) {
  CLI::App* command = app.add_subcommand("schema", "JSON Schema of the configuration file");
  command->footer("Example:\n  penstock schema > penstock.schema.json");
  command->callback([&exit_code] {
    print(config::json_schema(known_types()));
    exit_code = finish_output(0);
  });
}

}  // namespace penstock::cli
