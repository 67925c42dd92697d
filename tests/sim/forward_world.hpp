// A world for the forwarder's brain: store, network, two brokers, receiver and time, all simulated
// from one seed, with faults; checks what the brain promises while it runs.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <queue>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "agent/forward/brain.hpp"

namespace penstock::tests {

/// The first broken promise, with the virtual time it was seen at.
struct Broken {
  std::string what;
  std::int64_t at_us = 0;
};

class ForwardWorld {
 public:
  explicit ForwardWorld(std::uint64_t seed);

  /// Runs faults, then peace until all is delivered, then a stop. Throws Broken.
  void run();

  std::int64_t virtual_us() const { return now_us_; }
  std::uint64_t rows() const { return next_id_; }
  std::uint64_t connections() const { return connection_; }
  std::uint64_t repeats() const { return repeats_; }
  std::uint64_t parked() const { return parkings_; }
  std::uint64_t lost() const { return losses_; }

 private:
  struct Row {
    std::uint64_t id = 0;
    std::size_t stream = 0;
    std::uint64_t seq = 0;
    std::uint32_t count = 1;
    std::uint64_t bytes = 0;
    bool is_acknowledged = false;
    bool is_loss = false;
  };
  struct ParkedStream {
    std::uint64_t from_id = 0;
    std::uint64_t acknowledged = 0;
    std::set<std::uint64_t> refused;
    std::deque<Row> rows;
  };
  struct Stream {
    forward::RowRef last_sent;
    std::size_t of_class = 0;
    std::uint64_t next_seq = 0;       // of the store
    std::uint64_t sent_end = 0;       // of the row that was encoded last
    std::uint64_t next_expected = 0;  // of the receiver
  };
  struct Broker {
    bool is_reachable = true;
    bool hangs = false;       // takes connections and never answers
    bool only_3_1_1 = false;  // refuses or silently closes MQTT 5
    bool closes_silently = false;
    std::uint32_t receive_max = 20;
    std::uint64_t packet_max = 1U << 20;
    std::int64_t answer_us = 1'000;
    double bytes_per_us = 10;
    std::size_t refuses_stream = SIZE_MAX;
    std::uint8_t refuses_with = 0x87;
    std::uint64_t refuses_bytes = UINT64_MAX;  // with 0x95, unannounced
    std::size_t dies_of_stream = SIZE_MAX;     // ends the connection when a batch of it comes
    std::uint8_t dies_with = 0;                // the code of its DISCONNECT; 0: without one
    std::uint64_t dies_of_bytes = UINT64_MAX;  // ends it when a longer message comes, unannounced
    double loses_ack = 0;
    double swaps_acks = 0;
    double loses_data = 0;  // acknowledged, and never handed on
  };
  struct Receiver {
    using Covered = std::vector<std::map<std::uint64_t, std::uint64_t>>;  // of each stream
    Covered covered;
    Covered saved;
    std::vector<std::uint64_t> touched;  // of each stream, the number that came last
    bool is_away = false;
    bool is_dirty = false;
    std::uint64_t run = 1;
    std::uint64_t published_run = 0;  // 0: never published
    std::uint64_t known_run = 0;      // to the agent
    forward::ReceiverVerified published;
  };
  struct InFlight {
    forward::RowRef row;
    Row copy;
    std::uint32_t part = 0;
    std::size_t parts = 1;
    std::uint64_t bytes = 0;
    bool is_status = false;
    bool is_online = true;
  };
  /// A refusal that ends while successors are on their way lets them overtake: no sender with a
  /// window can help that, so here it lasts until all that was sent before its news has come.
  struct Refused {
    std::uint8_t code = 0;
    std::set<std::uint64_t> untold;  // messages whose refusal has not arrived
    std::uint64_t clean_from = 0;    // later messages were sent in the knowledge of it
  };
  struct Encoded {
    forward::RowRef row;
    Row copy;
    std::vector<forward::EncodedPart> parts;
  };
  struct Later {
    std::int64_t at_us = 0;
    std::uint64_t order = 0;
    std::function<void()> what;
    bool operator>(const Later& other) const {
      return at_us != other.at_us ? at_us > other.at_us : order > other.order;
    }
  };

  std::uint64_t below(std::uint64_t bound) { return random_() % bound; }
  bool chance(double p) { return static_cast<double>(random_() >> 11) * 0x1p-53 < p; }
  std::int64_t between(std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(below(static_cast<std::uint64_t>(high - low + 1)));
  }
  void later(std::int64_t in_us, std::function<void()> what);
  void require(bool holds, const std::string& what) const {
    if (!holds) throw Broken{what, now_us_};
  }

