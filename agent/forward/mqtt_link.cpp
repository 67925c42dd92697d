#include "agent/forward/mqtt_link.hpp"

#include <algorithm>
#include <exception>
#include <iterator>
#include <limits>
#include <optional>
#include <utility>

#include "agent/base/log.hpp"
#include "agent/forward/mqtt_addresses.hpp"
#include "agent/forward/mqtt_inbox.hpp"
#include "agent/forward/mqtt_paho.hpp"
#include "agent/forward/mqtt_words.hpp"
#include "agent/forward/resolve.hpp"
#include "agent/forward/tls.hpp"

namespace penstock::forward {
namespace {

constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t words_wait_us_max = 200'000;
constexpr std::int64_t relief_every_us = 3'600'000'000;
// A message that is read, with the longest topic and as much again for properties. Paho C 1.3.12
// keeps the memory of the longest packet until the connection ends.
constexpr std::int32_t packet_bytes_max = MqttLink::message_bytes_max + (std::int32_t{128} << 10);
constexpr std::uint8_t retain_not_supported = 0x9A;
constexpr std::uint8_t qos_not_supported = 0x9B;
constexpr std::string_view only_qos_0 =
    "the broker takes QoS 0 alone, without acknowledgements; upstream.qos: 0 agrees to that";

}  // namespace

struct MqttLink::Connection final : public mqtt::iaction_listener {
  enum class Step : std::uint8_t { resolving, connecting, explaining, awaiting_words, over };

  Connection(const Clock& clock_in, std::shared_ptr<LinkInbox> inbox_in, std::uint64_t number_in,
             const ConnectOptions& options_in, std::uint32_t in_flight_max_in)
      : clock(clock_in),
        inbox(std::move(inbox_in)),
        number(number_in),
        options(options_in),
        in_flight_max(in_flight_max_in) {}

  LinkEvent event(LinkEvent::Kind kind) const {
    LinkEvent out;
    out.kind = kind;
    out.connection = number;
    out.steady_us = clock.steady_us();
    return out;
  }
  LinkEvent down(Stage stage, std::string text) const {
    LinkEvent out = event(LinkEvent::Kind::down);
    out.stage = stage;
    out.text = std::move(text);
    return out;
  }

  // On Paho's threads, with its lock held: only post.
  void on_success(const mqtt::token& token) override {
    if (token.get_type() == mqtt::token::CONNECT) {
      LinkEvent out = event(LinkEvent::Kind::up);
      out.limits = paho::limits_of(token.get_connect_response(), options);
      inbox->post(std::move(out));
    } else if (token.get_type() == mqtt::token::PUBLISH) {
      post_acknowledged(token, 0);
    }
  }
  void on_failure(const mqtt::token& token) override {
    if (token.get_type() == mqtt::token::CONNECT) {
      const paho::ConnectFailure failure = paho::connect_failure(token, options);
      LinkEvent out = down(failure.stage, failure.text);
      out.reason_code = failure.reason_code;
      out.version_refused = failure.version_refused;
      out.is_doubtful = failure.is_doubtful;
      inbox->post(std::move(out));
      if (failure.stage == Stage::refused && options.protocol == Protocol::v5) {
        paho::await_words([posted = inbox, connection = number](const std::string& words) {
          posted->post_words(connection, words);
        });
      }
    } else if (token.get_type() == mqtt::token::PUBLISH && options.protocol == Protocol::v5) {
      // A refusal has a return code of success. All else is a message that was never answered.
      const int code = token.get_reason_code();
      if (token.get_return_code() == 0 && code >= 0x80) {
        post_acknowledged(token, static_cast<std::uint8_t>(code));
      }
    } else if (token.get_type() == mqtt::token::SUBSCRIBE) {
      const int code = std::max<int>(token.get_reason_code(), token.get_return_code());
      if (code < 0x80 || code > 0xFF) return;
      LinkEvent out = event(LinkEvent::Kind::not_subscribed);
      out.text = reason_text(static_cast<std::uint8_t>(code));
      inbox->post(std::move(out));
    }
  }
  void post_acknowledged(const mqtt::token& token, std::uint8_t reason_code) {
    LinkEvent out = event(LinkEvent::Kind::acknowledged);
    out.message = first_message + reinterpret_cast<std::uintptr_t>(token.get_user_context());
    out.reason_code = reason_code;
    inbox->post(std::move(out));
  }

  const Clock& clock;
  std::shared_ptr<LinkInbox> inbox;
  const std::uint64_t number;
  ConnectOptions options;
  const std::uint32_t in_flight_max;
  std::unique_ptr<mqtt::async_client> client;  // destroyed by close(): its callbacks use the rest

