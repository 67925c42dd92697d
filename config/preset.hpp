// What upstream.preset changes: a cloud's own topic, names and limits, where it has any.
#pragma once

#include <string_view>

#include "config/agent_config.hpp"
#include "config/section.hpp"

namespace penstock::config {

/// Whether the preset gives the user name, or sends the password as one.
bool makes_user(const Section& upstream);

/// Puts in what the preset fixes, and its defaults for what is not written. `id`: the device's.
void apply_preset(const Section& upstream, std::string_view id, UpstreamSettings& settings);
void apply_azure_iot_hub(std::string_view id, UpstreamSettings& settings);
void apply_thingsboard(const Section& upstream, UpstreamSettings& settings);

}  // namespace penstock::config
