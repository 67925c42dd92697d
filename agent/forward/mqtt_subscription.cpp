#include "agent/forward/mqtt_subscription.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <utility>
#include <vector>

#include "agent/base/log.hpp"
#include "agent/forward/mqtt_addresses.hpp"
#include "agent/forward/mqtt_paho.hpp"
#include "agent/forward/mqtt_words.hpp"
#include "agent/forward/resolve.hpp"
#include "agent/forward/tls.hpp"
#include "agent/forward/websocket_relay.hpp"

namespace penstock::forward {
namespace {

constexpr std::chrono::seconds answer_time_max{10};
constexpr std::chrono::milliseconds look_every{50};  // at a stop token while waiting
constexpr int silent_closes_max = 3;
constexpr std::uint32_t queued_max = 1;
// Paho C 1.3.12 writes larger values as if they were negative: "never" would become 255 s.
constexpr std::uint32_t expiry_max_s = 0x7FFF'FFFF;

struct Failure {
  Error error;
  Stage stage = Stage::connect;
  bool version_refused = false;
};

/// Until `is_done`, for at most `time`; false: it is not, or `stop` was asked for.
template <typename IsDone>
bool wait_until(std::unique_lock<std::mutex>& lock, std::condition_variable& changed,
                std::chrono::milliseconds time, const std::stop_token& stop,
                const IsDone& is_done) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (!is_done() && !stop.stop_requested() && std::chrono::steady_clock::now() < end) {
    changed.wait_for(lock, look_every, is_done);
  }
  return is_done();
}

/// Whether the broker answers in time, before the connection is lost or `stop` is asked for.
template <typename Token, typename IsLost>
bool is_answered(const Token& token, const std::stop_token& stop, const IsLost& is_lost) {
  const auto end = std::chrono::steady_clock::now() + answer_time_max;
  while (!stop.stop_requested() && !is_lost() && std::chrono::steady_clock::now() < end) {
    if (token->wait_for(look_every)) return true;
  }
  return false;
}

Error stopped() { return {Errc::stopped, "stop was asked for"}; }

/// invalid: the broker refuses it. unavailable: all else.
Error error_of(const mqtt::exception& error, std::string_view what) {
  const int code = std::max(error.get_reason_code(), error.get_return_code());
  const bool is_refused = code >= 0x80 && code <= 0xFF;
  return {is_refused ? Errc::invalid : Errc::unavailable,
          fmt::format("{}: {}", what,
                      is_refused ? std::string(reason_text(static_cast<std::uint8_t>(code)))
                                 : penstock::quoted(error.what()))};
}

}  // namespace

/// The client and what its callbacks share with the owner.
struct Subscription::Connection final : public mqtt::iaction_listener {
  // On Paho's threads, with its lock held. Waiting in message_arrived is what stops the socket from
  // being read; it ends as soon as the owner calls into Paho, which needs that lock.
  void on_success(const mqtt::token& token) override {
    const std::lock_guard lock(mutex);
    limits = paho::limits_of(token.get_connect_response(), options.connect);
    is_connected = true;
    decide();
  }
  void on_failure(const mqtt::token& token) override {
    const std::lock_guard lock(mutex);
    const paho::ConnectFailure failed = paho::connect_failure(token, options.connect);
    failure = {{failed.is_final ? Errc::invalid : Errc::unavailable, failed.text},
               failed.stage,
               failed.version_refused};
    if (failed.stage == Stage::refused && options.connect.protocol == Protocol::v5) {
      return paho::await_words([this](const std::string& words) {
        const std::lock_guard words_lock(mutex);
        failure.error.text += words;
        decide();
      });
    }
    decide();
  }
  void decide() {
    is_decided = true;
    changed.notify_all();
  }
  void message_arrived(const mqtt::const_message_ptr& message) {
    ReceivedMessage received;
    received.topic = message->get_topic();
    received.payload = message->get_payload_str();
    received.is_retained = message->is_retained();
    received.content_type = paho::content_type_of(message->get_properties());
    received.user_properties = paho::user_properties_of(message->get_properties());
    std::unique_lock lock(mutex);
    changed.wait(lock, [this] { return queued_bytes < options.queue_bytes_max || owner_calls; });
    queued_bytes += received.payload.size();
    queue.push_back(std::move(received));
    changed.notify_all();
  }
  void lost(const std::string& text) {
    const std::lock_guard lock(mutex);
    is_connected = false;
    if (lost_text.empty()) lost_text = text;
    changed.notify_all();
  }
  bool is_lost() {
    const std::lock_guard lock(mutex);
    return !is_connected;
  }
  /// Why a call failed: where the connection ended meanwhile, why that did.
  Result<void> reason(Result<void> failed) {
    const std::lock_guard lock(mutex);
    if (failed || failed.error().code == Errc::invalid || lost_text.empty()) return failed;
    return Error{Errc::unavailable, lost_text};
  }
  void let_through(bool calls) {
    const std::lock_guard lock(mutex);
    owner_calls = calls;
    changed.notify_all();
  }