  void run_until(std::int64_t until_us, const std::function<bool()>& is_done);
  void step(forward::Event event);
  void perform(const forward::Connect& action);
  void perform(const forward::Disconnect& action);
  void perform(const forward::Fetch& action);
  void perform(const forward::FetchParked& action);
  void perform(const forward::DropFetched& action);
  void perform(const forward::Encode& action);
  void perform(const forward::Publish& action);
  void perform(const forward::PublishStatus& action);
  void perform(const forward::Acknowledge& action);
  void perform(const forward::Park& action);
  void perform(const forward::Refuse& action);
  void perform(const forward::AcknowledgeParked& action);
  void perform(const forward::Unpark& action);
  void perform(const forward::Report& action);

  void answer_connect(std::uint64_t connection, std::size_t broker, forward::Protocol protocol);
  void send(std::uint64_t message, const InFlight& sent);
  void arrive(std::uint64_t connection, std::uint64_t message, const InFlight& sent);
  void deliver(const InFlight& sent);
  void acknowledge(std::uint64_t connection, std::uint64_t message, std::uint8_t code,
                   std::int64_t in_us);
  void end_connection(std::int64_t noticed_in_us, std::uint8_t reason_code = 0);
  std::uint8_t judge(std::uint64_t message, const InFlight& sent);
  void commit();
  void receive(std::size_t stream, std::uint64_t first, std::uint64_t end);
  void publish_verified();
  void tell_verified(std::size_t number, std::int64_t in_us);
  void disturb_receivers();
  bool is_verified(const Row& row) const;
  void check_next(const forward::RowRef& row);
  bool is_parked(const Row& row) const;
  void append_rows();
  void disturb();
  void make_peace();
  void change_generation();
  void check_spin(bool did_something);
  void check_in_flight() const;
  std::deque<Row>& rows_of(const forward::RowRef& row) {
    return store_[static_cast<std::size_t>(row.priority)];
  }
  static std::deque<Row>::const_iterator behind(const std::deque<Row>& rows, std::uint64_t id);
  Row* find(const forward::RowRef& row);
  bool is_drained() const;

  std::mt19937_64 random_;
  std::int64_t now_us_ = 1'000'000;
  std::uint64_t order_ = 0;
  std::priority_queue<Later, std::vector<Later>, std::greater<>> queue_;

  // The store.
  std::array<std::deque<Row>, buffer::priority_count> store_;
  std::array<std::uint64_t, buffer::priority_count> trimmed_{};    // acknowledged
  std::array<std::uint64_t, buffer::priority_count> committed_{};  // removed up to here
  std::map<std::uint32_t, ParkedStream> parked_;                   // by stream + 1
  std::vector<Stream> streams_;
  std::uint64_t next_id_ = 0;
  std::uint64_t generation_ = 1;
  bool appends_ = true;

  // The network and the brokers.
  std::vector<Broker> brokers_;
  std::vector<Receiver> receivers_;
  forward::BrainSettings settings_;
  forward::Brain brain_;
  std::deque<forward::Event> pending_;
  std::uint64_t connection_ = 0;
  std::size_t broker_ = 0;
  bool is_up_ = false;        // as the brain knows it
  bool is_carrying_ = false;  // packets still pass
  forward::Limits limits_;
  std::int64_t wire_free_us_ = 0;
  std::map<std::uint64_t, InFlight> unacknowledged_;
  std::uint64_t bytes_in_flight_ = 0;
  // Of this connection, by parked stream and id.
  std::map<std::pair<std::uint32_t, std::uint64_t>, std::set<std::uint32_t>> parts_acknowledged_;
  std::array<std::uint64_t, buffer::priority_count> last_published_{};
  std::array<bool, buffer::priority_count> has_published_{};
  std::map<std::size_t, Refused> refused_streams_;  // on this connection
  std::uint64_t last_message_ = 0;
  forward::RowRef last_published_row_;
  Encoded encoded_;
  bool disturbs_ = true;
  bool said_offline_ = false;
  bool said_goodbye_ = false;

  std::int64_t second_ = 0;
  std::uint64_t idle_ticks_ = 0;
  std::deque<std::int64_t> connect_times_;
  std::uint64_t repeats_ = 0;
  std::uint64_t parkings_ = 0;
  std::uint64_t losses_ = 0;
};

}  // namespace penstock::tests
