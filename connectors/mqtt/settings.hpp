// Settings: the mqtt connector's options as plain values.
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "config/agent_config.hpp"
#include "config/section.hpp"
#include "connectors/mqtt/packet.hpp"
#include "connectors/mqtt/transport.hpp"
#include "connectors/support/decoder.hpp"

namespace penstock::connectors::mqtt {

struct Settings {
  config::BrokerAddress broker;
  std::vector<std::string> topics;  ///< filters
  std::uint8_t qos = 1;
  std::optional<Version> version;  ///< nothing: found out
  std::string client_id;
  std::optional<std::string> user;
  bool is_clean = false;
  std::chrono::seconds session_expiry{};
  RetainHandling retained = RetainHandling::if_new;
  bool has_stream_per_topic = true;
  bool adds_topic = false;
  support::DecodeOptions decode;
  std::size_t message_bytes_max = 0;
  std::uint16_t receive_max = 1;
  std::chrono::microseconds ack_every{};
  std::chrono::seconds keep_alive{};
  std::chrono::microseconds timeout{};
  TlsClientFiles tls;

  bool has_tls() const { return broker.scheme == "mqtts"; }
};

std::span<const config::Option> options();

/// invalid: reported through the section, with its place.
Result<Settings> read_settings(const config::Section& section);

}  // namespace penstock::connectors::mqtt
