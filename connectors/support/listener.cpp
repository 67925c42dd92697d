#include "connectors/support/listener.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <list>
#include <memory>
#include <optional>

#include "agent/base/log.hpp"
#include "connectors/support/bad_input.hpp"
#include "connectors/support/datagrams.hpp"
#include "connectors/support/listen_options.hpp"
#include "connectors/support/token_bucket.hpp"

namespace penstock::connectors::support {
namespace {

constexpr std::size_t read_bytes = 64 * 1024;
/// A chunk is handed over when it is this large, else when all inputs had their turn.
constexpr std::size_t chunk_bytes = 256 * 1024;
/// After the process ran out of descriptors.
constexpr std::int64_t accept_pause_us = 1'000'000;
constexpr std::int64_t never_us = std::numeric_limits<std::int64_t>::max();

struct Connection {
  UniqueFd fd;
  std::optional<TlsSession> tls;
  std::string host;
  Transport transport;
  Framer framer;
  TokenBucket bucket;
  std::int64_t last_message_us;
  short events = POLLIN;
  bool has_more = false;  // TLS holds bytes that poll does not know of
  bool is_closed = false;
};

struct DatagramSocket {
  const ListenAddress* address;
  UniqueFd fd;
  Datagrams datagrams;
  TokenBucket bucket;
};

struct StreamSocket {
  const ListenAddress* address;
  UniqueFd fd;
};

class Listener {
 public:
  Listener(Session& session, const ListenSettings& settings, Chunk& chunk, MessageSink& sink)
      : session_(session),
        settings_(settings),
        chunk_(chunk),
        sink_(sink),
        tls_(settings.tls),
        refused_(clock_),
        broken_off_(clock_),
        buffer_(std::make_unique_for_overwrite<char[]>(read_bytes)) {}
  ~Listener() {
    for (const StreamSocket& socket : streams_) remove_file(*socket.address);
    for (const DatagramSocket& socket : datagrams_) remove_file(*socket.address);
  }

  Result<void> open() {
    for (const ListenAddress& address : settings_.addresses) {
      if (address.transport == Transport::tls) PENSTOCK_TRY(tls_.load_if_changed());
      PENSTOCK_TRY_ASSIGN(UniqueFd fd, open_listener(address, settings_.socket_mode));
      if (is_datagram(address.transport)) {
        datagrams_.push_back(
            {&address, std::move(fd), Datagrams(settings_.limits.message_bytes_max), new_bucket()});
      } else {
        streams_.push_back({&address, std::move(fd)});
      }
      session_.log().info("event=listening address={}", quoted(address.text));
    }
    return {};
  }

  Result<void> run() {
    while (!session_.stop_token().stop_requested()) {
      const std::int64_t now_us = clock_.steady_us();
      const int timeout_ms = prepare(now_us);
      if (::poll(polled_.data(), polled_.size(), timeout_ms) < 0 && errno != EINTR) {
        return errno_error("poll");
      }
      serve();
      PENSTOCK_TRY(session_.push(chunk_));
    }
    return {};
  }

 private:
  static void remove_file(const ListenAddress& address) {
    if (address.is_unix()) ::unlink(address.path.c_str());
  }
  TokenBucket new_bucket() const { return TokenBucket(settings_.limits.messages_per_second_max); }

