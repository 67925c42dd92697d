// The connector type `syslog`: messages of programs and devices, by UDP, TCP, TLS or a Unix socket.
#include <memory>

#include "agent/base/text.hpp"
#include "connectors/api/connector.hpp"
#include "connectors/support/bad_input.hpp"
#include "connectors/support/listen_options.hpp"
#include "connectors/support/listener.hpp"
#include "connectors/syslog/message.hpp"

namespace penstock::connectors::syslog {
namespace {

using config::Option;
using config::OptionType;
using support::Origin;

constexpr std::string_view times[] = {"message", "arrival"};
constexpr std::string_view zones[] = {"local", "utc"};
constexpr std::string_view streams[] = {"connector", "host", "app"};

constexpr Option options[] = {
    {.name = "listen",
     .type = OptionType::text_list,
     .doc = "addresses to take messages at: `udp://`, `tcp://` or `tls://` with a numeric host and "
            "a port, `unix-datagram://` (such as /dev/log) or `unix://` with a path",
     .is_required = true,
     .example = "udp://127.0.0.1:5514"},
    {.name = "time",
     .type = OptionType::choice,
     .doc = "the event's time: the one in the message, or when it arrived (for senders whose clock "
            "cannot be trusted)",
     .default_text = "message",
     .choices = times},
    {.name = "zone",
     .type = OptionType::choice,
     .doc = "the zone of times that do not tell theirs (RFC 3164): this machine's, or UTC",
     .default_text = "local",
     .choices = zones},
    {.name = "stream_by",
     .type = OptionType::choice,
     .doc = "one stream for all, or one for each sending host or program",
     .default_text = "connector",
     .choices = streams},
    {.name = "add_peer",
     .type = OptionType::boolean,
     .doc = "add the field `peer` with the address that the message came from (not for Unix "
            "sockets)",
     .default_text = "false"},
    support::message_bytes_max_option,
    support::connections_max_option,
    support::connections_per_address_option,
    support::idle_time_option,
    support::messages_per_second_option,
    support::allow_insecure_option,
    support::tls_server_option,
    support::socket_mode_option,
};

enum class StreamBy { connector, host, app };

struct Settings {
  support::ListenSettings listen;
  Zone zone = Zone::local;
  StreamBy stream_by = StreamBy::connector;
  bool takes_time = true;
  bool adds_peer = false;
};

/// Appends one event for each message to the chunk that is pushed.
class Sink final : public support::MessageSink {
 public:
  Sink(const Settings& settings, Session& session, Chunk& chunk)
      : settings_(settings),
        parser_(session.clock(), settings.zone),
        bad_(session.log(), system_clock()),
        chunk_(chunk) {}

  void take(std::string_view text, bool is_cut, const Origin& origin) override {
    const bool is_local = origin.host.empty();
    const Message& message = parser_.parse(text, is_local);
    fields_.clear();
    if (message.priority) {
      fields_.push_back({"facility", facility_name(*message.priority)});
      fields_.push_back({"severity", severity_name(*message.priority)});
      fields_.push_back({"level", static_cast<std::int64_t>(*message.priority % 8)});
    }
    add_unless_empty("host", message.host);
    add_unless_empty("app", message.app);
    add_unless_empty("pid", message.pid);
    add_unless_empty("message_id", message.message_id);
    fields_.push_back({"message", message.text});
    if (!is_valid_utf8(message.text)) fields_.push_back({"invalid_utf8", true});
    fields_.insert(fields_.end(), message.structured_data.begin(), message.structured_data.end());
    if (settings_.adds_peer) add_unless_empty("peer", origin.host);
    chunk_.add(settings_.takes_time ? message.time_unix_us : 0, part_of(message), fields_);
    if (is_cut) chunk_.mark_cut();
  }

  void give_up(std::string_view reason, std::string_view excerpt) override {
    bad_.note(reason, excerpt);
  }

 private:
  void add_unless_empty(std::string_view name, std::string_view text) {
    if (!text.empty()) fields_.push_back({name, text});
  }
  std::string_view part_of(const Message& message) const {
    switch (settings_.stream_by) {
      case StreamBy::host: return message.host;
      case StreamBy::app: return message.app;
      default: return {};
    }
  }

  const Settings& settings_;
  SyslogParser parser_;
  support::BadInput bad_;
  Chunk& chunk_;
  std::vector<Field> fields_;
};

using Syslog = support::ListeningConnector<Settings, Sink>;

Result<std::unique_ptr<Connector>> make(const config::Section& section) {
  Settings settings;
  PENSTOCK_TRY_ASSIGN(settings.listen, support::read_listen_settings(section));
  settings.listen.framing = support::Framing::automatic;
  settings.takes_time = section.text("time") == "message";
  settings.zone = section.text("zone") == "utc" ? Zone::utc : Zone::local;
  const std::string stream_by = section.text("stream_by");
  if (stream_by == "host") settings.stream_by = StreamBy::host;
  if (stream_by == "app") settings.stream_by = StreamBy::app;
  settings.adds_peer = section.boolean("add_peer");
  return std::unique_ptr<Connector>(std::make_unique<Syslog>(std::move(settings)));
}

}  // namespace

extern const ConnectorType type;
const ConnectorType type{
    .name = "syslog",
    .summary = "syslog messages by UDP, TCP, TLS or a Unix socket: RFC 5424, RFC 3164 and kin",
    .is_rereadable = false,
    .options = options,
    .make = make,
};

}  // namespace penstock::connectors::syslog
