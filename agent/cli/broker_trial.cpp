#include "agent/cli/broker_trial.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <limits>
#include <utility>

#include "agent/base/clock.hpp"
#include "agent/daemon/exit_code.hpp"

namespace penstock::cli {
namespace {

using forward::Attempt;
using forward::LinkEvent;
using forward::Protocol;
using forward::ProtocolChoice;
using forward::Stage;
using Verdict = TrialReport::Verdict;

/// Client id, user name or password, authorisation.
bool is_about_identity(std::uint8_t code) { return code >= 0x85 && code <= 0x87; }

std::int64_t now_us() { return system_clock().steady_us(); }

}  // namespace

void TrialReport::add(std::string_view name, std::int64_t took_us, std::string note) {
  if (!steps.empty() && steps.back().name == name) {
    steps.back().took_us += took_us;
    return;
  }
  steps.push_back({name, took_us, true, std::move(note)});
}

void TrialReport::fail(std::string_view name, std::int64_t took_us, Verdict why, std::string text) {
  verdict = why;
  if (!steps.empty() && steps.back().name == name) steps.pop_back();
  steps.push_back({name, took_us, false, std::move(text)});
}

int TrialReport::exit_code() const {
  switch (verdict) {
    case Verdict::good: return daemon::exit_ok;
    case Verdict::not_there: return daemon::exit_unavailable;
    case Verdict::too_late: return daemon::exit_try_again;
    case Verdict::refused: return daemon::exit_protocol;
    case Verdict::too_large: return daemon::exit_data;
  }
  return daemon::exit_internal;
}

void TrialReport::write(daemon::JsonLine& line) const {
  std::string list;
  bool is_logged_in = false;
  for (const Step& step : steps) {
    daemon::JsonLine one;
    one.text("step", step.name).boolean("ok", step.is_good);
    one.decimal("ms", static_cast<double>(step.took_us) / 1e3);
    if (step.is_good && step.name == "connect") one.text("address", step.note);
    list += (list.empty() ? "" : ",") + one.take();
    is_logged_in = is_logged_in || (step.is_good && step.name == "login");
  }
  line.text("broker", broker).boolean("ok", verdict == Verdict::good);
  line.text("client_id", client_id);
  if (is_logged_in) line.text("protocol", to_string(limits.protocol));
  line.raw("steps", "[" + list + "]");
  if (verdict != Verdict::good) line.text("error", steps.back().note);
  if (reason_code != 0) line.number("code", reason_code);
}

void add_client_id_option(CLI::App& command, std::string& client_id, std::string_view suffix) {
  const auto check = [](const std::string& text) {
    const bool has_control =
        std::any_of(text.begin(), text.end(), [](unsigned char c) { return std::iscntrl(c) != 0; });
    return text.empty() ? "needs a value" : has_control ? "holds a control character" : "";
  };
  command
      .add_option(
          "--client-id", client_id,
          fmt::format("MQTT client id to log in with; default: the agent's and {}. With the\n"
                      "agent's own the broker ends the connection of an agent that runs",
                      suffix))
      ->type_name("ID")
      ->check(check);
}

Result<forward::ConnectOptions> trial_options(const forward::ForwardOptions& forward,
                                              std::string_view client_id_suffix,
                                              const std::string& client_id) {
  forward::ConnectOptions options;
  options.client_id = client_id.empty() ? client_id_of(forward, client_id_suffix) : client_id;
  options.packet_bytes_max = forward.packet_bytes_max;
  options.qos = forward.qos;
  options.tls = forward.tls;
  options.keep_alive = forward.keep_alive;
  options.timeout = forward.connect_timeout;
  if (forward.credentials) {
    PENSTOCK_TRY_ASSIGN(forward::Credentials credentials, forward.credentials());
    options.user = std::move(credentials.user);
    options.password = std::move(credentials.password);
    options.tls.key_password = std::move(credentials.key_password);
  }
  return options;
}

void BrokerTrial::Wake::raise() {
  const std::lock_guard lock(mutex);
  is_raised = true;
  raised.notify_one();
}

void BrokerTrial::Wake::wait_until(std::int64_t steady_us) {
  constexpr std::int64_t wait_us_max = 1'000'000;
  const std::int64_t left_us = std::clamp<std::int64_t>(steady_us - now_us(), 0, wait_us_max);
  std::unique_lock lock(mutex);
  raised.wait_for(lock, std::chrono::microseconds(left_us), [this] { return is_raised; });
  is_raised = false;
}

BrokerTrial::BrokerTrial(const forward::ConnectOptions& options, std::string agent_id)
    : options_(options),
      agent_id_(std::move(agent_id)),
      link_(system_clock(), [wake = wake_] { wake->raise(); }) {
  report_.broker = options.broker.url;
  report_.client_id = options.client_id;
}

BrokerTrial::~BrokerTrial() { link_.close(std::chrono::milliseconds(500), true); }

/// Paho tells neither how long each step took nor which address answered.
bool BrokerTrial::reach() {
  if (options_.broker.uses_tls()) {
    const Result<void> readable = check_tls_files(options_.tls);
    if (!readable) {
      report_.fail("tls", 0, Verdict::not_there, readable.error().text);
      return false;
    }
  }
  const std::int64_t began_us = now_us();
  const std::int64_t until_us = began_us + options_.timeout / std::chrono::microseconds(1);
  const auto tried =
      forward::Resolution::begin_attempt(options_, [wake = wake_] { wake->raise(); });
  while (!tried->is_done() && now_us() < until_us) wake_->wait_until(until_us);
  const Attempt& attempt = tried->attempt();
  if (!tried->is_done()) {
    const forward::UnfinishedStep step = forward::unfinished(attempt.reached);
    report_.fail(step.name, now_us() - began_us, Verdict::too_late, step.text(options_.timeout));
    return false;
  }
  const auto step = [&](Attempt::Step which, std::string_view name, std::int64_t took_us,
                        const std::string& note) {
    if (attempt.reached < which) return;
    if (attempt.reached > which) return report_.add(name, took_us, note);
    report_.fail(name, took_us, attempt.is_too_late ? Verdict::too_late : Verdict::not_there,
                 tried->result().error().text);
  };
  step(Attempt::Step::resolve, "resolve", attempt.resolve_us, {});
  step(Attempt::Step::connect, "connect", attempt.connect_us, attempt.address);
  if (options_.broker.uses_tls()) step(Attempt::Step::tls, "tls", attempt.tls_us, {});
  if (options_.broker.is_websocket()) {
    step(Attempt::Step::websocket, "websocket", attempt.websocket_us, {});
  }
  return tried->result().ok();
}

/// A broker may let in, or let write, the agent's id alone.
std::string BrokerTrial::identity_hint() const {
  if (options_.client_id == agent_id_) return {};
  return fmt::format(
      "; this command connects as {}, the agent as {}: does the broker know both? "
      "--client-id names another",
      options_.client_id, agent_id_);
}

LinkEvent BrokerTrial::connect_once(Protocol protocol) {
  options_.protocol = protocol;
  link_.open(++connection_, options_, 1);
  for (;;) {
    for (LinkEvent& event : link_.take_events()) {
      if (event.connection == connection_) return std::move(event);
    }
    wake_->wait_until(link_.wake_at_us());
  }
}

bool BrokerTrial::log_in(ProtocolChoice choice) {
  if (!reach()) return false;
  std::int64_t began_us = now_us();
  LinkEvent event =
      connect_once(choice == ProtocolChoice::v3_1_1 ? Protocol::v3_1_1 : Protocol::v5);
  const auto is_too_late = [&] {
    return event.stage == Stage::connack &&
           now_us() - began_us >= options_.timeout / std::chrono::microseconds(1);
  };
  const bool may_be_version = event.kind == LinkEvent::Kind::down && !is_too_late() &&
                              (event.version_refused || event.stage == Stage::connack);
  if (choice == ProtocolChoice::automatic && may_be_version) {
    began_us = now_us();
    event = connect_once(Protocol::v3_1_1);
  }
  const std::int64_t took_us = now_us() - began_us;
  if (event.kind == LinkEvent::Kind::up) {
    report_.limits = event.limits;
    report_.add(
        "login", took_us,
        fmt::format("MQTT {}, client id {}", to_string(event.limits.protocol), options_.client_id));
    return true;
  }
  report_.reason_code = event.reason_code;
  const Verdict why = event.stage == Stage::refused ? Verdict::refused
                      : is_too_late()               ? Verdict::too_late
                                                    : Verdict::not_there;
  const bool is_closed = event.stage == Stage::connack && !is_too_late();
  if (is_closed || is_about_identity(event.reason_code)) event.text += identity_hint();
  report_.fail("login", took_us, why, std::move(event.text));
  return false;
}

void BrokerTrial::give_up_too_large() {
  report_.fail("publish", 0, Verdict::too_large,
               fmt::format("an event is larger than the {} bytes of a packet that the broker takes",
                           report_.limits.packet_bytes_max));
}

bool BrokerTrial::publish(forward::OutgoingMessage message) {
  const std::int64_t began_us = now_us();
  const std::int64_t until_us = began_us + options_.timeout / std::chrono::microseconds(1);
  const std::string topic = message.topic;
  const auto fail = [&](Verdict why, std::string text) {
    report_.fail("publish", now_us() - began_us, why, std::move(text));
    return false;
  };
  const Result<void> taken = link_.publish(++message_, std::move(message));
  if (!taken) return fail(Verdict::not_there, taken.error().text);
  for (;;) {
    for (const LinkEvent& event : link_.take_events()) {
      if (event.connection != connection_) continue;
      if (event.kind == LinkEvent::Kind::down) {
        return fail(Verdict::not_there, event.text + identity_hint());
      }
      if (event.kind != LinkEvent::Kind::acknowledged || event.message != message_) continue;
      report_.reason_code = event.reason_code;
      if (event.reason_code >= 0x80) {
        return fail(Verdict::refused,
                    fmt::format("the broker refuses {}: {} (0x{:02x}){}", topic,
                                forward::reason_text(event.reason_code), event.reason_code,
                                is_about_identity(event.reason_code) ? identity_hint() : ""));
      }
      report_.add("publish", now_us() - began_us, topic);
      return true;
    }
    if (now_us() >= until_us) {
      return fail(Verdict::too_late,
                  fmt::format("no PUBACK within {} s", options_.timeout.count()));
    }
    wake_->wait_until(std::min(until_us, link_.wake_at_us()));
  }
}

}  // namespace penstock::cli