  /// Fills polled_: stop, then all inputs in the order of their lists; returns the time to wait.
  int prepare(std::int64_t now_us) {
    std::int64_t due_us = never_us;
    polled_.assign(1, {session_.stop_fd(), POLLIN, 0});
    const bool accepts = now_us >= accept_again_us_;
    if (!accepts) due_us = accept_again_us_;
    for (const StreamSocket& socket : streams_) {
      polled_.push_back({accepts ? socket.fd.get() : -1, POLLIN, 0});
    }
    for (DatagramSocket& socket : datagrams_) {
      const std::int64_t wait_us = socket.bucket.wait_us(now_us);
      polled_.push_back({wait_us > 0 ? -1 : socket.fd.get(), POLLIN, 0});
      if (wait_us > 0) due_us = std::min(due_us, now_us + wait_us);
    }
    const std::int64_t idle_us = settings_.limits.idle_time.count();
    for (Connection& connection : connections_) {
      const std::int64_t wait_us = connection.bucket.wait_us(now_us);
      polled_.push_back({wait_us > 0 ? -1 : connection.fd.get(), connection.events, 0});
      if (wait_us > 0) due_us = std::min(due_us, now_us + wait_us);
      if (wait_us == 0 && connection.has_more) due_us = now_us;
      if (idle_us > 0) due_us = std::min(due_us, connection.last_message_us + idle_us);
    }
    if (due_us == never_us) return -1;
    return static_cast<int>(std::clamp<std::int64_t>((due_us - now_us + 999) / 1000, 0, 60'000));
  }

  void serve() {
    const std::int64_t now_us = clock_.steady_us();
    const pollfd* polled = polled_.data() + 1;
    const pollfd* const accepting = polled;
    polled += streams_.size();
    for (DatagramSocket& socket : datagrams_) {
      if (polled++->revents != 0) receive(socket, now_us);
    }
    for (Connection& connection : connections_) {
      const bool may_read = polled->fd >= 0 && (polled->revents != 0 || connection.has_more);
      ++polled;
      if (may_read && chunk_.size() < chunk_bytes) read(connection, now_us);
      close_if_idle(connection, now_us);
    }
    connections_.remove_if([](const Connection& connection) { return connection.is_closed; });
    for (std::size_t i = 0; i < streams_.size(); ++i) {
      if (accepting[i].revents != 0) accept(streams_[i], now_us);
    }
  }

  void receive(DatagramSocket& socket, std::int64_t now_us) {
    const Transport transport = socket.address->transport;
    std::size_t count = 0;
    const std::uint64_t dropped = socket.datagrams.receive(
        socket.fd.get(), [&](std::string_view message, bool is_cut, std::string_view host) {
          ++count;
          sink_.take(message, is_cut, {host, transport});
        });
    socket.bucket.take(count, now_us);
    if (dropped == 0) return;
    chunk_.lost("", dropped);
    session_.log().warn("event=datagrams_dropped address={} count={}", quoted(socket.address->text),
                        dropped);
  }

  void accept(StreamSocket& socket, std::int64_t now_us) {
    while (true) {
      sockaddr_storage peer{};
      socklen_t size = sizeof(peer);
      UniqueFd fd(::accept4(socket.fd.get(), reinterpret_cast<sockaddr*>(&peer), &size,
                            SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!fd.is_open()) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
          accept_again_us_ = now_us + accept_pause_us;
          tell_refused("no descriptor is left", "");
        }
        if (errno == EINTR || errno == ECONNABORTED) continue;
        return;
      }
      admit(socket, std::move(fd), host_text(peer), now_us);
    }
  }

  void admit(const StreamSocket& socket, UniqueFd fd, std::string host, std::int64_t now_us) {
    const auto same = [&](const Connection& other) { return other.host == host; };
    if (connections_.size() >= settings_.limits.connections_max) {
      return tell_refused("max_connections", host);
    }
    if (!host.empty() &&
        static_cast<std::size_t>(std::count_if(connections_.begin(), connections_.end(), same)) >=
            settings_.limits.connections_per_address_max) {
      return tell_refused("max_connections_per_address", host);
    }
    std::optional<TlsSession> session;
    if (socket.address->transport == Transport::tls) {
      if (const auto loaded = tls_.load_if_changed(); !loaded.ok()) {
        session_.log().warn("event=certificate_not_loaded next=\"the old one is used\" error={}",
                            quoted(loaded.error().text));
      }
      auto made = tls_.accept(fd.get());
      if (!made.ok()) return tell_refused(made.error().text, host);
      session.emplace(*std::move(made));
    }
    session_.log().debug("event=connected peer={}", quoted(host));
    connections_.push_back(
        {std::move(fd), std::move(session), std::move(host), socket.address->transport,
         Framer(settings_.framing, settings_.limits.message_bytes_max), new_bucket(), now_us});
  }

  void tell_refused(std::string_view reason, std::string_view host) {
    if (const std::uint64_t count = refused_.note(1)) {
      session_.log().warn("event=connections_refused count={} reason=\"{}\" peer={}", count, reason,
                          quoted(host));
    }
  }

  void read(Connection& connection, std::int64_t now_us) {
    connection.has_more = false;
    const auto [state, bytes] =
        connection.tls ? connection.tls->read(buffer_.get(), read_bytes) : read_plain(connection);
    connection.events = state == TlsSession::State::wants_write ? POLLOUT : POLLIN;
    std::size_t count = 0;
    const auto take = [&](std::string_view message, bool is_cut) {
      ++count;
      sink_.take(message, is_cut, {connection.host, connection.transport});
    };
    if (state == TlsSession::State::data) {
      if (!connection.framer.feed({buffer_.get(), bytes}, take)) {
        sink_.give_up("a length makes no sense", {buffer_.get(), bytes});
        connection.is_closed = true;
      }
      connection.has_more = connection.tls && connection.tls->has_more();
    } else if (state == TlsSession::State::ended) {
      const std::string rest(BadInput::excerpt_at(connection.framer.pending(), 0));
      if (connection.framer.finish(take) > 0) sink_.give_up("the stream ended in a message", rest);
      connection.is_closed = true;
    } else if (state == TlsSession::State::failed) {
      end_badly(connection);
    }
    if (count > 0) connection.last_message_us = now_us;
    connection.bucket.take(count, now_us);
  }

  TlsSession::Read read_plain(const Connection& connection) {
    const ssize_t bytes = ::recv(connection.fd.get(), buffer_.get(), read_bytes, 0);
    if (bytes > 0) return {TlsSession::State::data, static_cast<std::size_t>(bytes)};
    if (bytes == 0) return {TlsSession::State::ended};
    const bool is_later = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    return {is_later ? TlsSession::State::wants_read : TlsSession::State::failed};
  }

  void end_badly(Connection& connection) {
    const std::string reason = connection.tls ? TlsSession::failure() : errno_error("recv").text;
    if (const std::uint64_t count = broken_off_.note(1)) {
      session_.log().info("event=connections_broken_off count={} peer={} error={}", count,
                          quoted(connection.host), quoted(reason));
    }
    if (connection.framer.is_inside()) {
      sink_.give_up("the stream broke off in a message", connection.framer.pending());
    }
    connection.is_closed = true;
  }

  void close_if_idle(Connection& connection, std::int64_t now_us) {
    const std::int64_t idle_us = settings_.limits.idle_time.count();
    if (idle_us == 0 || connection.is_closed) return;
    if (now_us - connection.last_message_us < idle_us) return;
    session_.log().debug("event=idle_connection_closed peer={}", quoted(connection.host));
    if (connection.framer.is_inside()) {
      sink_.give_up("a message was not completed in time", connection.framer.pending());
    }
    connection.is_closed = true;
  }

  Session& session_;
  const ListenSettings& settings_;
  Chunk& chunk_;
  MessageSink& sink_;
  const Clock& clock_ = system_clock();  // the kernel wakes us in real time
  TlsServer tls_;
  std::vector<StreamSocket> streams_;
  std::vector<DatagramSocket> datagrams_;
  std::list<Connection> connections_;
  std::vector<pollfd> polled_;
  std::int64_t accept_again_us_ = 0;
  Tally refused_;
  Tally broken_off_;
  std::unique_ptr<char[]> buffer_;
};

}  // namespace

Result<void> listen_until_stop(Session& session, const ListenSettings& settings, Chunk& chunk,
                               MessageSink& sink) {
  if (session.stop_token().stop_requested()) return {};
  chunk.clear();
  Listener listener(session, settings, chunk, sink);
  PENSTOCK_TRY(listener.open());
  const Result<void> result = listener.run();
  return !result.ok() && result.error().code == Errc::stopped ? Result<void>() : result;
}

Result<ListenSettings> read_listen_settings(const config::Section& section) {
  ListenSettings settings;
  PENSTOCK_TRY_ASSIGN(
      settings.addresses,
      read_listen_addresses(section, {Transport::tcp, Transport::tls, Transport::udp,
                                      Transport::unix_stream, Transport::unix_datagram}));
  const bool has_tls =
      std::any_of(settings.addresses.begin(), settings.addresses.end(),
                  [](const ListenAddress& address) { return address.transport == Transport::tls; });
  PENSTOCK_TRY_ASSIGN(settings.tls, read_tls_server(section, has_tls));
  ListenLimits& limits = settings.limits;
  limits.message_bytes_max = static_cast<std::size_t>(section.size("message_bytes_max"));
  limits.connections_max = static_cast<std::size_t>(section.integer("max_connections"));
  limits.connections_per_address_max =
      static_cast<std::size_t>(section.integer("max_connections_per_address"));
  limits.idle_time = section.duration("idle_time");
  limits.messages_per_second_max = static_cast<double>(section.integer("max_messages_per_second"));
  settings.socket_mode = static_cast<unsigned>(std::stoul(section.text("socket_mode"), nullptr, 8));
  return settings;
}

}  // namespace penstock::connectors::support
