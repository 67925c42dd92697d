// What upstream.preset knows of a cloud's broker, so that its limits are met at a desk and not in
// the field. docs/brokers.md has the source of each.
#include <fmt/format.h>

#include <algorithm>

#include "agent/base/log.hpp"
#include "config/checks.hpp"
#include "config/codes.hpp"
#include "config/yaml.hpp"

namespace penstock::config {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t payload_bytes_max = 120 << 10;  // of 128 KB; a batch has "about" its size
constexpr std::size_t topic_bytes_taken = 256;
constexpr std::size_t client_id_bytes_max = 128;
constexpr auto keep_alive_min = 30s;
constexpr auto keep_alive_max = 1200s;
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

}  // namespace

void Checks::check_preset(const Section& upstream, const std::vector<BrokerAddress>& brokers,
                          std::size_t id_bytes) {
  if (!is_good(upstream, "preset") || upstream.text("preset") != "aws_iot") return;
  check_preset_brokers(upstream, brokers);
  const auto exceeds = [&](const Section& section, std::string_view name, std::string message,
                           std::string help) {
    report(code::beyond_preset, section, name, {std::move(message), std::move(help), ""});
  };
  const Section batch = upstream.section("batch");
  if (is_good(batch, "bytes") && batch.size("bytes") > payload_bytes_max) {
    exceeds(batch, "bytes", "batches of this size cannot pass AWS IoT Core (limit 128 KB)",
            "preset \"aws_iot\" allows up to 120KiB");
  }
  const auto keep_alive = upstream.duration("keep_alive");
  if (is_good(upstream, "keep_alive") &&
      (keep_alive < keep_alive_min || keep_alive > keep_alive_max)) {
    exceeds(upstream, "keep_alive", "AWS IoT Core keeps connections alive for 30 to 1200 s",
            "write 30s to 20m; 60s unless given");
  }
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

void Checks::check_preset_brokers(const Section& upstream,
                                  const std::vector<BrokerAddress>& brokers) {
  const std::vector<std::string> urls = upstream.text_list("brokers");
  if (brokers.size() != urls.size()) return;  // told already
  const Section tls = upstream.section("tls");
  for (std::size_t i = 0; i < brokers.size() && !diagnostics_.is_full(); ++i) {
    const BrokerAddress& broker = brokers[i];
    std::string message;
    std::string help;
    if (!broker.uses_tls()) {
      message = "AWS IoT Core takes no connection without TLS";
      help = fmt::format("write mqtts://{}:8883", broker.host);
    } else if (broker.scheme == "mqtts" && broker.port == shared_port &&
               !names_any(tls.text_list("alpn"), "x-amzn-mqtt-ca", "mqtt")) {
      message = "AWS IoT Core's port 443 needs the protocol's name in the handshake";
      help = "write tls: {alpn: [x-amzn-mqtt-ca]} (mqtt with a custom authorizer), or port 8883";
    } else if (broker.scheme == "mqtts" && !tls.has("cert") && !upstream.has("user")) {
      message = "AWS IoT Core knows devices by their certificate, and none is given";
      help = "write tls: {cert: FILE, key: FILE}, or user and password for a custom authorizer";
    } else {
      continue;
    }
    diagnostics_.add({code::beyond_preset,
                      Severity::error,
                      upstream.item_place("brokers", i),
                      fmt::format("{}[{}]", joined_path(upstream.path(), "brokers"), i),
                      std::move(message),
                      std::move(help),
                      {}});
  }
}

}  // namespace penstock::config