  std::uint64_t first_message = 0;  // contexts count from here: a pointer may have 32 bits only

  Step step = Step::resolving;
  std::shared_ptr<Resolution> resolution;
  std::int64_t deadline_us = never;
  LinkEvent unexplained;  // a failure whose reason is being looked for
};

MqttLink::MqttLink(const Clock& clock, std::function<void()> wake)
    : clock_(clock), inbox_(std::make_shared<LinkInbox>(std::move(wake))) {}

MqttLink::~MqttLink() {
  close(std::chrono::milliseconds(500), false);
  inbox_->disarm();
}

void MqttLink::open(std::uint64_t connection, const ConnectOptions& options,
                    std::uint32_t in_flight_max) {
  close(std::chrono::milliseconds(500), false);
  connection_ = std::make_unique<Connection>(clock_, inbox_, connection, options, in_flight_max);
  Connection& opened = *connection_;
  const auto known = asked_.find(options.broker.url);
  if (known != asked_.end()) known->second.apply(opened.options);
  if (options.broker.uses_tls()) {
    const auto readable = check_tls_files(options.tls);
    if (!readable) {
      opened.step = Connection::Step::over;
      inbox_->post(opened.down(Stage::resolve, readable.error().text));
      return;
    }
  }
  opened.deadline_us = clock_.steady_us() + options.timeout / std::chrono::microseconds(1);
  opened.resolution =
      Resolution::begin(options, failed_tries_, [inbox = inbox_] { inbox->wake(); });
}

std::int64_t MqttLink::wake_at_us() const { return connection_ ? connection_->deadline_us : never; }

std::vector<LinkEvent> MqttLink::take_events() {
  std::vector<LinkEvent> events;
  inbox_->take(events);
  if (!connection_) return events;
  Connection& connection = *connection_;
  if (connection.step == Connection::Step::resolving) {
    if (connection.resolution->is_done()) {
      connection.deadline_us = never;
      const Result<void>& resolved = connection.resolution->result();
      if (resolved) {
        paho::use_address(connection.options.broker.host, connection.resolution->attempt().address);
        start_paho(connection);
      } else {
        connection.step = Connection::Step::over;
        events.push_back(connection.down(Stage::resolve, resolved.error().text));
      }
    } else if (clock_.steady_us() >= connection.deadline_us) {
      connection.step = Connection::Step::over;
      connection.deadline_us = never;
      events.push_back(connection.down(
          Stage::resolve, "no answer in time from the name service, or from the addresses, of " +
                              penstock::quoted(connection.options.broker.host)));
    }
  }
  obey_broker(connection, events);
  give_memory_back(connection, events);
  explain_failures(connection, events);
  add_words(connection, events);
  const bool has_failed = std::any_of(events.begin(), events.end(), [&](const LinkEvent& event) {
    return event.connection == connection.number && event.kind == LinkEvent::Kind::down &&
           event.stage != Stage::up;
  });
  if (has_failed) ++failed_tries_;
  return events;
}

void MqttLink::Asked::apply(ConnectOptions& options) const {
  if (keep_alive.count() != 0) options.keep_alive = std::min(options.keep_alive, keep_alive);
  options.retains = options.retains && retains;
  options.qos_max = std::min(options.qos_max, qos_max);
}

/// Notes what the broker asks for that our CONNECT did not say; whether that is to be said in
/// another one. Paho pings as often as CONNECT says, whatever the broker answers.
bool MqttLink::has_to_say_more(const LinkEvent& answer, const ConnectOptions& options) {
  Asked more = asked_[options.broker.url];
  if (answer.kind == LinkEvent::Kind::up) {
    const std::chrono::seconds interval(answer.limits.keep_alive_s);
    if (interval.count() == 0 || interval >= options.keep_alive) return false;
    more.keep_alive = interval;
  } else if (answer.reason_code == retain_not_supported && options.retains) {
    more.retains = false;
  } else if (answer.reason_code == qos_not_supported && options.qos == 0 && options.qos_max > 0) {
    more.qos_max = 0;
  } else {
    return false;
  }
  asked_[options.broker.url] = more;
  return true;
}

/// Where the broker asks for more than CONNECT said, the connection is made once more before its
/// answer is handed on.
void MqttLink::obey_broker(Connection& connection, std::vector<LinkEvent>& events) {
  const auto is_of_connection = [&](const LinkEvent& event) {
    return event.connection == connection.number;
  };
  const auto answer = std::find_if(events.begin(), events.end(), [&](const LinkEvent& event) {
    const bool is_refusal = event.kind == LinkEvent::Kind::down && event.stage == Stage::refused;
    return is_of_connection(event) && (event.kind == LinkEvent::Kind::up || is_refusal);
  });
  if (answer == events.end()) return;
  if (!has_to_say_more(*answer, connection.options)) {
    const bool is_up = answer->kind == LinkEvent::Kind::up;
    if (is_up && answer->limits.qos_max < connection.options.qos) {
      *answer = connection.down(Stage::refused, std::string(only_qos_0));
      answer->reason_code = qos_not_supported;
    } else if (!is_up && answer->reason_code == qos_not_supported) {
      answer->text += "; " + std::string(only_qos_0);
    } else if (is_up) {
      connection.options.retains = answer->limits.retains;
      connection.options.qos_max = answer->limits.qos_max;
    }
    return;
  }
  asked_[connection.options.broker.url].apply(connection.options);
  paho::destroy(std::move(connection.client), std::chrono::milliseconds(500),
                mqtt::disconnect_options(), connection.in_flight_max);
  // Nothing of the client that is gone may be taken for news of the next one.
  std::vector<LinkEvent> late;
  inbox_->take(late);
  events.erase(std::remove_if(events.begin(), events.end(), is_of_connection), events.end());
  start_paho(connection);
}

/// Paho keeps what the longest packet took until its client is gone. Not often: the message may be
/// one that the broker keeps, and comes again.
void MqttLink::give_memory_back(Connection& connection, std::vector<LinkEvent>& events) {
  const bool has_too_long = std::any_of(events.begin(), events.end(), [&](const LinkEvent& event) {
    return event.connection == connection.number && event.is_too_long;
  });
  if (!has_too_long || !connection.client || clock_.steady_us() < next_relief_us_) return;
  next_relief_us_ = clock_.steady_us() + relief_every_us;
  paho::destroy(std::move(connection.client), std::chrono::milliseconds(500),
                mqtt::disconnect_options(), connection.in_flight_max);
  connection.step = Connection::Step::over;
  std::vector<LinkEvent> late;
  inbox_->take(late);
  std::move(late.begin(), late.end(), std::back_inserter(events));
  events.push_back(connection.down(Stage::up, "a message that is too long took memory"));
}

/// Paho hides why connecting failed: one attempt of our own tells, before `down` is handed on.
void MqttLink::explain_failures(Connection& connection, std::vector<LinkEvent>& events) {
  if (connection.step == Connection::Step::connecting) {
    const auto failed = std::find_if(events.begin(), events.end(), [&](const LinkEvent& event) {
      return event.connection == connection.number && event.kind == LinkEvent::Kind::down &&
             event.is_doubtful;
    });
    if (failed == events.end()) return;
    connection.unexplained = std::move(*failed);
    events.erase(failed);
    connection.step = Connection::Step::explaining;
    connection.deadline_us =
        clock_.steady_us() + connection.options.timeout / std::chrono::microseconds(1);
    connection.resolution =
        Resolution::begin_attempt(connection.options, [inbox = inbox_] { inbox->wake(); });
  }
  if (connection.step != Connection::Step::explaining) return;
  const bool is_explained = connection.resolution->is_done();
  if (!is_explained && clock_.steady_us() < connection.deadline_us) return;
  connection.step = Connection::Step::over;
  connection.deadline_us = never;
  LinkEvent& failure = connection.unexplained;
  if (is_explained && !connection.resolution->result()) {
    failure = connection.down(Stage::connect, connection.resolution->result().error().text);
  } else if (failure.stage == Stage::refused) {
    failure.text += inbox_->words(connection.number).value_or("");
  }
  events.push_back(std::move(failure));
}

/// They come as soon as Paho's callback is through, which is at once; if ever not, `down` does
/// without.
void MqttLink::add_words(Connection& connection, std::vector<LinkEvent>& events) {
  if (connection.step == Connection::Step::connecting &&
      connection.options.protocol == Protocol::v5) {
    const auto refused = std::find_if(events.begin(), events.end(), [&](const LinkEvent& event) {
      return event.connection == connection.number && event.kind == LinkEvent::Kind::down &&
             event.stage == Stage::refused;
    });
    if (refused == events.end()) return;
    connection.unexplained = std::move(*refused);
    events.erase(refused);
    connection.step = Connection::Step::awaiting_words;
    connection.deadline_us = clock_.steady_us() + words_wait_us_max;
  }
  if (connection.step != Connection::Step::awaiting_words) return;
  const std::optional<std::string> words = inbox_->words(connection.number);
  if (!words && clock_.steady_us() < connection.deadline_us) return;
  connection.step = Connection::Step::over;
  connection.deadline_us = never;
  connection.unexplained.text += words.value_or("");
  events.push_back(std::move(connection.unexplained));
}

void MqttLink::start_paho(Connection& connection) {
  connection.step = Connection::Step::connecting;
  const ConnectOptions& options = connection.options;
  try {
    connection.client = paho::make_client(options, connection.in_flight_max);
    Connection* const self = &connection;
    connection.client->set_message_callback([self](const mqtt::const_message_ptr& message) {
      LinkEvent out = self->event(LinkEvent::Kind::message);
      const std::size_t bytes = message->get_payload_ref().size();
      out.is_too_long = bytes > message_bytes_max;
      out.topic = message->get_topic();
      out.text = out.is_too_long ? std::to_string(bytes) + " bytes" : message->get_payload_str();
      out.is_retained = message->is_retained();
      self->inbox->post_message(std::move(out));
    });
    connection.client->set_connection_lost_handler([self](const std::string& cause) {
      self->inbox->post(self->down(
          Stage::up, cause.empty() ? "the connection was lost" : penstock::quoted(cause)));
    });
    connection.client->set_disconnected_handler([self](const mqtt::properties& given,
                                                       mqtt::ReasonCode code) {
      const auto reason_code = static_cast<std::uint8_t>(code);
      LinkEvent out = self->down(
          Stage::up, "the broker ends the connection: " + std::string(reason_text(reason_code)) +
                         paho::words_of(given));
      out.reason_code = reason_code;
      self->inbox->post(std::move(out));
    });
    mqtt::connect_options connect = paho::connect_options(options);
    connect.set_max_inflight(static_cast<int>(connection.in_flight_max));
    if (options.protocol == Protocol::v5) {
      mqtt::properties properties;
      properties.add(mqtt::property(mqtt::property::MAXIMUM_PACKET_SIZE, packet_bytes_max));
      connect.set_properties(std::move(properties));
    }
    // Copied: moved options lose their properties on the way (Paho C++ 1.2.0).
    connection.client->connect(connect, nullptr, connection);
  } catch (const std::exception& error) {
    connection.step = Connection::Step::over;
    inbox_->post(connection.down(Stage::resolve, penstock::quoted(error.what())));
  }
}

Result<void> MqttLink::publish(std::uint64_t message, OutgoingMessage outgoing) {
  if (!connection_ || !connection_->client) return Error{Errc::unavailable, "not connected"};
  try {
    const bool is_v5 = connection_->options.protocol == Protocol::v5;
    const ConnectOptions& options = connection_->options;
    const int qos = outgoing.is_retained ? options.qos_max : options.qos;
    auto paho_message = mqtt::message::create(
        mqtt::string_ref(std::move(outgoing.topic)), mqtt::binary_ref(std::move(outgoing.payload)),
        qos, outgoing.is_retained && options.retains,
        is_v5 ? paho::properties_of(outgoing) : mqtt::properties());
    if (connection_->first_message == 0) connection_->first_message = message;
    void* const context =
        reinterpret_cast<void*>(static_cast<std::uintptr_t>(message - connection_->first_message));
    connection_->client->publish(std::move(paho_message), context, *connection_);
    return {};
  } catch (const std::exception& error) {
    return Error{Errc::unavailable, penstock::quoted(error.what())};
  }
}

Result<void> MqttLink::subscribe(const std::vector<std::string>& topics) {
  if (!connection_ || !connection_->client) return Error{Errc::unavailable, "not connected"};
  try {
    for (const std::string& topic : topics) {
      connection_->client->subscribe(topic, 1, nullptr, *connection_);
    }
    return {};
  } catch (const std::exception& error) {
    return Error{Errc::unavailable, penstock::quoted(error.what())};
  }
}

void MqttLink::close(std::chrono::milliseconds timeout, bool says_goodbye) {
  if (!connection_) return;
  mqtt::disconnect_options options;
  options.set_timeout(0);
  if (!says_goodbye && connection_->options.protocol == Protocol::v5) {
    options.set_reason_code(mqtt::ReasonCode::DISCONNECT_WITH_WILL_MESSAGE);
  }
  paho::destroy(std::move(connection_->client), timeout, options, connection_->in_flight_max);
  connection_.reset();
}

}  // namespace penstock::forward
