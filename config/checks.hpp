// What option tables cannot say: values that must fit to each other, names, addresses, topics.
#pragma once

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
  void check_buffer(const Section& buffer);
  /// `id_bytes`: the length of the device's id, which is part of topics.
  void check_upstream(const Section& upstream, std::size_t id_bytes);

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
                    std::size_t id_bytes);
  void check_preset_brokers(const Section& upstream, const std::vector<BrokerAddress>& brokers);

  Diagnostics& diagnostics_;
  std::set<std::string, std::less<>> bad_paths_;
};

bool is_connector_name(std::string_view name);
bool is_agent_id(std::string_view id);

}  // namespace penstock::config
