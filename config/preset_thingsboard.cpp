// ThingsBoard's device API: one topic, a JSON of its own, an access token as the user name.
#include "config/checks.hpp"
#include "config/codes.hpp"
#include "config/preset.hpp"

namespace penstock::config {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view telemetry_topic = "v1/devices/me/telemetry";
constexpr std::uint64_t batch_bytes_max = 60 << 10;      // a batch has "about" its size
constexpr std::uint64_t batch_bytes_default = 48 << 10;  // its form is longer than ours
constexpr std::uint64_t packet_bytes_max = 65'536;       // of what follows a packet's length

}  // namespace

void Checks::check_thingsboard(const Section& upstream, const std::vector<BrokerAddress>& brokers) {
  const bool has_cert = upstream.section("tls").has("cert");
  check_preset_brokers(upstream, brokers, [&](const BrokerAddress&) -> std::optional<Fault> {
    if (upstream.has("password") || upstream.has("user") || has_cert) return std::nullopt;
    return Fault{"ThingsBoard knows devices by an access token, and none is given",
                 "write password: {file: FILE} with the token, without user", ""};
  });
  if (upstream.has("user") && !upstream.has("password") && !has_cert) {
    warn(code::insecure, upstream, "user", "an access token stands here for everyone to read",
         "write it into a file, and password: {file: FILE} without user");
  }
  for (const auto& [name, taken] :
       {std::pair<std::string_view, std::string_view>{"format", "thingsboard"},
        {"compression", "none"}}) {
    if (!upstream.has_written(name) || !is_good(upstream, name) || upstream.text(name) == taken) {
      continue;
    }
    exceeds(upstream, name, "ThingsBoard's device API takes a JSON of its own alone",
            "leave it out: batches are written as ThingsBoard reads them");
  }
  check_batch_bytes(upstream, batch_bytes_max, "60KiB", "ThingsBoard (limit 64 KB)");
  check_keep_alive(upstream, 1s, 10min, "ThingsBoard ends sessions after 600 s without a message",
                   "10m or less");
  check_fixed_topic(upstream, "ThingsBoard", telemetry_topic);
}

void apply_thingsboard(const Section& upstream, UpstreamSettings& settings) {
  settings.topic = telemetry_topic;
  settings.format = "thingsboard";
  settings.has_one_topic = true;
  settings.password_is_user = settings.has_password && settings.user.empty();
  settings.packet_bytes_max = packet_bytes_max;
  if (!upstream.section("batch").has_written("bytes")) {
    settings.batch_bytes_max = batch_bytes_default;
  }
}

}  // namespace penstock::config
