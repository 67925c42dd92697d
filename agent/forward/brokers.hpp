// Brokers: which broker to try next, when, and with which protocol. Knows no link and no clock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "agent/forward/mqtt_options.hpp"

namespace penstock::forward {

struct BrokerSettings {
  std::size_t count = 1;
  ProtocolChoice protocol = ProtocolChoice::automatic;
  std::int64_t failover_after_us = 20'000'000;  ///< without a working connection: the next broker
  std::int64_t back_to_first_us = 600'000'000;  ///< on another broker: try the first again
  std::int64_t backoff_min_us = 500'000;
  std::int64_t backoff_max_us = 60'000'000;
  std::uint64_t seed = 0;
};

/// Back-off with full jitter, the failover list, and what each broker has shown of its protocol.
/// Times are of one steady clock. Thread: owner only.
class Brokers {
 public:
  explicit Brokers(const BrokerSettings& settings);

  std::size_t current() const { return current_; }
  Protocol protocol() const;

  /// When to connect next, never before `now`; the random delay is drawn here.
  std::int64_t retry_at(std::int64_t now_us);
  /// To be called when that time has come: moves on to the next broker when it is due.
  void choose(std::int64_t now_us);

  void on_up(std::int64_t now_us);
  /// Something was acknowledged: the connection works.
  void on_working();
  void on_down(std::int64_t now_us, Stage stage, bool version_refused);
  /// The broker refuses a batch, or sends us away, and has done so `times` times in a row: the next
  /// connection waits accordingly although connecting works.
  void on_unwelcome(std::uint32_t times);

  /// The present connection is to another broker than the first, and has been for long enough.
  bool is_time_for_first(std::int64_t now_us) const;
  std::int64_t time_for_first_us() const;  ///< INT64_MAX if it never comes
  /// The next connection tries the first broker once; if that fails the present one follows at
  /// once.
  void try_first(std::int64_t now_us);

 private:
  struct Memory {
    bool answered_v5 = false;
    bool answered_v3_1_1 = false;
    bool uses_v3_1_1 = false;
    bool is_guess = false;            // after silent closes, not a refusal of MQTT 5
    std::uint32_t silent_closes = 0;  // without a CONNACK, in a row, to MQTT 5
  };

  /// Returns whether the protocol to use has changed.
  bool learn_from_failure(Stage stage, bool version_refused);

  BrokerSettings settings_;
  std::vector<Memory> memory_;
  std::size_t current_ = 0;
  std::size_t before_trial_ = 0;
  bool is_trial_ = false;
  std::uint32_t failures_ = 0;      // connections in a row that did not work
  std::int64_t idle_since_us_ = 0;  // since when no connection to current_ works
  bool is_idle_ = false;            // idle_since_us_ counts
  std::int64_t up_since_us_ = 0;
  bool is_up_ = false;
  std::mt19937_64 random_;
};

}  // namespace penstock::forward
