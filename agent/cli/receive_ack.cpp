#include "agent/cli/receive_ack.hpp"

#include <fmt/format.h>
#include <rapidjson/document.h>

#include <algorithm>
#include <random>
#include <utility>

#include "agent/forward/receiver_ack.hpp"

namespace penstock::cli {

std::string status_filter(std::string_view prefix) { return fmt::format("{}/+/status", prefix); }

std::string_view device_of(std::string_view prefix, std::string_view topic) {
  if (topic.substr(0, prefix.size()) != prefix) return {};
  topic.remove_prefix(prefix.size());
  if (topic.empty() || topic.front() != '/') return {};
  topic.remove_prefix(1);
  const std::size_t end = topic.find('/');
  return end == std::string_view::npos ? std::string_view() : topic.substr(0, end);
}

AckPublisher::AckPublisher(std::string prefix, std::string name)
    : prefix_(std::move(prefix)), name_(std::move(name)) {}

void AckPublisher::subscribed(bool session_present) {
  if (!session_present || run_.empty()) {
    std::random_device random;
    run_ = fmt::format("{:08x}{:08x}", random(), random());
  }
  for (auto& [name, device] : devices_) device.is_due = true;
}

/// The status message names the epoch; until it comes, data does.
void AckPublisher::take_batch(std::string_view topic, std::string_view epoch) {
  const std::string_view name = device_of(prefix_, topic);
  if (name.empty()) return;
  auto at = devices_.find(name);
  if (at == devices_.end()) at = devices_.emplace(name, Device{std::string(epoch)}).first;
  at->second.is_due = true;
}

bool AckPublisher::take_status(std::string_view topic, std::string_view payload) {
  const std::string_view name = device_of(prefix_, topic);
  const bool is_status =
      !name.empty() && topic.substr(prefix_.size() + 1 + name.size()) == "/status";
  if (!is_status) return false;
  rapidjson::Document status;
  status.Parse(payload.data(), payload.size());
  if (status.HasParseError() || !status.IsObject()) return false;
  const rapidjson::Value& object = status;
  const auto epoch = object.FindMember("epoch");
  if (epoch == object.MemberEnd() || !epoch->value.IsString()) return false;
  auto at = devices_.find(name);
  if (at == devices_.end()) at = devices_.emplace(name, Device{}).first;
  const std::string_view told(epoch->value.GetString(), epoch->value.GetStringLength());
  if (at->second.epoch == told) return false;
  at->second = Device{std::string(told)};
  return true;
}

bool AckPublisher::is_due() const {
  return !run_.empty() && std::any_of(devices_.begin(), devices_.end(),
                                      [](const auto& device) { return device.second.is_due; });
}

std::vector<AckMessage> AckPublisher::take_due(const std::vector<ReceiverRule::Covered>& covered) {
  std::vector<AckMessage> messages;
  if (!is_due()) return messages;
  std::map<std::string_view, forward::ReceiverAck> acks;
  for (auto& [name, device] : devices_) {
    if (std::exchange(device.is_due, false)) acks[name] = {device.epoch, run_, {}};
  }
  for (const ReceiverRule::Covered& one : covered) {
    const auto ack = acks.find(one.device);
    if (ack == acks.end() || ack->second.epoch != one.epoch) continue;
    ack->second.streams.push_back({std::string(one.stream), one.bounds});
  }
  for (const auto& [name, ack] : acks) {
    messages.push_back(
        {fmt::format("{}/{}/ack/{}", prefix_, name, name_), forward::format_receiver_ack(ack)});
  }
  return messages;
}

}  // namespace penstock::cli
