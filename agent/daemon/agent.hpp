// Agent: owns the rooms of a running agent, starts and stops them in their order.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "agent/base/log.hpp"
#include "agent/base/unique_fd.hpp"
#include "agent/daemon/connector_news.hpp"
#include "agent/daemon/connector_set.hpp"
#include "agent/daemon/control_server.hpp"
#include "agent/daemon/supervisor.hpp"
#include "agent/forward/forwarder.hpp"
#include "agent/pipeline/intake.hpp"
#include "buffer/store.hpp"
#include "config/agent_config.hpp"

namespace penstock::daemon {

/// Why the agent did not start.
struct StartError {
  int exit_code = 0;  ///< 0: it did
  std::string text;
  bool may_pass = false;  ///< waiting may help: a disk that is full, read-only or failing
};

/// Data flows store <- intake <- sessions <- connectors, and store -> forwarder. It starts from the
/// store on and stops from the connectors on, so that nothing that was taken stays behind.
/// Life cycle: open_store, open, start, stop. Thread: main.
class Agent {
 public:
  static constexpr std::chrono::seconds stop_grace{5};  ///< for the connectors
  /// For what is still to be sent; its last second is for saying goodbye.
  static constexpr std::chrono::milliseconds drain_time{3000};

  /// config must outlive the agent.
  explicit Agent(const config::LoadedConfig& config);
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;
  ~Agent();

  /// May be called again after an error that may pass.
  StartError open_store();
  /// Opens the control socket and builds the rest; starts no thread.
  StartError open(std::vector<BuiltConnector> connectors, const std::filesystem::path& socket);
  void start();
  /// Readable once the buffer has turned out to be damaged: stop, and begin with another agent.
  int damage_fd() const { return damage_fd_.get(); }
  /// The exit code. If a connector ignores the stop, the process ends inside, after the store is
  /// closed.
  int stop();

 private:
  StartError open_rest(std::vector<BuiltConnector> connectors, const std::filesystem::path& socket);
  StartError open_control(const std::filesystem::path& socket);
  StartError open_forwarder();
  StartError open_sessions(std::vector<BuiltConnector> connectors);
  void log_start();
  void emit_start();
  void emit_last_numbers();
  Answer handle(const ControlRequest& request, LineSink& sink) const;

  const config::LoadedConfig& config_;
  Log log_{"agent"};
  const std::string boot_;
  const std::int64_t started_steady_us_;
  const UniqueFd damage_fd_;
  buffer::OpenReport open_report_;
  std::unique_ptr<buffer::Store> store_;
  std::unique_ptr<pipeline::Intake> intake_;
  std::vector<std::unique_ptr<pipeline::ConnectorSession>> sessions_;
  std::unique_ptr<ConnectorNews> news_;
  std::unique_ptr<forward::Forwarder> forwarder_;  // none without upstream
  std::unique_ptr<Supervisor> supervisor_;
  std::unique_ptr<ControlServer> control_;
};

}  // namespace penstock::daemon
