// `penstock run`: the agent itself, in the foreground.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "agent/base/log.hpp"
#include "agent/cli/commands.hpp"
#include "agent/cli/configuration.hpp"
#include "agent/cli/human.hpp"
#include "agent/cli/logging.hpp"
#include "agent/cli/terminal.hpp"
#include "agent/daemon/daemon.hpp"
#include "agent/daemon/exit_code.hpp"

namespace penstock::cli {
namespace {

int run(const Globals& globals, const std::string& run_for) {
  daemon::DaemonOptions options;
  options.socket = globals.socket;
  if (!run_for.empty()) {
    const auto duration = parse_duration(run_for);
    if (!duration || duration->count() == 0) {
      complain(
          fmt::format("--for {} is no duration: write 60s, 5m or 1h", penstock::quoted(run_for)));
      return daemon::exit_usage;
    }
    options.run_for = *duration;
  }
  Configuration configuration(globals);
  if (!configuration.load_or_complain()) return configuration.exit_code();
  set_up_logging_for(globals, configuration.loaded().values.agent.log_level);
  return daemon::run_daemon(configuration.loaded(), std::move(configuration.connectors()), options);
}

}  // namespace

void add_run_command(CLI::App& app, const Globals& globals, int& exit_code) {
  auto run_for = std::make_shared<std::string>();  // shared with the callback
  CLI::App* command = app.add_subcommand("run", "Run the agent in the foreground");
  command->add_option("--for", *run_for, "stop cleanly after this time, as by SIGTERM");
  command->footer(
      "SIGINT (Ctrl-C) and SIGTERM stop it cleanly: sources first, then a last commit, a short "
      "time\n"
      "for sending, exit code 0. A second one ends it at once with 130 or 143; what was durable "
      "is\n"
      "kept in either case.\n\nExample:\n  penstock run -c penstock.yaml");
  command->callback([run_for, &globals, &exit_code] { exit_code = run(globals, *run_for); });
}

}  // namespace penstock::cli
