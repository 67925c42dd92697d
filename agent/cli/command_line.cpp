// The command line as a whole: global options, the subcommands, and what a wrong one is told.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "agent/base/log.hpp"
#include "agent/base/text.hpp"
#include "agent/cli/commands.hpp"
#include "agent/cli/receive.hpp"
#include "agent/cli/terminal.hpp"
#include "agent/daemon/exit_code.hpp"

namespace penstock::cli {
namespace {

constexpr std::string_view overview =
    "penstock collects events at the edge, keeps them durably, and forwards them in order over "
    "MQTT.\n"
    "\n"
    "  penstock check FILE      every mistake in a configuration, with its place\n"
    "  penstock run -c FILE     run the agent; Ctrl-C stops it cleanly\n"
    "  penstock status          how the running agent is\n"
    "  penstock receive --broker mqtt://HOST   events as they arrive, verified\n"
    "  penstock list            what it can read; `penstock describe TYPE` tells how\n"
    "\n"
    "All commands: penstock --help";

constexpr const char* footer =
    "Exit codes: 0 well, 1 finding, 2 critical (status), 64 usage, 65 damaged data, 69 not there,\n"
    "70 internal, 73 cannot create, 74 input/output, 75 try again, 76 refused by the broker,\n"
    "77 permission, 78 configuration.\n"
    "\n"
    "Example:\n  penstock check penstock.yaml && penstock run -c penstock.yaml";

void add_global_options(CLI::App& app, Globals& globals) {
  app.add_option("-c,--config", globals.config_file,
                 "configuration file; its conf.d/*.yaml are read too")
      ->envname("PENSTOCK_CONFIG");
  app.add_option("--socket", globals.socket, "control socket of the agent")
      ->envname("PENSTOCK_SOCKET");
  app.add_flag("--json", globals.is_json, "output for programs");
  app.add_flag("-v,--verbose", globals.louder, "log more; twice for still more");
  app.add_flag("-q,--quiet", globals.quieter, "log less; no progress");
  app.add_option("--color", globals.color, "auto, always or never; NO_COLOR is honoured")
      ->check(CLI::IsMember({"auto", "always", "never"}))
      ->envname("PENSTOCK_COLOR");
  app.set_version_flag("-V,--version", "penstock " PENSTOCK_VERSION);
}

/// The innermost subcommand that was named.
const CLI::App& named_command(const CLI::App& app) {
  const CLI::App* command = &app;
  while (!command->get_subcommands().empty()) command = command->get_subcommands().front();
  return *command;
}

std::string full_name(const CLI::App& command) {
  return command.get_parent() == nullptr
             ? std::string("penstock")
             : full_name(*command.get_parent()) + " " + command.get_name();
}

std::vector<std::string> names_near(const CLI::App& app, const CLI::App& command, bool is_option) {
  std::vector<std::string> names;
  if (!is_option) {
    for (const CLI::App* sub : command.get_subcommands(nullptr)) names.push_back(sub->get_name());
    return names;
  }
  for (const CLI::App* level : {&command, &app}) {
    for (const CLI::Option* option : level->get_options()) {
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
  }
  return names;
}

/// "unknown command "chek"; did you mean "check"?"
std::string about_extras(const CLI::App& app, const CLI::App& command) {
  const std::vector<std::string> extras = app.remaining(true);
  const std::string first = extras.empty() ? std::string() : extras.front();
  const bool is_option = !first.empty() && first.front() == '-';
  const bool is_command = !is_option && !command.get_subcommands(nullptr).empty();
  const std::string_view kind = is_option ? "option" : is_command ? "command" : "argument";
  std::string text = fmt::format("unknown {} {}", kind, penstock::quoted(first));
  if (kind == "argument") return text;
  const std::vector<std::string> names = names_near(app, command, is_option);
  const std::string_view near = nearest(std::string_view(first), names);
  if (!near.empty()) text += fmt::format("; did you mean \"{}\"?", near);
  return text;
}

int explain(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App& command = named_command(app);
  std::string text = error.what();
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) text = about_extras(app, command);
  complain(text);
  fmt::print(stderr, "see: {} --help\n", full_name(command));
  return daemon::exit_usage;
}

}  // namespace

int run_command_line(int argument_count, char** arguments) {
  Globals globals;
  int exit_code = daemon::exit_ok;
  CLI::App app("penstock: durable, ordered, provable collection at the edge, over MQTT",
               "penstock");
  app.fallthrough();
  app.footer(footer);
  add_global_options(app, globals);
  add_run_command(app, globals, exit_code);
  add_check_command(app, globals, exit_code);
  add_status_command(app, globals, exit_code);
  add_probe_command(app, globals, exit_code);
  add_send_command(app, globals, exit_code);
  add_receive_command(app, globals, exit_code);
  add_buffer_command(app, globals, exit_code);
  add_show_command(app, globals, exit_code);
  add_list_command(app, globals, exit_code);
  add_describe_command(app, globals, exit_code);
  add_schema_command(app, exit_code);
  add_version_command(app, globals, exit_code);
  if (argument_count <= 1) {
    print(overview);
    return finish_output(daemon::exit_ok);
  }
  try {
    app.parse(argument_count, arguments);
  } catch (const CLI::Success& wanted) {  // --help, --version
    app.exit(wanted);
    return finish_output(daemon::exit_ok);
  } catch (const CLI::ParseError& error) {
    return explain(app, error);
  }
  if (app.get_subcommands().empty()) {
    complain("no command is given");
    fmt::print(stderr, "see: penstock --help\n");
    return daemon::exit_usage;
  }
  return exit_code;
}

}  // namespace penstock::cli
