// `penstock list`: the connector types that are built in.
#include <CLI/CLI.hpp>

#include "agent/cli/commands.hpp"
#include "agent/cli/terminal.hpp"
#include "agent/daemon/json_line.hpp"
#include "connectors/api/connector.hpp"

namespace penstock::cli {

void add_list_command(CLI::App& app, const Globals& globals, int& exit_code) {
  CLI::App* command = app.add_subcommand("list", "Connector types that are built in");
  command->footer("Example:\n  penstock list");
  command->callback([&globals, &exit_code] {
    std::size_t widest = 0;
    for (const auto* type : connectors::builtin_types()) {
      widest = std::max(widest, type->name.size());
    }
    for (const auto* type : connectors::builtin_types()) {
      if (globals.is_json) {
        daemon::JsonLine json;
        json.text("type", type->name)
            .text("summary", type->summary)
            .boolean("rereadable", type->is_rereadable);
        print(json.take());
      } else {
        print(padded(type->name, widest + 2) + std::string(type->summary));
      }
    }
    exit_code = finish_output(0);
  });
}

}  // namespace penstock::cli
