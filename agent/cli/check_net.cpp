#include "agent/cli/check_net.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <string>

#include "agent/cli/broker_trial.hpp"
#include "agent/cli/terminal.hpp"
#include "agent/daemon/exit_code.hpp"
#include "agent/daemon/machine.hpp"
#include "agent/daemon/room_options.hpp"

namespace penstock::cli {
namespace {

std::string line_of(const TrialReport& report, bool use_color) {
  if (report.verdict != TrialReport::Verdict::good) {
    const TrialReport::Step& step = report.steps.back();
    return colored("  fail ", Color::red, use_color) +
           fmt::format("{}   {}: {}", report.broker, step.name, step.note);
  }
  std::string times;
  for (const TrialReport::Step& step : report.steps) {
    times += fmt::format("{}{} {:.1f} ms", times.empty() ? "" : ", ", step.name,
                         static_cast<double>(step.took_us) / 1e3);
  }
  return colored("  ok   ", Color::green, use_color) +
         fmt::format("{}   logged in with MQTT {} as {}: {}", report.broker,
                     to_string(report.limits.protocol), report.client_id, times);
}

}  // namespace

int check_net(const config::AgentConfig& config, const Globals& globals,
              const std::string& client_id) {
  if (!config.upstream) {
    complain("there is no upstream to connect to");
    return daemon::exit_config;
  }
  const forward::ForwardOptions forward =
      daemon::forward_options(config, *config.upstream, daemon::boot_id());
  Result<forward::ConnectOptions> options = trial_options(forward, "-check", client_id);
  if (!options) {
    complain(options.error().text);
    return daemon::exit_config;
  }
  int exit_code = daemon::exit_ok;
  for (const config::BrokerAddress& broker : forward.brokers) {
    options->broker = broker;
    BrokerTrial trial(*options, forward.client_id);
    trial.log_in(forward.protocol);
    if (exit_code == daemon::exit_ok) exit_code = trial.report().exit_code();
    if (globals.is_json) {
      daemon::JsonLine line;
      trial.report().write(line);
      print(line.take());
    } else {
      print(line_of(trial.report(), use_color(globals, STDOUT_FILENO)));
    }
  }
  return exit_code;
}

}  // namespace penstock::cli
