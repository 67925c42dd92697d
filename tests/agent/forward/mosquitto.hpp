// Mosquitto: a real broker on a free loopback port, ended by its process id.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "config/agent_config.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::tests {

/// A port that nobody listened on a moment ago.
std::uint16_t free_port();

class Mosquitto {
 public:
  /// extra: lines of mosquitto.conf beside port, persistence and log; DIR stands for its directory.
  explicit Mosquitto(std::string extra = "allow_anonymous true\n",
                     std::uint16_t port = free_port());
  Mosquitto(const Mosquitto&) = delete;
  Mosquitto& operator=(const Mosquitto&) = delete;
  ~Mosquitto();

  /// Returns when it accepts connections; throws std::runtime_error after 10 s.
  void start();
  void stop(int signal);
  void signal(int number) const;

  config::BrokerAddress address(const std::string& scheme = "mqtt",
                                const std::string& host = "127.0.0.1") const;
  const TempDir& dir() const { return dir_; }
  std::string log() const;

 private:
  TempDir dir_;
  std::uint16_t port_;
  pid_t pid_ = -1;
};

}  // namespace penstock::tests
