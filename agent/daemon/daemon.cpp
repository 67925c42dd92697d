#include "agent/daemon/daemon.hpp"

#include <malloc.h>
#include <poll.h>

#include <algorithm>
#include <csignal>
#include <iterator>
#include <limits>
#include <optional>
#include <string>

#include "agent/base/log.hpp"
#include "agent/daemon/agent.hpp"
#include "agent/daemon/exit_code.hpp"
#include "agent/daemon/signals.hpp"

namespace penstock::daemon {
namespace {

/// glibc gives each thread an arena of its own otherwise, and keeps what they free.
constexpr int malloc_arenas_max = 2;
constexpr std::int64_t store_retry_first_us = 200'000;
constexpr std::int64_t store_retry_last_us = 5'000'000;

/// Milliseconds for poll(2), rounded up; -1 for ever.
int poll_timeout_ms(std::int64_t until_us) {
  if (until_us == 0) return -1;
  const std::int64_t left_us = std::max<std::int64_t>(0, until_us - system_clock().steady_us());
  return static_cast<int>(
      std::min<std::int64_t>((left_us + 999) / 1000, std::numeric_limits<int>::max()));
}

enum class Wake : std::uint8_t { time, stop_asked, damage };

/// Until it is `until_us` (0: never), stop is asked for, or damage_fd (-1: none) is readable.
Wake wait(Signals& signals, int damage_fd, std::int64_t until_us, Log& log) {
  while (true) {
    pollfd waited[] = {{signals.fd(), POLLIN, 0}, {damage_fd, POLLIN, 0}};
    const int ready = ::poll(waited, std::size(waited), poll_timeout_ms(until_us));
    if (ready == 0 && system_clock().steady_us() >= until_us) return Wake::time;
    while (const auto signal = signals.next()) {
      if (*signal != SIGHUP) {
        log.info("event=signal signal={}", *signal == SIGINT ? "SIGINT" : "SIGTERM");
        return Wake::stop_asked;
      }
      log.info(
          "event=hangup text=\"the configuration is read at start only: restart to apply it\"");
    }
    if (ready > 0 && waited[1].revents != 0) return Wake::damage;
  }
}

/// A daemon that ended here would only be started again and again: it waits for the disk. Returns
/// the exit code of an agent that is not to start; nullopt once the store is open.
std::optional<int> open_store(Agent& agent, Signals& signals, std::int64_t until_us, Log& log) {
  std::string told;
  for (std::int64_t wait_us = store_retry_first_us;;) {
    const StartError error = agent.open_store();
    if (error.exit_code == exit_ok) break;
    if (!error.may_pass) {
      log.error("event=not_started error={}", penstock::quoted(error.text));
      return error.exit_code;
    }
    if (error.text != told) {
      told = error.text;
      log.error("event=buffer_not_open effect=\"tried again until it opens\" error={}",
                penstock::quoted(error.text));
    }
    const std::int64_t next_us = system_clock().steady_us() + wait_us;
    const bool is_last = until_us != 0 && until_us <= next_us;
    if (wait(signals, -1, is_last ? until_us : next_us, log) == Wake::stop_asked) return exit_ok;
    if (is_last) {
      log.info("event=time_is_over");
      return error.exit_code;
    }
    wait_us = std::min(2 * wait_us, store_retry_last_us);
  }
  if (!told.empty()) log.info("event=buffer_opens_again");
  return std::nullopt;
}

/// One agent's life. nullopt: its buffer is damaged; another one is to look at it.
std::optional<int> run_agent(const config::LoadedConfig& config,
                             std::vector<BuiltConnector> connectors, const DaemonOptions& options,
                             std::int64_t until_us, Log& log) {
  Result<Signals> signals = Signals::take_over();
  if (!signals.ok()) {
    log.error("event=not_started error={}", penstock::quoted(signals.error().text));
    return exit_internal;
  }
  Agent agent(config);
  if (const auto code = open_store(agent, *signals, until_us, log)) return *code;
  if (const StartError error = agent.open(std::move(connectors), options.socket);
      error.exit_code != exit_ok) {
    log.error("event=not_started error={}", penstock::quoted(error.text));
    return error.exit_code;
  }
  agent.start();
  const Wake wake = wait(*signals, agent.damage_fd(), until_us, log);
  if (wake == Wake::time) log.info("event=time_is_over");
  signals->end_at_once_from_now_on();
  const int code = agent.stop();
  if (wake == Wake::damage) return std::nullopt;
  return code;
}

}  // namespace

int run_daemon(const config::LoadedConfig& config, std::vector<BuiltConnector> connectors,
               const DaemonOptions& options) {
  ::mallopt(M_ARENA_MAX, malloc_arenas_max);
  Log log("agent");
  const std::int64_t until_us =
      options.run_for.count() == 0 ? 0 : system_clock().steady_us() + options.run_for.count();
  for (;;) {
    const auto code = run_agent(config, std::move(connectors), options, until_us, log);
    if (code) return *code;
    connectors = build_connectors(config.values);
  }
}

}  // namespace penstock::daemon
