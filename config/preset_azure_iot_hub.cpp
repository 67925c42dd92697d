// Azure IoT Hub: one topic a device, MQTT 3.1.1, names that the hub prescribes.
#include <fmt/format.h>

#include "config/checks.hpp"
#include "config/preset.hpp"

namespace penstock::config {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t batch_bytes_max = 240 << 10;  // a batch has "about" its size
constexpr std::uint64_t message_bytes_max = 256'000;
constexpr std::uint16_t mqtts_port = 8883;
constexpr std::uint16_t wss_port = 443;

std::string user_name(std::string_view host, std::string_view id) {
  return fmt::format("{}/{}/?api-version=2021-04-12", host, id);
}

std::optional<Fault> broker_fault(const Section& upstream, const BrokerAddress& broker,
                                  const std::string& first_host, std::string_view id) {
  if (!broker.uses_tls()) {
    return Fault{"Azure IoT Hub takes no connection without TLS",
                 fmt::format("write mqtts://{}:8883", broker.host), ""};
  }
  if (broker.port == (broker.is_websocket() ? mqtts_port : wss_port)) {
    return Fault{"Azure IoT Hub's port 443 is for WebSocket, 8883 for MQTT without it",
                 fmt::format("write mqtts://{0}:8883, or wss://{0}:443", broker.host), ""};
  }
  if (!upstream.has("password") && !upstream.section("tls").has("cert")) {
    return Fault{"Azure IoT Hub knows devices by a SAS token or a certificate, and none is given",
                 "write password: {file: FILE} with a token, or tls: {cert: FILE, key: FILE}", ""};
  }
  if (!upstream.has("user") && broker.host != first_host) {
    return Fault{"one user name is for one hub, and here is another",
                 fmt::format("list one hub, or write user: {}", user_name("HUB", id)), ""};
  }
  return std::nullopt;
}

}  // namespace

void Checks::check_azure_iot_hub(const Section& upstream, const std::vector<BrokerAddress>& brokers,
                                 std::string_view id) {
  check_preset_brokers(upstream, brokers, [&](const BrokerAddress& broker) {
    return broker_fault(upstream, broker, brokers.front().host, id);
  });
  if (is_good(upstream, "protocol") && upstream.text("protocol") == "5") {
    exceeds(upstream, "protocol", "Azure IoT Hub speaks MQTT 3.1.1", "leave it out: it is 3.1.1");
  }
  if (upstream.has("client_id") && upstream.text("client_id") != id) {
    exceeds(upstream, "client_id", "the client id of Azure IoT Hub is the device's id",
            fmt::format("leave it out: it is agent.id, {}", id));
  }
  const std::string user = upstream.text("user");
  if (upstream.has("user") &&
      user.find(fmt::format("/{}/?api-version=", id)) == std::string::npos) {
    exceeds(upstream, "user", "this is no user name of Azure IoT Hub for this device",
            fmt::format("leave it out, or write {}", user_name("HUB", id)));
  }
  check_batch_bytes(upstream, batch_bytes_max, "240KiB", "Azure IoT Hub (limit 256 KB)");
  check_keep_alive(upstream, 1s, 1177s, "Azure IoT Hub keeps connections alive for at most 1177 s",
                   "19m or less");
  check_fixed_topic(upstream, "Azure IoT Hub", fmt::format("devices/{}/messages/events/…", id));
}

void apply_azure_iot_hub(std::string_view id, UpstreamSettings& settings) {
  settings.protocol = "3.1.1";
  settings.client_id = id;
  settings.has_one_client_id = true;
  if (settings.user.empty() && !settings.brokers.empty()) {
    settings.user = user_name(settings.brokers.front().host, id);
  }
  settings.topic = "devices/{device}/messages/events/{properties}";
  settings.has_one_topic = true;
  settings.packet_bytes_max = message_bytes_max;
  for (BrokerAddress& broker : settings.brokers) {
    if (!broker.is_websocket() || broker.path != "/mqtt") continue;
    broker.path = "/$iothub/websocket";
    if (settings.tls.cert.empty()) broker.path += "?iothub-no-client-cert=true";
  }
}

}  // namespace penstock::config
