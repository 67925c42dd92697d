// Forwarder: sends what the store holds to the broker. The shell around the brain: thread, timers,
// link and log.
#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "agent/base/clock.hpp"
#include "agent/base/log.hpp"
#include "agent/base/result.hpp"
#include "agent/forward/brain.hpp"
#include "agent/forward/certificate_watch.hpp"
#include "agent/forward/message.hpp"
#include "agent/forward/mqtt_link.hpp"
#include "agent/forward/receiver_ack.hpp"
#include "buffer/continuity.hpp"
#include "buffer/parking.hpp"

namespace penstock::forward {

struct Credentials {
  std::string user;  ///< "": none
  std::string password;
  std::string key_password{};  ///< of the key of TLS; "": not encrypted
};

struct ForwardOptions {
  std::vector<config::BrokerAddress> brokers;  ///< in order of preference, at least one
  ProtocolChoice protocol = ProtocolChoice::automatic;
  std::string client_id;
  bool has_one_client_id = false;  ///< the broker takes no other: tools cannot be beside the agent
  /// Asked at each connect on the forward thread, so that a changed secret needs no restart. Its
  /// error is reported and tried again. Empty: no user.
  std::function<Result<Credentials>()> credentials;
  TlsFiles tls;
  std::string device;
  bool tells_status = true;  ///< the retained status message, and a last will
  std::string boot;          ///< identity of this boot, for the status message
  std::string version;       ///< of the program, for the status message
  std::string prefix = "penstock";
  std::string topic = "{prefix}/{device}/{kind}/{stream}";
  Compression compression = Compression::none;
  Format format = Format::json;
  TagNames tags{};                           ///< for Format::influx
  std::vector<std::string> receivers;        ///< that have to verify what the broker acknowledged
  std::uint64_t packet_bytes_max = 0;        ///< known of the broker; 0: only what it tells
  std::uint32_t in_flight_max = 64;          ///< 1 … 64
  std::uint64_t rate_limit_bytes_per_s = 0;  ///< 0: off
  std::uint8_t qos = 1;  ///< of data; 0: acknowledged once it is written to the socket
  std::chrono::seconds keep_alive{60};
  std::chrono::microseconds ack_timeout{30'000'000};
  std::chrono::microseconds failover_after{20'000'000};
  std::chrono::microseconds back_to_first{600'000'000};
  std::chrono::seconds connect_timeout{10};
};

/// For a connection of another program: `suffix` keeps it apart from the agent's, where it can be.
std::string client_id_of(const ForwardOptions& options, std::string_view suffix);

struct ForwardStats {
  enum class State : std::uint8_t { waiting, connecting, connected, stopped };
  State state = State::waiting;
  std::string broker;  ///< url of the present or next one
  Protocol protocol = Protocol::v5;
  std::int64_t connected_since_unix_us = 0;  ///< 0: not connected
  std::uint64_t connections = 0;             ///< attempts since start
  std::uint64_t sent_events = 0;             ///< since start, repeats included
  std::uint64_t acknowledged_events = 0;
  std::uint64_t acknowledged_batches = 0;
  struct Receiver {
    std::string name;
    std::int64_t last_heard_unix_us = 0;  ///< 0: never
    std::uint64_t ignored = 0;            ///< messages, and streams in them, that mean nothing here
    bool is_silent = false;               ///< has verified nothing for long
  };
  std::vector<Receiver> receivers;
  std::uint64_t verified_events = 0;     ///< by all receivers, since start
  std::uint64_t unverified_batches = 0;  ///< that the broker acknowledged
  std::uint64_t refused_events = 0;      ///< became loss records
  std::uint64_t damaged_batches = 0;
  struct Parked {
    std::string stream;
    std::string reason;
  };
  std::uint64_t parked_streams = 0;
  std::vector<Parked> parked;      ///< at most 20 of them
  std::int64_t round_trip_us = 0;  ///< of the last PUBACK
  std::int64_t last_acknowledged_unix_us = 0;
  /// Of our certificate, once 30 days or less are left; negative: it has ended.
  std::optional<std::int64_t> certificate_days_left;
  std::string last_error;  ///< "": none since the last acknowledgement
  std::int64_t last_error_unix_us = 0;
};
std::string_view to_string(ForwardStats::State state);

/// For `_agent` events.
struct UpstreamChange {
  enum class Kind : std::uint8_t {
    connected,
    lost,
    stream_parked,
    stream_returned,
    certificate_ends,
    receiver_silent,
    receiver_back,
  };
  Kind kind = Kind::connected;
  std::string broker;
  Protocol protocol = Protocol::v5;
  std::string reason;          ///< when lost or parked
  std::string stream;          ///< when parked or returned
  std::int64_t days_left = 0;  ///< when our certificate ends; negative: it has ended
  std::string receiver{};      ///< that is silent, or was
};

class Forwarder {
 public:
  /// The store and the clock must outlive it. invalid: the topic template, or no broker.
  static Result<std::unique_ptr<Forwarder>> make(const ForwardOptions& options,
                                                 buffer::Store& store,
                                                 const Clock& clock = system_clock());
  Forwarder(const Forwarder&) = delete;
  Forwarder& operator=(const Forwarder&) = delete;
  ~Forwarder();  ///< as request_stop(0) and join()

