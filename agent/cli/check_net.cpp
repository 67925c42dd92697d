#include "agent/cli/check_net.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <utility>
#include <vector>

#include "agent/base/log.hpp"
#include "agent/cli/terminal.hpp"
#include "agent/daemon/exit_code.hpp"
#include "agent/daemon/machine.hpp"
#include "agent/daemon/room_options.hpp"
#include "agent/forward/mqtt_link.hpp"

namespace penstock::cli {
namespace {

using forward::LinkEvent;
using forward::Protocol;
using forward::Stage;

/// Connects, logs in and says goodbye. Blocks until the link has told `up` or `down`, for about
/// three times options.timeout at most.
LinkEvent connect_once(const forward::ConnectOptions& options) {
  std::mutex mutex;  // guards: is_woken
  std::condition_variable woken;
  bool is_woken = false;
  forward::MqttLink link(system_clock(), [&] {
    const std::lock_guard lock(mutex);
    is_woken = true;
    woken.notify_one();
  });
  link.open(1, options, 1);
  for (;;) {
    for (LinkEvent& event : link.take_events()) {
      link.close(std::chrono::milliseconds(500), true);
      return std::move(event);
    }
    constexpr std::int64_t wait_us_max = 1'000'000;
    const std::int64_t left_us = link.wake_at_us() - system_clock().steady_us();
    std::unique_lock lock(mutex);
    woken.wait_for(
        lock, std::chrono::microseconds(std::min(std::max<std::int64_t>(left_us, 0), wait_us_max)),
        [&] { return is_woken; });
    is_woken = false;
  }
}

std::string_view step_of(Stage stage) {
  switch (stage) {
    case Stage::resolve: return "before connecting";
    case Stage::connect: return "connecting";
    case Stage::connack: return "after connecting";
    case Stage::refused: return "logging in";
    case Stage::up: return "after logging in";
  }
  return "connecting";
}

/// As the forwarder would: 3.1.1 after 5 only where that is allowed and may help.
LinkEvent try_broker(forward::ConnectOptions options, forward::ProtocolChoice choice) {
  options.protocol = choice == forward::ProtocolChoice::v3_1_1 ? Protocol::v3_1_1 : Protocol::v5;
  LinkEvent event = connect_once(options);
  const bool may_be_version = event.kind == LinkEvent::Kind::down &&
                              (event.version_refused || event.stage == Stage::connack);
  if (choice != forward::ProtocolChoice::automatic || !may_be_version) return event;
  options.protocol = Protocol::v3_1_1;
  return connect_once(options);
}

}  // namespace

int check_net(const config::AgentConfig& config, bool use_color) {
  if (!config.upstream) {
    complain("there is no upstream to connect to");
    return daemon::exit_config;
  }
  const forward::ForwardOptions forward =
      daemon::forward_options(config, *config.upstream, daemon::boot_id());
  forward::ConnectOptions options;
  options.client_id = forward.client_id + "-check";
  options.tls = forward.tls;
  options.keep_alive = forward.keep_alive;
  options.timeout = forward.connect_timeout;
  if (forward.credentials) {
    Result<forward::Credentials> credentials = forward.credentials();
    if (!credentials) {
      complain(credentials.error().text);
      return daemon::exit_config;
    }
    options.user = std::move(credentials->user);
    options.password = std::move(credentials->password);
    options.tls.key_password = std::move(credentials->key_password);
  }
  bool is_good = true;
  for (const config::BrokerAddress& broker : forward.brokers) {
    options.broker = broker;
    const std::int64_t began_us = system_clock().steady_us();
    const LinkEvent event = try_broker(options, forward.protocol);
    const std::int64_t took_ms = (system_clock().steady_us() - began_us) / 1'000;
    if (event.kind == LinkEvent::Kind::up) {
      print(colored("  ok   ", Color::green, use_color) +
            fmt::format("{}   logged in with MQTT {} after {} ms", broker.url,
                        to_string(event.limits.protocol), took_ms));
      continue;
    }
    is_good = false;
    print(colored("  fail ", Color::red, use_color) +
          fmt::format("{}   {}: {}", broker.url, step_of(event.stage), event.text));
  }
  return is_good ? daemon::exit_ok : daemon::exit_unavailable;
}

}  // namespace penstock::cli