  SubscriptionOptions options;
  std::unique_ptr<WebSocketRelay> relay;  // of a WebSocket; there as long as the client is
  std::unique_ptr<mqtt::async_client> client;

  std::mutex mutex;
  std::condition_variable changed;
  std::deque<ReceivedMessage> queue;
  std::size_t queued_bytes = 0;
  bool owner_calls = false;
  bool is_connected = false;
  bool is_decided = false;
  Limits limits;
  Failure failure;
  std::string lost_text;
};

Subscription::Subscription() : connection_(std::make_unique<Connection>()) {}

Subscription::~Subscription() { close(std::chrono::seconds(1)); }

Result<Limits> Subscription::connect(const SubscriptionOptions& options,
                                     const std::stop_token& stop) {
  close(std::chrono::seconds(1));
  SubscriptionOptions tried = options;
  tried.connect.protocol =
      options.protocol == ProtocolChoice::v3_1_1 ? Protocol::v3_1_1 : Protocol::v5;
  if (options.connect.broker.uses_tls()) {
    const auto readable = check_tls_files(options.connect.tls);
    if (!readable) return readable.error();
  }
  PENSTOCK_TRY_ASSIGN(const std::string address, resolve(tried.connect, stop));
  for (int silent_closes = 0;;) {
    if (stop.stop_requested()) return stopped();
    const auto began = std::chrono::steady_clock::now();
    auto connected = connect_once(tried, address, stop);
    if (connected) {
      const std::chrono::seconds asked(connected->keep_alive_s);
      if (asked.count() == 0 || asked >= tried.connect.keep_alive) return connected;
      tried.connect.keep_alive = asked;  // Paho pings as CONNECT says, whatever the broker answers
      continue;
    }
    if (stop.stop_requested()) return stopped();  // the connection may have ended at the same time
    const bool may_fall_back =
        options.protocol == ProtocolChoice::automatic && tried.connect.protocol == Protocol::v5;
    if (!may_fall_back) return connected;
    const bool was_in_time = std::chrono::steady_clock::now() - began < tried.connect.timeout;
    const bool was_closed = connection_->failure.stage == Stage::connack && was_in_time;
    if (!connection_->failure.version_refused && !was_closed) return connected;
    if (was_closed && answered_v5_) return connected;
    if (was_closed && ++silent_closes < silent_closes_max) continue;
    tried.connect.protocol = Protocol::v3_1_1;
  }
}

Result<std::string> Subscription::resolve(const ConnectOptions& options,
                                          const std::stop_token& stop) const {
  struct Done {
    std::mutex mutex;
    std::condition_variable changed;
    bool is_done = false;
  };
  // Shared with a thread that may outlive this call.
  const auto done = std::make_shared<Done>();
  ConnectOptions to_socket = options;  // the relay asks for the WebSocket, and can be stopped
  to_socket.broker.scheme = options.broker.uses_tls() ? "mqtts" : "mqtt";
  const auto resolution = Resolution::begin_attempt(to_socket, [done] {
    const std::lock_guard lock(done->mutex);
    done->is_done = true;
    done->changed.notify_all();
  });
  std::unique_lock lock(done->mutex);
  if (!wait_until(lock, done->changed, options.timeout, stop, [&done] { return done->is_done; })) {
    if (stop.stop_requested()) return stopped();
    return Error{Errc::unavailable,
                 unfinished(resolution->attempt().reached).text(options.timeout)};
  }
  PENSTOCK_TRY(resolution->result());
  paho::use_address(options.broker.host, resolution->attempt().address);
  return resolution->attempt().address;
}

Result<Limits> Subscription::connect_once(const SubscriptionOptions& options,
                                          const std::string& address, const std::stop_token& stop) {
  close(std::chrono::seconds(1));
  Connection& connection = *connection_;
  connection.options = options;
  connection.is_decided = false;
  connection.owner_calls = false;
  connection.lost_text.clear();
  connection.failure = {};
  if (options.connect.broker.is_websocket()) {
    PENSTOCK_TRY_ASSIGN(connection.relay, WebSocketRelay::open(options.connect, address, stop));
  }
  try {
    start(connection);
  } catch (const std::exception& error) {
    return Error{Errc::unavailable, penstock::quoted(error.what())};
  }
  std::unique_lock lock(connection.mutex);
  // Paho looks at its own deadline every three seconds only.
  const auto time_max = options.connect.timeout + std::chrono::seconds(3);
  if (!wait_until(lock, connection.changed, time_max, stop,
                  [&] { return connection.is_decided; })) {
    if (stop.stop_requested()) connection.failure.error = stopped();
    if (connection.failure.error.text.empty()) {
      connection.failure = {{Errc::unavailable, "the broker does not answer"}};
    }
  }
  if (connection.is_connected) {
    if (options.connect.protocol == Protocol::v5) answered_v5_ = true;
    return connection.limits;
  }
  // It may have been let in, and have ended since.
  if (connection.failure.error.text.empty()) {
    connection.failure.error = {Errc::unavailable, connection.lost_text};
  }
  lock.unlock();
  close(std::chrono::seconds(1));
  return connection.failure.error;
}

