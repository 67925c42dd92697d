// `penstock show`: the configuration as the agent understands it: merged, expanded, secrets masked.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "agent/cli/commands.hpp"
#include "agent/cli/configuration.hpp"
#include "agent/cli/terminal.hpp"

namespace penstock::cli {

void add_show_command(CLI::App& app, const Globals& globals, int& exit_code) {
  auto with_origin = std::make_shared<bool>(false);  // shared with the callback
  CLI::App* command = app.add_subcommand("show", "The merged configuration, secrets masked");
  command->add_flag("--origin", *with_origin, "file and line behind each key");
  command->footer("Example:\n  penstock show --origin -c penstock.yaml");
  command->callback([with_origin, &globals, &exit_code] {
    Configuration configuration(globals);
    if (!configuration.load_or_complain()) {
      exit_code = configuration.exit_code();
      return;
    }
    const config::LoadedConfig& loaded = configuration.loaded();
    std::string text = globals.is_json ? loaded.shown_json
                       : *with_origin  ? loaded.shown_with_origin
                                       : loaded.shown_text;
    while (!text.empty() && text.back() == '\n') text.pop_back();
    print(text);
    exit_code = finish_output(0);
  });
}

}  // namespace penstock::cli
