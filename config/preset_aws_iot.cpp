// AWS IoT Core: limits alone, nothing that is sent is changed.
#include <fmt/format.h>

#include <algorithm>

#include "config/checks.hpp"

namespace penstock::config {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t payload_bytes_max = 120 << 10;  // of 128 KB; a batch has "about" its size
constexpr std::size_t topic_bytes_taken = 256;
constexpr std::size_t client_id_bytes_max = 128;
constexpr std::uint16_t shared_port = 443;

/// Of the longest topic that the device can get from a template with streams that have no part.
std::size_t longest(std::string topic, std::string_view prefix, std::size_t id_bytes) {
  const auto put = [&](std::string_view placeholder, const std::string& value) {
    for (std::size_t at = topic.find(placeholder); at != std::string::npos;
         at = topic.find(placeholder, at + value.size())) {
      topic.replace(at, placeholder.size(), value);
    }
  };
  put("{prefix}", std::string(prefix));
  put("{device}", std::string(id_bytes, 'd'));
  put("{kind}", "zstd");
  put("{stream}", std::string(64, 's'));  // the longest name of a connector
  return topic.size();
}

bool names_any(const std::vector<std::string>& list, std::string_view one, std::string_view other) {
  return std::any_of(list.begin(), list.end(),
                     [&](const std::string& text) { return text == one || text == other; });
}

std::optional<Fault> broker_fault(const Section& upstream, const BrokerAddress& broker) {
  const Section tls = upstream.section("tls");
  if (!broker.uses_tls()) {
    return Fault{"AWS IoT Core takes no connection without TLS",
                 fmt::format("write mqtts://{}:8883", broker.host), ""};
  }
  if (broker.is_websocket()) return std::nullopt;
  if (broker.port == shared_port && !names_any(tls.text_list("alpn"), "x-amzn-mqtt-ca", "mqtt")) {
    return Fault{"AWS IoT Core's port 443 needs the protocol's name in the handshake",
                 "write tls: {alpn: [x-amzn-mqtt-ca]} (mqtt with a custom authorizer), or port "
                 "8883",
                 ""};
  }
  if (!tls.has("cert") && !upstream.has("user")) {
    return Fault{"AWS IoT Core knows devices by their certificate, and none is given",
                 "write tls: {cert: FILE, key: FILE}, or user and password for a custom authorizer",
                 ""};
  }
  return std::nullopt;
}

}  // namespace

void Checks::check_aws_iot(const Section& upstream, const std::vector<BrokerAddress>& brokers,
                           std::size_t id_bytes) {
  check_preset_brokers(upstream, brokers,
                       [&](const BrokerAddress& broker) { return broker_fault(upstream, broker); });
  check_batch_bytes(upstream, payload_bytes_max, "120KiB", "AWS IoT Core (limit 128 KB)");
  check_keep_alive(upstream, 30s, 1200s, "AWS IoT Core keeps connections alive for 30 to 1200 s",
                   "30s to 20m");
  if (upstream.text("client_id").size() > client_id_bytes_max) {
    exceeds(upstream, "client_id", "a client id of AWS IoT Core has at most 128 bytes",
            "leave it out: it is penstock- and the agent's id then");
  }
  const std::string prefix = upstream.text("prefix");
  if (!is_good(upstream, "topic") || !is_good(upstream, "prefix")) return;
  const std::size_t bytes = std::max(longest(upstream.text("topic"), prefix, id_bytes),
                                     longest("{prefix}/{device}/ack/{stream}", prefix, id_bytes));
  if (bytes > topic_bytes_taken) {
    exceeds(upstream, upstream.has_written("prefix") ? "prefix" : "topic",
            fmt::format("topics may get {} bytes, AWS IoT Core takes 256", bytes),
            "shorten prefix, topic or agent.id; a connector's name counts for 64");
  }
}

}  // namespace penstock::config