  /// Before start(). Called on the forward thread after each change; must not block.
  void on_change(std::function<void(const UpstreamChange&)> callback);

  /// Starts the thread; sets the store's on_stored. Once.
  void start();
  /// Sends what is stored for as long as there is time, then says goodbye: the last second of
  /// `within` is for the status message. Thread: any.
  void request_stop(std::chrono::milliseconds within);
  /// Waits for the thread to end: at most `within` and about 2 s.
  void join();

  ForwardStats stats() const;  ///< Thread: any.

 private:
  struct Signal;

  Forwarder(const ForwardOptions& options, buffer::Store& store, const Clock& clock,
            MessageEncoder encoder);

  void run();
  void wait();
  void step(Event event);
  void handle(LinkEvent& event);
  void check_store();
  void perform(const Connect& action);
  void perform(const Disconnect& action);
  void perform(const Fetch& action);
  void perform(const FetchParked& action);
  void perform(const DropFetched& action);
  void perform(const Encode& action);
  void perform(const Publish& action);
  void perform(const PublishStatus& action);
  void perform(const Acknowledge& action);
  void perform(const Park& action);
  void perform(const Refuse& action);
  void perform(const AcknowledgeParked& action);
  void perform(const Unpark& action);
  void perform(const Report& action);
  Result<std::vector<buffer::Row>> read_rows(const Fetch& action) const;
  buffer::Row take_fetched(const RowRef& wanted);
  void add_missing(const buffer::RowKey& next, std::string_view stream, std::uint64_t missing,
                   EncodedRow& out);
  std::string stream_name(std::uint32_t stream_id) const;
  void report_refusal(const Report& report);
  void count_parked();
  void subscribe_to_receivers();
  void take_receiver_ack(const LinkEvent& event);
  std::vector<StreamRanges> ranges_of(const ReceiverAck& ack, std::size_t receiver);
  void ignore(std::size_t receiver, std::string_view what, std::string_view why);
  void report_receivers(const Report& report);
  void report_silence(const Report& report);
  void report_up(const Report& report);
  void report_trouble(const Report& report);
  void report_acknowledged(const Report& report);
  void watch_certificate();
  void clear_error();
  void note_read(const Error* failed, bool& is_unreadable);
  void set_error(std::string text);
  void fail_link(std::uint64_t connection, std::string text);
  std::string status_payload(bool is_online, std::uint64_t connection) const;
  MessageSettings message_settings() const;

  const ForwardOptions options_;
  buffer::Store& store_;
  const Clock& clock_;
  Log log_{"forward"};
  std::shared_ptr<Signal> signal_;  // shared with callbacks of the store that may come late
  MessageEncoder encoder_;
  MqttLink link_;
  CertificateWatch certificate_watch_;
  Brain brain_;
  std::function<void(const UpstreamChange&)> on_change_;

  struct ReceiverRuns {
    std::string current;
    bool is_live = false;           // not only kept by a broker
    std::deque<std::string> ended;  // the last few that another live one followed
    std::set<std::string, std::less<>> said;
  };
  std::vector<ReceiverRuns> runs_;               // of each receiver
  std::size_t silent_receiver_ = 0;              // the last that was
  std::map<std::uint32_t, std::string> parked_;  // stream id -> reason
  std::deque<Event> pending_;
  std::vector<Action> actions_;
  std::array<std::deque<buffer::Row>, buffer::priority_count> fetched_;
  std::optional<buffer::Row> fetched_parked_;
  buffer::Continuity continuity_;
  RowRef encoded_row_;
  std::vector<OutgoingMessage> encoded_;
  std::uint32_t encoded_events_ = 0;
  Limits limits_;
  std::uint64_t generation_ = 0;
  std::string trouble_;         // why the present connection ended
  std::string logged_trouble_;  // said once
  bool logs_retry_ = false;
  std::optional<std::size_t> guessed_broker_;  // whose protocol was told as guessed
  bool is_refused_again_ = false;              // the same batch: connecting and losing is no news
  bool said_acknowledged_ = false;
  bool rows_unreadable_ = false;  // said once
  bool parked_unreadable_ = false;

  mutable std::mutex stats_mutex_;
  ForwardStats stats_;
  std::thread thread_;
};

}  // namespace penstock::forward
