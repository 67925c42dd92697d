#include "agent/daemon/daemon.hpp"

#include <malloc.h>
#include <poll.h>

#include <algorithm>
#include <csignal>
#include <limits>

#include "agent/base/log.hpp"
#include "agent/daemon/agent.hpp"
#include "agent/daemon/exit_code.hpp"
#include "agent/daemon/signals.hpp"

namespace penstock::daemon {
namespace {

/// glibc gives each thread an arena of its own otherwise, and keeps what they free.
constexpr int malloc_arenas_max = 2;

/// Milliseconds for poll(2), rounded up; -1 for ever.
int poll_timeout_ms(std::int64_t until_us) {
  if (until_us == 0) return -1;
  const std::int64_t left_us = std::max<std::int64_t>(0, until_us - system_clock().steady_us());
  return static_cast<int>(
      std::min<std::int64_t>((left_us + 999) / 1000, std::numeric_limits<int>::max()));
}

/// Until stop is asked for, or `run_for` is over.
void wait_for_stop(Signals& signals, std::chrono::microseconds run_for, Log& log) {
  const std::int64_t until_us =
      run_for.count() == 0 ? 0 : system_clock().steady_us() + run_for.count();
  while (true) {
    pollfd waited{signals.fd(), POLLIN, 0};
    const int ready = ::poll(&waited, 1, poll_timeout_ms(until_us));
    if (ready == 0 && system_clock().steady_us() >= until_us) {
      log.info("event=time_is_over");
      return;
    }
    while (const auto signal = signals.next()) {
      if (*signal != SIGHUP) {
        log.info("event=signal signal={}", *signal == SIGINT ? "SIGINT" : "SIGTERM");
        return;
      }
      log.info(
          "event=hangup text=\"the configuration is read at start only: restart to apply it\"");
    }
  }
}

}  // namespace

int run_daemon(const config::LoadedConfig& config, std::vector<BuiltConnector> connectors,
               const DaemonOptions& options) {
  ::mallopt(M_ARENA_MAX, malloc_arenas_max);
  Log log("agent");
  Result<Signals> signals = Signals::take_over();
  if (!signals.ok()) {
    log.error("event=not_started error={}", penstock::quoted(signals.error().text));
    return exit_internal;
  }
  Agent agent(config);
  if (const StartError error = agent.open(std::move(connectors), options.socket);
      error.exit_code != exit_ok) {
    log.error("event=not_started error={}", penstock::quoted(error.text));
    return error.exit_code;
  }
  agent.start();
  wait_for_stop(*signals, options.run_for, log);
  signals->end_at_once_from_now_on();
  return agent.stop();
}

}  // namespace penstock::daemon
