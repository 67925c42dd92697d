// BrokerTrial: one way to a broker, step by step, each with its time. What `penstock check --net`
// and `penstock send` share.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.hpp"
#include "agent/cli/terminal.hpp"
#include "agent/daemon/json_line.hpp"
#include "agent/forward/forwarder.hpp"
#include "agent/forward/mqtt_link.hpp"
#include "agent/forward/resolve.hpp"

namespace CLI {
class App;
}

namespace penstock::cli {

/// What a trial found, so far.
struct TrialReport {
  enum class Verdict : std::uint8_t {
    good,
    not_there,  ///< no address, no connection, no TLS, or the connection ended
    too_late,   ///< no answer in time
    refused,    ///< by a reason code
    too_large,  ///< for this broker
  };
  struct Step {
    std::string_view name;  ///< resolve, connect, tls, websocket, login, publish
    std::int64_t took_us = 0;
    bool is_good = true;
    std::string note;
  };
  std::string broker;       ///< url
  std::string client_id;    ///< that it logs in with
  std::vector<Step> steps;  ///< in order; a bad one is the last
  Verdict verdict = Verdict::good;
  std::uint8_t reason_code = 0;  ///< when refused; else what a PUBACK said
  forward::Limits limits;        ///< once logged in

  void add(std::string_view name, std::int64_t took_us, std::string note);
  void fail(std::string_view name, std::int64_t took_us, Verdict why, std::string text);
  /// 0, 65 too large, 69 not reached, 75 no answer in time, 76 refused.
  int exit_code() const;
  /// "broker", "ok", "client_id", "protocol", "steps", "error": the members that both commands
  /// print.
  void write(daemon::JsonLine& line) const;
};

/// Adds `--client-id`. `suffix`: what stands behind the agent's id without it.
void add_client_id_option(CLI::App& command, std::string& client_id, std::string_view suffix);

/// What the running agent would connect with, but under a client id of its own, so that the agent
/// keeps its connection (unless the broker takes only one): `client_id`, or where that is "" the
/// agent's with the suffix; without a will. invalid: a secret cannot be read.
Result<forward::ConnectOptions> trial_options(const forward::ForwardOptions& forward,
                                              std::string_view client_id_suffix,
                                              const std::string& client_id = {});

/// Thread: owner only. Every wait has an end: about four times options.timeout for log_in(), one
/// time for publish().
class BrokerTrial {
 public:
  /// agent_id: the client id of the agent. Where we have another one a refusal may be about that.
  BrokerTrial(const forward::ConnectOptions& options, std::string agent_id);
  BrokerTrial(const BrokerTrial&) = delete;
  BrokerTrial& operator=(const BrokerTrial&) = delete;
  ~BrokerTrial();  ///< says goodbye

  /// Resolves, connects and makes TLS on a socket of its own, which is closed; then logs in on
  /// Paho's: MQTT 3.1.1 after 5 only where the choice allows it and it may help.
  bool log_in(forward::ProtocolChoice choice);
  /// QoS 1; returns when the broker has answered. The step's time is the sum of all calls.
  bool publish(forward::OutgoingMessage message);
  /// Instead of publish(): an event does not fit into the broker's packets.
  void give_up_too_large();

  const TrialReport& report() const { return report_; }

 private:
  struct Wake {
    std::mutex mutex;  // guards: is_raised
    std::condition_variable raised;
    bool is_raised = false;
    void raise();
    void wait_until(std::int64_t steady_us);
  };

  bool reach();
  std::string identity_hint() const;
  forward::LinkEvent connect_once(forward::Protocol protocol);

  forward::ConnectOptions options_;
  const std::string agent_id_;
  std::shared_ptr<Wake> wake_ = std::make_shared<Wake>();  // shared with a look-up that may be late
  forward::MqttLink link_;
  TrialReport report_;
  std::uint64_t connection_ = 0;
  std::uint64_t message_ = 0;
};

}  // namespace penstock::cli
