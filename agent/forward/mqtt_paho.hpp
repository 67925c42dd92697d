// What both clients share of Paho: options, addresses, properties and the meaning of its errors.
// Only the mqtt_* files include it.
#pragma once

#include <mqtt/async_client.h>

#include <cstdint>
#include <memory>
#include <string>

#include "agent/base/result.hpp"
#include "agent/forward/mqtt_options.hpp"

namespace penstock::forward::paho {

/// Everything but what only one of the two clients needs. Without Paho's error handler for TLS: it
/// keeps the address of options that are gone when it is called.
mqtt::connect_options connect_options(const ConnectOptions& options);

Limits limits_of(const mqtt::connect_response& response, const ConnectOptions& options);

mqtt::properties properties_of(const OutgoingMessage& message);
std::string content_type_of(const mqtt::properties& properties);
UserProperties user_properties_of(const mqtt::properties& properties);

/// Why connecting failed, from a token that ended in a failure.
struct ConnectFailure {
  Stage stage = Stage::connect;
  std::uint8_t reason_code = 0;
  bool version_refused = false;
  bool is_final = false;     ///< trying again cannot help: user, password, client id
  bool is_doubtful = false;  ///< it may be another one: an attempt of our own tells
  std::string text;
};
ConnectFailure connect_failure(const mqtt::token& token, const ConnectOptions& options);

/// Disconnects if need be, frees what Paho 1.3.12 would leak (messages it has queued but not
/// written), and destroys the client. Blocks for about `timeout`.
void destroy(std::unique_ptr<mqtt::async_client> client, std::chrono::milliseconds timeout,
             const mqtt::disconnect_options& options, std::uint32_t queued_max);

/// A client that can later be destroyed so; not connected. Throws what Paho throws.
std::unique_ptr<mqtt::async_client> make_client(const ConnectOptions& options,
                                                std::uint32_t queued_max);

}  // namespace penstock::forward::paho
