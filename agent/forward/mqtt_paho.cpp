#include "agent/forward/mqtt_paho.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <exception>
#include <mutex>
#include <utility>

#include "agent/base/log.hpp"

namespace penstock::forward::paho {
namespace {

/// A failed token tells its message only by throwing it.
std::string message_of(const mqtt::token& token) {
  try {
    const_cast<mqtt::token&>(token).try_wait();
  } catch (const mqtt::exception& error) {
    return error.get_message();
  }
  return {};
}

/// What a CONNACK of MQTT 3.1.1 says, as a reason code of MQTT 5.
std::uint8_t from_3_1_1(int code) {
  constexpr std::array<std::uint8_t, 6> codes{0x00, 0x84, 0x85, 0x88, 0x86, 0x87};
  return code >= 0 && code < static_cast<int>(codes.size()) ? codes[static_cast<std::size_t>(code)]
                                                            : 0x80;
}

/// "tcp://host:port", "ssl://host:port" or "ws[s]://host:port/path"; IPv6 addresses in brackets.
/// Always the name, never its address: the certificate is checked against it. mqtt_addresses.hpp
/// has the address.
std::string server_uri(const config::BrokerAddress& broker) {
  const bool is_ipv6 = broker.host.find(':') != std::string::npos && broker.host.front() != '[';
  const std::string_view scheme = broker.is_websocket() ? std::string_view(broker.scheme)
                                  : broker.uses_tls()   ? "ssl"
                                                        : "tcp";
  return fmt::format("{}://{}{}{}:{}{}", scheme, is_ipv6 ? "[" : "", broker.host,
                     is_ipv6 ? "]" : "", broker.port, broker.path);
}

std::string tls_hint(const ConnectOptions& options) {
  return fmt::format(" For a port with TLS its URL begins with {}://",
                     options.broker.is_websocket() ? "wss" : "mqtts");
}

/// A connection that was closed before its CONNACK says nothing: these are the usual reasons. With
/// TLS 1.3 a server refuses our certificate, or misses it, after the handshake only.
std::string closed_text(const ConnectOptions& options) {
  std::string text = "the connection was closed without an answer to CONNECT; is it an MQTT broker";
  if (options.broker.is_websocket()) text += ", and its port and path for WebSocket";
  text += '?';
  if (!options.broker.uses_tls()) return text + tls_hint(options);
  return text + (options.tls.cert.empty() ? " Does it want a certificate of ours?"
                                          : " Does it accept our certificate?");
}

std::string silent_text(const ConnectOptions& options) {
  std::string text = fmt::format("no answer to CONNECT within {} s; is an MQTT broker there{}?",
                                 options.timeout.count(),
                                 options.broker.is_websocket() ? ", at this port and path"
                                 : options.broker.uses_tls()   ? ", with TLS"
                                                               : "");
  return options.broker.uses_tls() ? text : text + tls_hint(options);
}

/// A server that opens no WebSocket goes on in HTTP, which Paho C 1.3.12 reads as if it were MQTT:
/// so there may seem to be a CONNACK, with a code that no broker sends.
bool may_be_http(int code, const ConnectOptions& options) {
  if (!options.broker.is_websocket()) return false;
  return options.protocol == Protocol::v5 ? code > 1 && code <= 0x80 : code > 5;
}

/// mosquitto, for one, calls a wrong password "not authorised".
std::string_view login_question(const ConnectOptions& options) {
  if (options.user.empty()) return "; no user name is given";
  return options.password.empty() ? "; no password is given" : "; is the password right?";
}

bool is_final_refusal(std::uint8_t code) {
  return code == 0x85 || code == 0x86 || code == 0x87 || code == 0x8A || code == 0x8C;
}

}  // namespace

mqtt::connect_options connect_options(const ConnectOptions& options) {
  mqtt::connect_options out;
  out.set_mqtt_version(static_cast<int>(options.protocol));
  if (options.protocol == Protocol::v5) {
    out.set_clean_start(true);
  } else {
    out.set_clean_session(true);
  }
  out.set_automatic_reconnect(false);
  out.set_keep_alive_interval(options.keep_alive);
  out.set_connect_timeout(options.timeout);
  if (!options.user.empty()) out.set_user_name(options.user);
  if (!options.password.empty()) out.set_password(options.password);
  if (!options.will.topic.empty()) {
    out.set_will(mqtt::will_options(options.will.topic, options.will.payload, options.qos_max,
                                    options.retains));
  }
  if (options.broker.uses_tls()) {
    mqtt::ssl_options ssl;
    if (!options.tls.ca.empty()) ssl.set_trust_store(options.tls.ca);
    if (!options.tls.cert.empty()) ssl.set_key_store(options.tls.cert);
    if (!options.tls.key.empty()) ssl.set_private_key(options.tls.key);
    if (!options.tls.key_password.empty()) {
      ssl.set_private_key_password(options.tls.key_password);
    }
    if (!options.tls.alpn.empty()) ssl.set_alpn_protos(options.tls.alpn);
    ssl.set_enable_server_cert_auth(!options.tls.is_insecure);
    // Without this Paho takes a certificate of any name.
    ssl.set_verify(!options.tls.is_insecure);
    out.set_ssl(std::move(ssl));
  }
  return out;
}

Limits limits_of(const mqtt::connect_response& response, const ConnectOptions& options) {
  Limits limits;
  limits.protocol = options.protocol;
  limits.session_present = response.is_session_present();
  limits.qos_max = options.qos_max;
  limits.retains = options.retains;
  if (options.packet_bytes_max != 0) limits.packet_bytes_max = options.packet_bytes_max;
  if (options.protocol != Protocol::v5) return limits;
  const mqtt::properties& given = response.get_properties();
  if (given.contains(mqtt::property::RECEIVE_MAXIMUM)) {
    limits.receive_max = mqtt::get<std::uint16_t>(given, mqtt::property::RECEIVE_MAXIMUM);
  }
  if (given.contains(mqtt::property::MAXIMUM_PACKET_SIZE)) {
    limits.packet_bytes_max = std::min<std::uint64_t>(
        limits.packet_bytes_max,
        mqtt::get<std::uint32_t>(given, mqtt::property::MAXIMUM_PACKET_SIZE));
  }
  if (given.contains(mqtt::property::MAXIMUM_QOS)) {
    limits.qos_max =
        std::min(limits.qos_max, mqtt::get<std::uint8_t>(given, mqtt::property::MAXIMUM_QOS));
  }
  if (given.contains(mqtt::property::RETAIN_AVAILABLE)) {
    const bool is_available = mqtt::get<std::uint8_t>(given, mqtt::property::RETAIN_AVAILABLE) != 0;
    limits.retains = limits.retains && is_available;
  }
  if (given.contains(mqtt::property::SERVER_KEEP_ALIVE)) {
    limits.keep_alive_s = mqtt::get<std::uint16_t>(given, mqtt::property::SERVER_KEEP_ALIVE);
  }
  return limits;
}

mqtt::properties properties_of(const OutgoingMessage& message) {
  mqtt::properties out;
  if (message.is_text) {
    out.add(mqtt::property(mqtt::property::PAYLOAD_FORMAT_INDICATOR, 1));
  }
  if (!message.content_type.empty()) {
    out.add(mqtt::property(mqtt::property::CONTENT_TYPE, message.content_type));
  }
  for (const auto& [name, value] : message.properties) {
    out.add(mqtt::property(mqtt::property::USER_PROPERTY, name, value));
  }
  return out;
}

std::string content_type_of(const mqtt::properties& properties) {
  if (!properties.contains(mqtt::property::CONTENT_TYPE)) return {};
  return mqtt::get<std::string>(properties, mqtt::property::CONTENT_TYPE);
}

UserProperties user_properties_of(const mqtt::properties& properties) {
  UserProperties out;
  const std::size_t count = properties.count(mqtt::property::USER_PROPERTY);
  for (std::size_t i = 0; i < count; ++i) {
    auto [name, value] = mqtt::get<mqtt::string_pair>(properties, mqtt::property::USER_PROPERTY, i);
    out.emplace_back(std::move(name), std::move(value));
  }
  return out;
}

ConnectFailure connect_failure(const mqtt::token& token, const ConnectOptions& options) {
  ConnectFailure failure;
  const std::string message = message_of(token);
  int code = token.get_return_code();
  if (code <= 0 && options.protocol == Protocol::v5) code = token.get_reason_code();
  // Paho tells the stages apart by these texts alone.
  if (code > 0) {
    failure.stage = Stage::refused;
    failure.reason_code =
        options.protocol == Protocol::v5 ? static_cast<std::uint8_t>(code) : from_3_1_1(code);
    // A 3.1.1 broker answers an MQTT 5 CONNECT with its own code for a wrong version.
    if (options.protocol == Protocol::v5 && code == 1) failure.reason_code = 0x84;
    failure.version_refused = failure.reason_code == 0x84;
    failure.is_final = is_final_refusal(failure.reason_code);
    failure.is_doubtful = may_be_http(code, options);
    failure.text = fmt::format("the broker refuses the connection: {} (0x{:02x})",
                               reason_text(failure.reason_code), failure.reason_code);
    const bool is_about_us = failure.reason_code == 0x86 || failure.reason_code == 0x87;
    if (is_about_us) failure.text += login_question(options);
  } else if (message == "TCP connect completion failure" || message == "socket error") {
    failure.stage = Stage::connack;
    failure.is_doubtful = options.broker.is_websocket();
    failure.text = closed_text(options);
  } else if (message == "TCP connect timeout") {
    failure.stage = Stage::connack;
    failure.text = silent_text(options);
  } else {
    failure.is_doubtful = true;
    failure.text = options.broker.uses_tls() ? closed_text(options) : "connecting failed";
  }
  return failure;
}

std::unique_ptr<mqtt::async_client> make_client(const ConnectOptions& options,
                                                std::uint32_t queued_max) {
  static std::once_flag once;
  std::call_once(once, [] {
    // OpenSSL sets itself up when it is first used. Paho would have it load all that it has, also
    // where no broker asks for TLS: 1.4 MiB of pages.
    MQTTAsync_init_options paho = MQTTAsync_init_options_initializer;
    paho.do_openssl_init = 0;
    ::MQTTAsync_global_init(&paho);
  });
  mqtt::create_options create(static_cast<int>(options.protocol), static_cast<int>(queued_max));
  create.set_send_while_disconnected(true, true);
  create.set_delete_oldest_messages(true);
  create.set_restore_messages(false);
  return std::make_unique<mqtt::async_client>(server_uri(options.broker), options.client_id, create,
                                              nullptr);
}

void destroy(std::unique_ptr<mqtt::async_client> client, std::chrono::milliseconds timeout,
             const mqtt::disconnect_options& options, std::uint32_t queued_max) {
  if (!client) return;
  try {
    if (client->is_connected()) {
      const auto token = client->disconnect(options);
      static_cast<void>(token->wait_for(timeout));
    }
  } catch (const std::exception&) {
    // It was not connected any more: nothing to end.
  }
  try {
    // Destroying a client forgets the memory of queued messages. A full queue frees its oldest
    // message for each new one, so empty messages push them out; these are forgotten in their
    // place, so not without need: once disconnected, only what is queued is still pending.
    const bool has_queued = !client->get_pending_delivery_tokens().empty();
    for (std::uint32_t i = 0; has_queued && i < queued_max && !client->is_connected(); ++i) {
      client->publish("x", "", 0, 0, false);
    }
  } catch (const std::exception&) {
    // Then that memory is lost, as it would have been anyway.
  }
}

}  // namespace penstock::forward::paho
