// Listener: takes messages from whoever sends, within limits: connections, datagrams, one poll
// loop.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "connectors/api/connector.hpp"
#include "connectors/support/framer.hpp"
#include "connectors/support/listen_address.hpp"
#include "connectors/support/tls_server.hpp"

namespace penstock::connectors::support {

struct ListenLimits {
  std::size_t message_bytes_max = 64 * 1024;
  std::size_t connections_max = 64;
  std::size_t connections_per_address_max = 16;
  std::chrono::microseconds idle_time{60'000'000};  ///< without a complete message; 0 = no limit
  double messages_per_second_max = 0;               ///< of each connection or socket; 0 = no limit
};

struct ListenSettings {
  std::vector<ListenAddress> addresses;
  Framing framing = Framing::newline;  ///< of streams; a datagram is one message
  ListenLimits limits;
  TlsServerFiles tls;
  unsigned socket_mode = 0660;
};

/// Where a message came from.
struct Origin {
  std::string_view host;  ///< "" for Unix sockets
  Transport transport = Transport::tcp;
};

/// What a connector does with messages. Called on the thread of listen_until_stop.
class MessageSink {
 public:
  virtual ~MessageSink() = default;
  /// Appends to the chunk that was given to listen_until_stop. is_cut: it was over the limit.
  virtual void take(std::string_view message, bool is_cut, const Origin& origin) = 0;
  /// Bytes that are no message: a stream that ended inside one, or whose lengths make no sense.
  virtual void give_up(std::string_view reason, std::string_view excerpt) = 0;
};

/// Listens until stop is asked for (then ok), pushing what the sink has put into `chunk` as it
/// comes. While push waits nothing is read: streams wait, and what the kernel then drops of UDP is
/// counted (SO_RXQ_OVFL) and added to the chunk as a loss. unavailable: an address is in use or not
/// permitted, or the certificate cannot be used.
Result<void> listen_until_stop(Session& session, const ListenSettings& settings, Chunk& chunk,
                               MessageSink& sink);

/// Reads the options of listen_options.hpp; every transport is allowed. invalid: already reported.
Result<ListenSettings> read_listen_settings(const config::Section& section);

/// The connector that listens as Settings::listen says, and hands what comes to a
/// Sink(settings, session, chunk) for each run.
template <typename Settings, typename Sink>
class ListeningConnector final : public Connector {
 public:
  explicit ListeningConnector(Settings settings) : settings_(std::move(settings)) {}

  Result<void> run(Session& session) override {
    Sink sink(settings_, session, chunk_);
    return listen_until_stop(session, settings_.listen, chunk_, sink);
  }

 private:
  Settings settings_;
  Chunk chunk_;
};

}  // namespace penstock::connectors::support
