// The command line of `penstock receive`.
#include <CLI/CLI.hpp>
#include <memory>

#include "agent/cli/commands.hpp"
#include "agent/cli/human.hpp"
#include "agent/cli/receive.hpp"
#include "agent/daemon/exit_code.hpp"

namespace penstock::cli {
namespace {

/// An option whose value is a duration; "off" is not accepted, leaving it out is.
void add_duration(CLI::App& command, const std::string& name, std::chrono::microseconds& value,
                  const std::string& description, const std::string& shown_default) {
  const auto read = [&value](const std::string& text) {
    const auto duration = parse_duration(text);
    if (!duration)
      throw CLI::ValidationError("'" + text + "' is not a time such as 500ms, 30s, 5m");
    value = *duration;
  };
  CLI::Option* option = command.add_option_function<std::string>(name, read, description);
  option->type_name("TIME");
  if (!shown_default.empty()) option->default_str(shown_default);
}

/// CLI11 would take -1 for the largest number.
std::string is_count(const std::string& text) {
  const bool is_digits = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
  return is_digits ? std::string() : "'" + text + "' is not a number of events";
}

/// An empty one is mostly a shell's variable that is not set, and would switch the option off.
std::string is_given(const std::string& text) {
  return text.empty() ? "needs a value" : std::string();
}

void add_connection_options(CLI::App& command, ReceiveOptions& options) {
  command
      .add_option("--broker", options.broker_urls,
                  "mqtt://HOST[:PORT], mqtts:// (TLS), ws://HOST[:PORT][/PATH] or wss://\n"
                  "(WebSocket); may be given several times: what comes from any of them is one\n"
                  "account")
      ->required()
      ->type_name("URL")
      ->expected(1)
      ->take_all();
  command
      .add_option("--topic", options.topics,
                  "Topic filter; may be given several times\n"
                  "(default penstock/+/data/#, penstock/+/zstd/# and penstock/+/gzip/#)")
      ->type_name("FILTER")
      ->expected(1)
      ->take_all();
  command.add_option("--prefix", options.prefix, "First level of the agents' topics")
      ->type_name("PREFIX")
      ->capture_default_str();
  command.add_option("--user", options.user, "User name");
  command
      .add_option("--password-file", options.password_file, "File whose first line is the password")
      ->type_name("FILE");
  command.add_option("--ca", options.ca_file, "Trusted authorities (PEM); default: the system's")
      ->type_name("FILE");
  command.add_option("--cert", options.cert_file, "Our certificate (PEM)")->type_name("FILE");
  command.add_option("--key", options.key_file, "Its key (PEM)")->type_name("FILE");
  command
      .add_option("--key-password-file", options.key_password_file,
                  "File whose first line is the key's password")
      ->type_name("FILE");
  command
      .add_option("--alpn", options.alpn, "Protocol to offer by TLS; may be given several times")
      ->type_name("NAME")
      ->expected(1)
      ->take_all();
  command.add_flag("--insecure", options.is_insecure, "Check neither certificate nor host name");
  command.add_option("--client-id", options.client_id,
                     "Client id of the session; default: made up, and kept in the state file");
}

void add_rule_options(CLI::App& command, ReceiveOptions& options) {
  command
      .add_option("--expect", options.expect,
                  "End after so many new events; 75 if they do not come in time")
      ->check(is_count);
  add_duration(command, "--for", options.run_for, "End after this time", "");
  command.add_flag("--from-start", options.from_start,
                   "Each stream has to begin at 0, not at the first number seen");
  command.add_flag("--strict-order", options.strict_order, "A late number is a finding too");
  add_duration(command, "--gap-after", options.gap_after, "An open hole becomes a gap", "60s");
  command
      .add_option("--state", options.state_file, "Keep what was received in this file, over runs")
      ->type_name("FILE");
  command
      .add_option("--ack", options.ack_name,
                  "Tell agents with `ack: receiver` what is kept, as the receiver of this name;\n"
                  "needs --state. What is printed is on disk first if stdout is a file")
      ->type_name("NAME");
  add_duration(command, "--summary-every", options.summary_every, "Time between two sums on stderr",
               "5s");
}

}  // namespace

void add_receive_command(CLI::App& app, const Globals& globals, int& exit_code) {
  CLI::App* command = app.add_subcommand(
      "receive", "Receive events, remove repeats, and prove that none is missing");
  const auto options = std::make_shared<ReceiveOptions>();  // shared with the callback
  add_connection_options(*command, *options);
  add_rule_options(*command, *options);
  for (CLI::Option* option : command->get_options()) {
    if (option->get_items_expected_min() > 0) option->check(is_given);
  }
  command->footer(
      "Prints each new event once, as a JSON line on stdout; findings and sums go to stderr.\n"
      "Exit codes: 0 nothing wrong, 1 a gap or a conflict, 65 a payload that is no batch,\n"
      "69 no broker was reached, 75 --expect not met, 77 the broker refuses us.\n"
      "Examples:\n"
      "  penstock receive --broker mqtt://127.0.0.1\n"
      "  penstock receive --broker mqtt://first.example.net --broker mqtt://second.example.net\n"
      "  penstock receive --broker mqtts://broker.example.net --state received.state --for 10m");
  command->callback([options, &globals, &exit_code] {
    options->is_json = globals.is_json;
    options->is_quiet = globals.quieter > 0;
    exit_code = receive(*options);
  });
}

}  // namespace penstock::cli
