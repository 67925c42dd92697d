// The connector type `socket`: messages that programs and devices send to an address of ours.
#include <memory>

#include "connectors/api/connector.hpp"
#include "connectors/support/bad_input.hpp"
#include "connectors/support/decode_options.hpp"
#include "connectors/support/listen_options.hpp"
#include "connectors/support/listener.hpp"

namespace penstock::connectors::socket {
namespace {

using config::Option;
using config::OptionType;
using support::Framing;
using support::Origin;

constexpr std::string_view framing_names[] = {"newline", "nul",    "u8",     "u16_be",
                                              "u16_le",  "u32_be", "u32_le", "octet_counted"};
constexpr Framing framings[] = {Framing::newline, Framing::nul,          Framing::u8,
                                Framing::u16_be,  Framing::u16_le,       Framing::u32_be,
                                Framing::u32_le,  Framing::octet_counted};

constexpr Option options[] = {
    {.name = "listen",
     .type = OptionType::text_list,
     .doc = "addresses to take messages at: `tcp://`, `tls://` or `udp://` with a numeric host and "
            "a port, `unix://` (stream) or `unix-datagram://` with a path",
     .is_required = true,
     .example = "tcp://127.0.0.1:9000"},
    {.name = "framing",
     .type = OptionType::choice,
     .doc = "how messages follow each other in a stream: ended by a newline or a NUL byte, or "
            "behind their length as an unsigned integer (`_be`: big-endian) or as decimal text and "
            "a blank; a datagram is always one message",
     .default_text = "newline",
     .choices = framing_names},
    support::format_option,
    support::time_key_option,
    support::time_form_option,
    support::stream_key_option,
    support::influx_precision_option,
    {.name = "add_peer",
     .type = OptionType::boolean,
     .doc = "add the field `peer` with the sender's address (not for Unix sockets)",
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

struct Settings {
  support::ListenSettings listen;
  support::DecodeOptions decode;
  bool adds_peer = false;
};

/// Decodes messages into the chunk that is pushed.
class Sink final : public support::MessageSink {
 public:
  Sink(const Settings& settings, Session& session, Chunk& chunk)
      : settings_(settings),
        decoder_(support::make_decoder(settings.decode)),
        bad_(session.log(), system_clock()),
        chunk_(chunk) {}

  void take(std::string_view message, bool is_cut, const Origin& origin) override {
    // What `echo x | nc -u` sends is the line x.
    if (support::is_datagram(origin.transport)) message = without_line_end(message);
    if (message.empty()) return;
    const Field peer{"peer", origin.host};
    support::Envelope envelope;
    if (settings_.adds_peer && !origin.host.empty()) envelope.extra = {&peer, 1};
    const support::Decoded decoded = decoder_->decode(message, envelope, chunk_);
    bad_.note(decoded, message);
    if (is_cut && decoded.events > 0) chunk_.mark_cut();
  }

  void give_up(std::string_view reason, std::string_view excerpt) override {
    bad_.note(reason, excerpt);
  }

 private:
  static std::string_view without_line_end(std::string_view message) {
    if (message.ends_with('\n')) message.remove_suffix(1);
    if (message.ends_with('\r')) message.remove_suffix(1);
    return message;
  }

  const Settings& settings_;
  std::unique_ptr<support::Decoder> decoder_;
  support::BadInput bad_;
  Chunk& chunk_;
};

using Socket = support::ListeningConnector<Settings, Sink>;

Result<std::unique_ptr<Connector>> make(const config::Section& section) {
  Settings settings;
  PENSTOCK_TRY_ASSIGN(settings.listen, support::read_listen_settings(section));
  const std::string framing = section.text("framing");
  for (std::size_t i = 0; i < std::size(framing_names); ++i) {
    if (framing == framing_names[i]) settings.listen.framing = framings[i];
  }
  settings.decode = support::read_decode_options(section);
  settings.adds_peer = section.boolean("add_peer");
  return std::unique_ptr<Connector>(std::make_unique<Socket>(std::move(settings)));
}

}  // namespace

extern const ConnectorType type;
const ConnectorType type{
    .name = "socket",
    .summary = "messages sent to a TCP, TLS, UDP or Unix socket: text, JSON or influx lines",
    .is_rereadable = false,
    .options = options,
    .make = make,
};

}  // namespace penstock::connectors::socket
