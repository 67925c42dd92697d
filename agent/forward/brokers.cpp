#include "agent/forward/brokers.hpp"

#include <algorithm>
#include <limits>

namespace penstock::forward {
namespace {

constexpr std::uint32_t silent_closes_max = 3;
constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();

}  // namespace

Brokers::Brokers(const BrokerSettings& settings)
    : settings_(settings), memory_(settings.count), random_(settings.seed) {}

Protocol Brokers::protocol() const {
  switch (settings_.protocol) {
    case ProtocolChoice::v3_1_1: return Protocol::v3_1_1;
    case ProtocolChoice::v5: return Protocol::v5;
    case ProtocolChoice::automatic: break;
  }
  return memory_[current_].uses_v3_1_1 ? Protocol::v3_1_1 : Protocol::v5;
}

std::int64_t Brokers::retry_at(std::int64_t now_us) {
  if (failures_ == 0) return now_us;
  const std::uint32_t doublings = std::min<std::uint32_t>(failures_ - 1, 30);
  const std::int64_t most =
      std::min(settings_.backoff_max_us, settings_.backoff_min_us << std::min(doublings, 20U));
  // Full jitter spreads a fleet best; the floor keeps one agent from hammering.
  const std::int64_t least = settings_.backoff_min_us / 5;
  const std::int64_t delay_us =
      least + static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(most - least + 1));
  std::int64_t at_us = now_us + delay_us;
  if (settings_.count > 1 && is_idle_) {
    at_us = std::min(at_us, std::max(now_us, idle_since_us_ + settings_.failover_after_us));
  }
  return at_us;
}

void Brokers::choose(std::int64_t now_us) {
  if (settings_.count < 2 || !is_idle_) return;
  if (now_us - idle_since_us_ < settings_.failover_after_us) return;
  current_ = (current_ + 1) % settings_.count;
  idle_since_us_ = now_us;
  failures_ = 0;
}

void Brokers::on_up(std::int64_t now_us) {
  Memory& memory = memory_[current_];
  if (protocol() == Protocol::v5) {
    memory.answered_v5 = true;
    memory.silent_closes = 0;
  } else {
    memory.answered_v3_1_1 = true;
  }
  is_trial_ = false;
  is_up_ = true;
  up_since_us_ = now_us;
}

void Brokers::on_working() {
  failures_ = 0;
  is_idle_ = false;
}

void Brokers::on_down(std::int64_t now_us, Stage stage, bool version_refused) {
  is_up_ = false;
  if (!is_idle_) {
    is_idle_ = true;
    idle_since_us_ = now_us;
  }
  const bool protocol_changed = learn_from_failure(stage, version_refused);
  if (is_trial_) {
    is_trial_ = false;
    current_ = before_trial_;
    failures_ = 0;
    idle_since_us_ = now_us;
    return;
  }
  ++failures_;
  if (protocol_changed && version_refused) failures_ = 0;
}

bool Brokers::learn_from_failure(Stage stage, bool version_refused) {
  if (settings_.protocol != ProtocolChoice::automatic) return false;
  Memory& memory = memory_[current_];
  if (memory.uses_v3_1_1) {
    if (!memory.is_guess) return false;
    // What closed the first ones may have been something else, as a broker that was starting: with
    // MQTT 3.1.1 refusals are lost, so MQTT 5 gets another try for each connection. If neither
    // protocol was ever answered, it was not the protocol.
    const bool is_unanswered = stage == Stage::connack && !memory.answered_v3_1_1;
    memory.uses_v3_1_1 = false;
    memory.silent_closes = is_unanswered ? 0 : silent_closes_max - 1;
    return true;
  }
  if (version_refused) {
    memory.uses_v3_1_1 = true;
    memory.is_guess = false;
  } else if (stage == Stage::connack && !memory.answered_v5) {
    memory.uses_v3_1_1 = ++memory.silent_closes >= silent_closes_max;
    memory.is_guess = true;
  }
  return memory.uses_v3_1_1;
}

void Brokers::on_unwelcome(std::uint32_t times) { failures_ = std::max(failures_, times); }

bool Brokers::is_time_for_first(std::int64_t now_us) const { return now_us >= time_for_first_us(); }

std::int64_t Brokers::time_for_first_us() const {
  if (!is_up_ || current_ == 0) return never;
  return up_since_us_ + settings_.back_to_first_us;
}

void Brokers::try_first(std::int64_t now_us) {
  before_trial_ = current_;
  current_ = 0;
  is_trial_ = true;
  is_up_ = false;
  failures_ = 0;
  is_idle_ = true;
  idle_since_us_ = now_us;
}

}  // namespace penstock::forward
