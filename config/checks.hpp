// What option tables cannot say: values that must fit to each other, names, addresses, topics.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "config/agent_config.hpp"
#include "config/diagnostics.hpp"
#include "config/fault.hpp"
#include "config/section.hpp"

namespace penstock::config {

/// Adds findings to `diagnostics`. A value that already has an error is left alone, so that one
/// mistake is told once. Thread: owner only.
class Checks {
 public:
  explicit Checks(Diagnostics& diagnostics);

  void check_agent(const Section& agent);
  void check_tags(const Section& section);
  /// max_share of the section, which has one; at least what a commit of small batches takes.
  void check_share(const Section& section, std::uint64_t max_size);
  /// max_streams of the section: streams_max is what the buffer has room for.
  void check_streams(const Section& section, std::uint32_t streams_max);
  void check_buffer(const Section& buffer);
  /// `id`: the device's, which is part of topics.
  void check_upstream(const Section& upstream, std::string_view id);

 private:
  bool is_good(const Section& section, std::string_view name) const;
  void report(const char* code, const Section& section, std::string_view name, const Fault& fault,
              Severity severity = Severity::error);
  void warn(const char* code, const Section& section, std::string_view name, std::string message,
            std::string help);
  std::vector<BrokerAddress> check_brokers(const Section& upstream);
  void check_topics(const Section& upstream);
  void check_receivers(const Section& upstream);
  void check_qos(const Section& upstream);
  void check_security(const Section& upstream, const std::vector<BrokerAddress>& brokers);
  void check_preset(const Section& upstream, const std::vector<BrokerAddress>& brokers,
                    std::string_view id);
  void check_aws_iot(const Section& upstream, const std::vector<BrokerAddress>& brokers,
                     std::size_t id_bytes);
  void check_azure_iot_hub(const Section& upstream, const std::vector<BrokerAddress>& brokers,
                           std::string_view id);
  void check_thingsboard(const Section& upstream, const std::vector<BrokerAddress>& brokers);
  void exceeds(const Section& section, std::string_view name, std::string message,
               std::string help);
  void check_batch_bytes(const Section& upstream, std::uint64_t bytes_max,
                         std::string_view bytes_text, std::string_view limit);
  void check_keep_alive(const Section& upstream, std::chrono::seconds min, std::chrono::seconds max,
                        std::string_view limit, std::string_view range);
  /// What needs topics of its own.
  void check_fixed_topic(const Section& upstream, std::string_view who, std::string_view topic);
  /// fault_of: nullopt for a broker that can be the cloud's.
  void check_preset_brokers(
      const Section& upstream, const std::vector<BrokerAddress>& brokers,
      const std::function<std::optional<Fault>(const BrokerAddress&)>& fault_of);

  Diagnostics& diagnostics_;
  std::set<std::string, std::less<>> bad_paths_;
};

bool is_connector_name(std::string_view name);
bool is_agent_id(std::string_view id);

}  // namespace penstock::config
