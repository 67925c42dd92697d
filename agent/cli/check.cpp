// `penstock check`: every finding in a configuration at once; opens no source, and a connection
// only with --net.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>

#include "agent/base/log.hpp"
#include "agent/cli/broker_trial.hpp"
#include "agent/cli/check_net.hpp"
#include "agent/cli/commands.hpp"
#include "agent/cli/configuration.hpp"
#include "agent/cli/human.hpp"
#include "agent/cli/terminal.hpp"
#include "agent/daemon/exit_code.hpp"

namespace penstock::cli {
namespace {

std::string plural(std::size_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

/// "1 GiB at /var/lib/penstock/buffer, 11.4 GiB free": of the nearest directory that exists.
std::string buffer_line(const config::BufferSettings& buffer) {
  std::error_code error;
  const auto space = std::filesystem::space(nearest_existing(buffer.path), error);
  const std::string free =
      error ? std::string("free space unknown") : human_size(space.available) + " free";
  return fmt::format("{} at {}, {}", human_size(buffer.max_size),
                     penstock::quoted(buffer.path.string()), free);
}

void show_summary(const Configuration& configuration, bool color) {
  const config::LoadedConfig& loaded = configuration.loaded();
  const auto& values = loaded.values;
  const std::size_t fragments = loaded.files.empty() ? 0 : loaded.files.size() - 1;
  print(fmt::format("{}{}   {}, {}", configuration.file().filename().string(),
                    fragments == 0 ? "" : " + " + plural(fragments, "fragment"),
                    plural(values.connectors.size(), "connector"),
                    values.upstream ? "1 upstream" : "no upstream: collects and keeps"));
  const std::string ok = colored("  ok   ", Color::green, color);
  print(ok + "options and connectors");
  const auto& found = configuration.diagnostics().all();
  const bool is_warned = std::any_of(found.begin(), found.end(), [](const auto& finding) {
    return finding.path == "buffer.path";
  });
  print((is_warned ? colored("  !    ", Color::yellow, color) : ok) + "buffer     " +
        buffer_line(values.buffer));
  if (values.upstream) {
    std::vector<std::string_view> urls;
    for (const auto& broker : values.upstream->brokers) urls.push_back(broker.url);
    print(ok + "upstream   " + fmt::format("{}", fmt::join(urls, ", ")));
  }
  const std::size_t warnings = configuration.diagnostics().warning_count();
  print(fmt::format("Configuration is valid{}.",
                    warnings == 0 ? "" : fmt::format(" ({})", plural(warnings, "warning"))));
}

int check(const Globals& globals, bool is_strict, bool tries_net, const std::string& client_id) {
  Configuration configuration(globals);
  const bool is_good = configuration.load();
  if (is_good) configuration.add_advice();
  const config::Diagnostics& found = configuration.diagnostics();
  if (globals.is_json && (is_good || !found.all().empty())) {
    print(found.to_json());
  } else {
    configuration.show_findings();
    if (is_good && globals.quieter == 0) {
      show_summary(configuration, use_color(globals, STDOUT_FILENO));
    }
  }
  if (!is_good) return finish_output(configuration.exit_code());
  if (tries_net) {
    const int net = check_net(configuration.loaded().values, globals, client_id);
    if (net != daemon::exit_ok) return finish_output(net);
  }
  const bool is_finding = is_strict && found.warning_count() > 0;
  return finish_output(is_finding ? daemon::exit_finding : daemon::exit_ok);
}

}  // namespace

void add_check_command(CLI::App& app, const Globals& globals, int& exit_code) {
  struct Options {
    std::string file;
    bool is_strict = false;
    bool tries_net = false;
    std::string client_id;
  };
  auto options = std::make_shared<Options>();  // shared with the callback
  CLI::App* command =
      app.add_subcommand("check", "Every mistake in the configuration, with its place");
  command->add_option("FILE", options->file, "instead of -c FILE");
  command->add_flag("--strict", options->is_strict, "exit code 1 if there are warnings");
  command->add_flag("--net", options->tries_net, "also connect and log in to each broker");
  add_client_id_option(*command, options->client_id, "-check");
  command->get_option("--client-id")->needs("--net");
  command->footer(
      "Exit codes of --net, by the first broker that does not work: 69 not reached, 75 no answer "
      "in\n"
      "time, 76 refused.\n\n"
      "Example:\n  penstock check penstock.yaml\n  penstock check --json -c penstock.yaml");
  command->callback([options, &globals, &exit_code] {
    Globals with_file = globals;
    if (!options->file.empty()) with_file.config_file = options->file;
    exit_code = check(with_file, options->is_strict, options->tries_net, options->client_id);
  });
}

}  // namespace penstock::cli
