// Broker addresses: what parse_broker() says, in parts that a finding can show.
#pragma once

#include <optional>
#include <string_view>

#include "config/agent_config.hpp"
#include "config/fault.hpp"

namespace penstock::config {

/// nullopt: `fault` says why. Its texts never hold a password.
std::optional<BrokerAddress> parse_broker(std::string_view url, Fault& fault);

/// Whether the host is this machine itself.
bool is_loopback(const BrokerAddress& broker);

}  // namespace penstock::config
