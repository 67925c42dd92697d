// What the tests of the forwarder against a real broker share.
#pragma once

#include <poll.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include "agent/forward/forwarder.hpp"
#include "tests/agent/forward/mosquitto.hpp"
#include "tests/support/fake_store.hpp"

namespace penstock::forward::tests {

using penstock::tests::FakeStore;

inline constexpr std::chrono::seconds patience{60};

/// Waits for a condition, for as long as a loaded machine may need.
template <typename Condition>
bool eventually(const Condition& condition, std::chrono::milliseconds time = patience) {
  const auto until = std::chrono::steady_clock::now() + time;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    ::poll(nullptr, 0, 5);
  }
  return true;
}

inline ForwardOptions options_for(const config::BrokerAddress& broker) {
  ForwardOptions options;
  options.brokers = {broker};
  options.client_id = "penstock-gw-7";
  options.device = "gw-7";
  options.boot = "b1d4c7e2";
  options.version = "0.1.0";
  options.connect_timeout = std::chrono::seconds(30);
  return options;
}

inline std::unique_ptr<Forwarder> make(const ForwardOptions& options, FakeStore& store) {
  auto made = Forwarder::make(options, store);
  REQUIRE(made.ok());
  return std::move(made).value();
}

inline void stop(Forwarder& forwarder) {
  forwarder.request_stop(std::chrono::seconds(30));
  forwarder.join();
  CHECK(forwarder.stats().state == ForwardStats::State::stopped);
}

/// 0: a shell command that did well; it is not heard.
inline int run(const std::string& command) {
  return std::system((command + " >/dev/null 2>&1").c_str());
}

}  // namespace penstock::forward::tests