void Subscription::start(Connection& connection) {
  const SubscriptionOptions& options = connection.options;
  ConnectOptions to_paho = options.connect;
  if (connection.relay) to_paho.broker = connection.relay->address();
  connection.client = paho::make_client(to_paho, queued_max);
  Connection* const self = &connection;
  connection.client->set_message_callback(
      [self](const mqtt::const_message_ptr& message) { self->message_arrived(message); });
  connection.client->set_connection_lost_handler([self](const std::string& cause) {
    const std::string relayed = self->relay ? self->relay->end_text() : std::string();
    self->lost(!relayed.empty() ? relayed
               : cause.empty()  ? "the connection was lost"
                                : penstock::quoted(cause));
  });
  connection.client->set_disconnected_handler([self](const mqtt::properties& given,
                                                     mqtt::ReasonCode code) {
    self->lost("the broker ends the connection: " +
               std::string(reason_text(static_cast<std::uint8_t>(code))) + paho::words_of(given));
  });
  mqtt::connect_options connect = paho::connect_options(to_paho);
  if (options.is_persistent) {
    if (options.connect.protocol == Protocol::v5) {
      connect.set_clean_start(false);
      mqtt::properties properties;
      const auto expiry_s =
          static_cast<std::int32_t>(std::min(options.session_expiry_s, expiry_max_s));
      properties.add(mqtt::property(mqtt::property::SESSION_EXPIRY_INTERVAL, expiry_s));
      connect.set_properties(std::move(properties));
    } else {
      connect.set_clean_session(false);
    }
  }
  // Copied: moved options lose their properties on the way (Paho C++ 1.2.0).
  connection.client->connect(connect, nullptr, connection);
}

Result<void> Subscription::subscribe(std::span<const std::string> filters,
                                     const std::stop_token& stop) {
  Connection& connection = *connection_;
  if (!connection.client) return Error{Errc::unavailable, "not connected"};
  connection.let_through(true);
  Result<void> result;
  for (const std::string& filter : filters) {
    // One filter at a time: only then does Paho report a refusal as a failure.
    try {
      const auto token = connection.client->subscribe(filter, 1);
      if (!is_answered(token, stop, [&connection] { return connection.is_lost(); })) {
        result = Error{Errc::unavailable, "the broker does not answer SUBSCRIBE"};
      }
    } catch (const mqtt::exception& error) {
      result = error_of(error, "subscribing to " + penstock::quoted(filter));
    } catch (const std::exception& error) {
      result = Error{Errc::unavailable, penstock::quoted(error.what())};
    }
    if (!result) break;
  }
  connection.let_through(false);
  return connection.reason(std::move(result));
}

Result<void> Subscription::publish_retained(const std::string& topic, const std::string& payload,
                                            const std::stop_token& stop) {
  Connection& connection = *connection_;
  if (!connection.client) return Error{Errc::unavailable, "not connected"};
  connection.let_through(true);
  Result<void> result;
  try {
    const auto token = connection.client->publish(mqtt::make_message(topic, payload, 1, true));
    if (!is_answered(token, stop, [&connection] { return connection.is_lost(); })) {
      result = Error{Errc::unavailable, "the broker does not answer PUBLISH"};
    }
  } catch (const mqtt::exception& error) {
    result = error_of(error, "publishing to " + penstock::quoted(topic));
  } catch (const std::exception& error) {
    result = Error{Errc::unavailable, penstock::quoted(error.what())};
  }
  connection.let_through(false);
  return connection.reason(std::move(result));
}

Result<std::optional<ReceivedMessage>> Subscription::next_message(
    std::chrono::milliseconds timeout) {
  Connection& connection = *connection_;
  std::unique_lock lock(connection.mutex);
  connection.changed.wait_for(
      lock, timeout, [&] { return !connection.queue.empty() || !connection.is_connected; });
  if (!connection.queue.empty()) {
    ReceivedMessage message = std::move(connection.queue.front());
    connection.queue.pop_front();
    connection.queued_bytes -= message.payload.size();
    connection.changed.notify_all();
    return std::optional<ReceivedMessage>(std::move(message));
  }
  if (connection.is_connected) return std::optional<ReceivedMessage>();
  return Error{Errc::unavailable,
               connection.lost_text.empty() ? "not connected" : connection.lost_text};
}

bool Subscription::is_connected() const {
  const std::lock_guard lock(connection_->mutex);
  return connection_->is_connected;
}

void Subscription::close(std::chrono::milliseconds timeout) {
  Connection& connection = *connection_;
  if (!connection.client && !connection.relay) return;
  connection.let_through(true);
  mqtt::disconnect_options options;
  options.set_timeout(0);
  paho::destroy(std::move(connection.client), timeout, options, queued_max);
  connection.relay.reset();
  connection.lost("closed");
}

}  // namespace penstock::forward
