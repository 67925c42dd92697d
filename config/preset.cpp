// What upstream.preset knows of a cloud's broker, so that its limits are met at a desk and not in
// the field: what the clouds share. docs/brokers.md has the source of each number.
#include "config/preset.hpp"

#include <fmt/format.h>

#include <utility>

#include "config/checks.hpp"
#include "config/codes.hpp"
#include "config/yaml.hpp"

namespace penstock::config {

bool makes_user(const Section& upstream) {
  const std::string preset = upstream.text("preset");
  return preset == "azure_iot_hub" || preset == "thingsboard";
}

void apply_preset(const Section& upstream, std::string_view id, UpstreamSettings& settings) {
  const std::string preset = upstream.text("preset");
  if (preset == "azure_iot_hub") apply_azure_iot_hub(id, settings);
  if (preset == "thingsboard") apply_thingsboard(upstream, settings);
}

void Checks::check_preset(const Section& upstream, const std::vector<BrokerAddress>& brokers,
                          std::string_view id) {
  if (!is_good(upstream, "preset")) return;
  const std::string preset = upstream.text("preset");
  if (preset == "aws_iot") check_aws_iot(upstream, brokers, id.size());
  if (preset == "azure_iot_hub") check_azure_iot_hub(upstream, brokers, id);
  if (preset == "thingsboard") check_thingsboard(upstream, brokers);
}

void Checks::exceeds(const Section& section, std::string_view name, std::string message,
                     std::string help) {
  report(code::beyond_preset, section, name, {std::move(message), std::move(help), ""});
}

void Checks::check_batch_bytes(const Section& upstream, std::uint64_t bytes_max,
                               std::string_view bytes_text, std::string_view limit) {
  const Section batch = upstream.section("batch");
  if (!is_good(batch, "bytes") || batch.size("bytes") <= bytes_max || !batch.has_written("bytes")) {
    return;
  }
  exceeds(batch, "bytes", fmt::format("batches of this size cannot pass {}", limit),
          fmt::format("preset \"{}\" allows up to {}", upstream.text("preset"), bytes_text));
}

void Checks::check_keep_alive(const Section& upstream, std::chrono::seconds min,
                              std::chrono::seconds max, std::string_view limit,
                              std::string_view range) {
  const auto keep_alive = upstream.duration("keep_alive");
  if (!is_good(upstream, "keep_alive") || (keep_alive >= min && keep_alive <= max)) return;
  exceeds(upstream, "keep_alive", std::string(limit),
          fmt::format("write {}; 60s unless given", range));
}

void Checks::check_fixed_topic(const Section& upstream, std::string_view who,
                               std::string_view topic) {
  for (const std::string_view name : {"topic", "prefix"}) {
    if (!upstream.has_written(name) || !is_good(upstream, name)) continue;
    exceeds(upstream, name, fmt::format("{} takes data on one topic alone", who),
            fmt::format("leave it out: the topic is {}", topic));
  }
  if (is_good(upstream, "ack") && upstream.text("ack") == "receiver") {
    exceeds(upstream, "ack", fmt::format("{} has no topics for receivers", who),
            "leave it out: its acknowledgement counts");
  }
}

void Checks::check_preset_brokers(
    const Section& upstream, const std::vector<BrokerAddress>& brokers,
    const std::function<std::optional<Fault>(const BrokerAddress&)>& fault_of) {
  const std::vector<std::string> urls = upstream.text_list("brokers");
  if (brokers.size() != urls.size()) return;  // told already
  for (std::size_t i = 0; i < brokers.size() && !diagnostics_.is_full(); ++i) {
    std::optional<Fault> fault = fault_of(brokers[i]);
    if (!fault) continue;
    diagnostics_.add({code::beyond_preset,
                      Severity::error,
                      upstream.item_place("brokers", i),
                      fmt::format("{}[{}]", joined_path(upstream.path(), "brokers"), i),
                      std::move(fault->message),
                      std::move(fault->help),
                      {}});
  }
}

}  // namespace penstock::config
