// Subscriber: one connection to the broker, from CONNECT to its end.
#pragma once

#include <deque>
#include <memory>
#include <string>

#include "connectors/api/connector.hpp"
#include "connectors/mqtt/ledger.hpp"
#include "connectors/mqtt/settings.hpp"
#include "connectors/support/bad_input.hpp"
#include "connectors/support/desk.hpp"

namespace penstock::connectors::mqtt {

/// Leaves messages at the desk, and acknowledges them once they are durable, in their order. While
/// the desk is full nothing is read, but the broker still gets its pings.
/// Threads: open on the connector's; run on one of its own; the other may only request_stop() and
/// wait for ended_fd().
class Subscriber {
 public:
  /// All of them outlive the subscriber.
  Subscriber(const Settings& settings, Version version, Ledger& ledger, support::Desk& desk,
             Session& session);
  Subscriber(const Subscriber&) = delete;
  Subscriber& operator=(const Subscriber&) = delete;

  enum class Opened { yes, refused_version, closed };
  /// Connects and logs in. closed: the broker ended the connection instead of answering.
  /// unavailable: cannot be reached, or refuses us, in words. stopped: stop was asked for.
  Result<Opened> open(const config::Secret& password);
  /// Subscribes and serves until request_stop() (then ok) or the connection's end: unavailable.
  /// What was received by then lies at the desk, unless stop was asked for.
  Result<void> run();
  /// Thread: any.
  void request_stop();
  /// Readable once run() returns.
  int ended_fd() const { return ended_.get(); }

  /// Commits are worth it from so many messages on.
  static constexpr std::size_t messages_at_once = 8;

 private:
  struct Due {
    std::uint64_t chunk;  // at the desk; may go out once that is durable
    Ack ack;
    std::uint16_t id;
  };

  Result<void> serve();
  Result<void> read_socket();
  Result<void> take_packets();
  Result<void> take(const Packet& packet);
  void take_message(const Publish& message);
  Result<void> take_suback(const Suback& suback);
  void subscribe();
  void hand_over();
  bool is_hand_over_due(std::int64_t now_us) const;
  void acknowledge();
  Result<void> write_socket();
  Result<void> keep_alive(std::int64_t now_us);
  bool reads() const;
  std::int64_t ping_due_us() const;
  int wait_ms(std::int64_t now_us) const;
  Result<Connack> wait_for_connack();
  Error lost(std::string_view why) const;
  Error refused(std::uint8_t code, std::string_view reason) const;

  const Settings& settings_;
  const Version version_;
  Ledger& ledger_;
  support::Desk& desk_;
  Session& session_;  // of the connector's thread: open
  std::unique_ptr<support::Decoder> decoder_;
  Log& log_;
  support::BadInput bad_;
  PacketReader reader_;
  std::unique_ptr<Transport> transport_;
  UniqueFd stop_;
  UniqueFd ended_;

  Chunk chunk_;              // not at the desk yet
  std::size_t waiting_ = 0;  // acknowledgements that it brings
  std::vector<std::string> filters_before_;
  bool has_filters_due_ = false;  // they become a position with the next message
  std::deque<Due> due_;
  std::string unsent_;
  std::int64_t keep_alive_us_ = 0;
  std::int64_t handed_over_us_ = 0;
  std::int64_t received_us_ = 0;
  std::int64_t sent_us_ = 0;
  std::int64_t answer_due_us_ = 0;  // when anything must have come; 0: nothing is waited for
};

}  // namespace penstock::connectors::mqtt
