#include "connectors/mqtt/settings.hpp"

#include <algorithm>

#include "agent/base/log.hpp"
#include "agent/base/text.hpp"
#include "config/broker.hpp"
#include "config/tls_options.hpp"
#include "config/topic.hpp"
#include "connectors/support/decode_options.hpp"

namespace penstock::connectors::mqtt {
namespace {

using config::Option;
using config::OptionType;

constexpr std::string_view protocols[] = {"auto", "5", "3.1.1"};
constexpr std::string_view qos_names[] = {"0", "1", "2"};
constexpr std::string_view retained_names[] = {"always", "once", "never"};  // as RetainHandling

constexpr Option tls_options[] = {config::tls_ca_option, config::tls_cert_option,
                                  config::tls_key_option, config::tls_insecure_option};

constexpr Option option_table[] = {
    {.name = "broker",
     .type = OptionType::text,
     .doc = "`mqtt://host:port`, or `mqtts://host:port` for TLS (ports 1883 and 8883 unless given)",
     .is_required = true,
     .example = "mqtt://127.0.0.1:1883"},
    {.name = "topics",
     .type = OptionType::text_list,
     .doc =
         "topic filters; `+` stands for one level, `#` at the end for any; `$share/group/filter` "
         "shares the messages with others of the group. Filters must not overlap: some brokers "
         "send a message once for each that fits",
     .is_required = true,
     .example = "[\"plant/+/temp\", \"alarms/#\"]"},
    {.name = "qos",
     .type = OptionType::choice,
     .doc = "the most that the broker is asked for; a message comes with this QoS or with that of "
            "its publisher, whichever is less. 0: may be lost; 1: acknowledged when it is durable, "
            "may come twice after a failure; 2: once",
     .default_text = "1",
     .choices = qos_names},
    {.name = "protocol",
     .type = OptionType::choice,
     .doc = "MQTT version; `auto`: 5, or 3.1.1 with a broker that does not speak 5",
     .default_text = "auto",
     .choices = protocols},
    {.name = "client_id",
     .type = OptionType::text,
     .doc = "names our session at the broker, so no other client there may have it; "
            "`penstock-` and the connector's name unless given",
     .example = "penstock-gw-7-plant"},
    {.name = "user", .type = OptionType::text, .doc = "user name", .example = "gw-7"},
    {.name = "password",
     .type = OptionType::secret,
     .doc = "password, read at each connect",
     .example = "{file: /etc/penstock/secrets/plant}"},
    {.name = "clean_start",
     .type = OptionType::boolean,
     .doc = "begin each connection with nothing: what is published while we are away is lost",
     .default_text = "false"},
    {.name = "session_expiry",
     .type = OptionType::duration,
     .doc = "MQTT 5: the broker may forget our session, and the messages in it, once we are away "
            "for so long",
     .default_text = "7d",
     .min = "1s",
     .max = "3650d"},
    {.name = "retained",
     .type = OptionType::choice,
     .doc = "retained messages, when we subscribe: `always` at each connection, `once` when the "
            "session is new (MQTT 3.1.1 cannot: as `always`), `never`",
     .default_text = "once",
     .choices = retained_names},
    {.name = "stream_per_topic",
     .type = OptionType::boolean,
     .doc = "give each topic a stream of its own, `<connector>/<topic>`; otherwise all share the "
            "connector's, and the field `topic` tells them apart",
     .default_text = "true"},
    {.name = "add_topic",
     .type = OptionType::boolean,
     .doc = "add the field `topic` also with `stream_per_topic`",
     .default_text = "false"},
    support::format_option,
    support::time_key_option,
    support::time_form_option,
    support::stream_key_option,
    support::influx_precision_option,
    {.name = "message_bytes_max",
     .type = OptionType::size,
     .doc = "a longer payload is cut here and marked with `cut`; cut JSON, lines and numbers count "
            "as bad input",
     .default_text = "256KiB",
     .min = "64B",
     .max = "16MiB"},
    {.name = "receive_max",
     .type = OptionType::integer,
     .doc = "MQTT 5: messages that the broker may send before the first of them is acknowledged; "
            "many brokers have a lower limit of their own",
     .default_text = "64",
     .min = "1",
     .max = "1000"},
    {.name = "ack_every",
     .type = OptionType::duration,
     .doc = "with QoS 1 and 2, commit and acknowledge at most this often, unless 8 messages (or as "
            "many as receive_max) wait; 0 = at once",
     .default_text = "1s",
     .max = "1m"},
    {.name = "keep_alive",
     .type = OptionType::duration,
     .doc = "the broker is asked for a sign of life when nothing came for so long, in whole "
            "seconds; a broker may set another one",
     .default_text = "30s",
     .min = "1s",
     .max = "18h"},
    {.name = "timeout",
     .type = OptionType::duration,
     .doc = "how long to wait for a connection and for each answer",
     .default_text = "10s",
     .min = "100ms",
     .max = "5m"},
    {.name = "tls",
     .type = OptionType::section,
     .doc = "for a broker with `mqtts://`",
     .children = tls_options},
};

constexpr std::size_t filters_bytes_max = 3072;  // they are a position, too

template <std::size_t n>
std::size_t index_of(const std::string_view (&names)[n], std::string_view name) {
  return static_cast<std::size_t>(std::find(names, names + n, name) - names);
}

/// Whether there are topics that fit both filters.
bool do_overlap(std::string_view a, std::string_view b) {
  if (a == "#" || b == "#") return true;
  const std::size_t a_end = a.find('/');
  const std::size_t b_end = b.find('/');
  const std::string_view a_level = a.substr(0, a_end);
  const std::string_view b_level = b.substr(0, b_end);
  if (a_level != b_level && a_level != "+" && b_level != "+") return false;
  if (a_end == a.npos) return b_end == b.npos || b.substr(b_end) == "/#";
  if (b_end == b.npos) return a.substr(a_end) == "/#";
  return do_overlap(a.substr(a_end + 1), b.substr(b_end + 1));
}

void warn_of_overlap(const config::Section& section, const std::vector<std::string>& topics) {
  for (std::size_t i = 1; i < topics.size(); ++i) {
    for (std::size_t k = 0; k < i; ++k) {
      // Wildcards leave out topics that begin with $.
      if (topics[i].starts_with('$') != topics[k].starts_with('$')) continue;
      if (!do_overlap(topics[i], topics[k])) continue;
      return section.warn("topics", penstock::quoted(topics[k]) + " and " +
                                        penstock::quoted(topics[i]) +
                                        " overlap: some brokers send a message for each");
    }
  }
}

Result<std::vector<std::string>> read_topics(const config::Section& section) {
  std::vector<std::string> topics = section.text_list("topics");
  if (topics.empty()) return section.invalid("topics", "no topic filter is given");
  std::size_t bytes = 0;
  for (const std::string& topic : topics) {
    if (const auto fault = config::filter_fault(topic); !fault.empty()) {
      return section.invalid("topics", penstock::quoted(topic) + ": " + std::string(fault));
    }
    bytes += topic.size() + 1;
  }
  if (bytes > filters_bytes_max) {
    return section.invalid("topics", "more than 3 KiB of topic filters",
                           "use wildcards, or several connectors");
  }
  warn_of_overlap(section, topics);
  return topics;
}

Result<void> read_access(const config::Section& section, Settings& settings) {
  if (section.has_written("user")) settings.user = section.text("user");
  if (section.has_written("password") && !settings.user) {
    return section.invalid("password", "a password needs a user", "write user: NAME");
  }
  const config::Section tls = section.section("tls");
  settings.tls = {tls.text("ca"), tls.text("cert"), tls.text("key"), tls.boolean("insecure")};
  if (settings.tls.cert.empty() != settings.tls.key.empty()) {
    return section.invalid("tls", "one of cert and key is missing", "write both");
  }
  if (section.has_written("tls") && !settings.has_tls()) {
    return section.invalid("tls", "the broker's address does not ask for TLS",
                           "write broker: mqtts://…");
  }
  if (section.has_written("password") && !settings.has_tls() &&
      !config::is_loopback(settings.broker)) {
    section.warn("broker", "the password travels unencrypted", "use mqtts:// if the broker can");
  }
  return {};
}

}  // namespace

std::span<const Option> options() { return option_table; }

Result<Settings> read_settings(const config::Section& section) {
  Settings settings;
  config::Fault fault;
  const auto broker = config::parse_broker(section.text("broker"), fault);
  if (!broker) return section.invalid("broker", fault.message, fault.help);
  settings.broker = *broker;
  PENSTOCK_TRY_ASSIGN(settings.topics, read_topics(section));
  settings.qos = static_cast<std::uint8_t>(index_of(qos_names, section.text("qos")));
  const std::size_t protocol = index_of(protocols, section.text("protocol"));
  if (protocol > 0) settings.version = protocol == 1 ? Version::v5 : Version::v311;
  settings.client_id = section.text("client_id");
  if (!section.has_written("client_id")) {
    settings.client_id = "penstock-" + section.path().substr(section.path().rfind('.') + 1);
  }
  if (settings.client_id.empty() || settings.client_id.size() > 256 ||
      !is_valid_utf8(settings.client_id)) {
    return section.invalid("client_id", "a client identifier has 1 to 256 bytes of UTF-8");
  }
  PENSTOCK_TRY(read_access(section, settings));
  settings.is_clean = section.boolean("clean_start");
  if (settings.is_clean && section.has_written("session_expiry")) {
    return section.invalid("session_expiry", "with clean_start there is no session to keep");
  }
  using std::chrono::duration_cast;
  using std::chrono::seconds;
  settings.session_expiry = duration_cast<seconds>(section.duration("session_expiry"));
  settings.retained =
      static_cast<RetainHandling>(index_of(retained_names, section.text("retained")));
  settings.has_stream_per_topic = section.boolean("stream_per_topic");
  settings.adds_topic = section.boolean("add_topic") || !settings.has_stream_per_topic;
  settings.decode = support::read_decode_options(section);
  settings.message_bytes_max = static_cast<std::size_t>(section.size("message_bytes_max"));
  settings.receive_max = static_cast<std::uint16_t>(section.integer("receive_max"));
  settings.ack_every = section.duration("ack_every");
  settings.keep_alive =
      std::max(seconds(1), duration_cast<seconds>(section.duration("keep_alive")));
  settings.timeout = section.duration("timeout");
  return settings;
}

}  // namespace penstock::connectors::mqtt
