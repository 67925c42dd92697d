#include "tests/sim/forward_world.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "agent/forward/refusal.hpp"

namespace penstock::tests {
namespace {

using forward::RowRef;

forward::BrainSettings random_settings(std::mt19937_64& random, std::uint64_t seed) {
  forward::BrainSettings out;
  out.brokers.count = 1 + random() % 2;
  out.brokers.seed = random();
  out.brokers.back_to_first_us = 300'000'000;
  out.in_flight_max = static_cast<std::uint32_t>(1 + random() % 64);
  out.in_flight_bytes_max = 20'000 + random() % 1'000'000;
  out.fetch_bytes = 10'000 + random() % 1'000'000;
  out.skips_poison = random() % 2 == 0;
  if (random() % 4 == 0) out.rate_limit_bytes_per_s = 50'000 + random() % 500'000;
  out.receivers = seed % 3;
  if (seed % 2 == 0) out.unverified_rows_max = 1 + random() % 500;
  return out;
}

constexpr std::int64_t second_us = 1'000'000;

}  // namespace

ForwardWorld::ForwardWorld(std::uint64_t seed)
    : random_(seed), settings_(random_settings(random_, seed)), brain_(settings_) {
  brokers_.resize(settings_.brokers.count);
  for (Broker& broker : brokers_) {
    broker.only_3_1_1 = chance(0.15);
    broker.closes_silently = chance(0.5);
  }
  streams_.resize(1 + below(6));
  for (Stream& stream : streams_) stream.of_class = below(buffer::priority_count);
  receivers_.resize(settings_.receivers);
  for (Receiver& receiver : receivers_) {
    receiver.covered.resize(streams_.size());
    receiver.saved.resize(streams_.size());
    receiver.touched.resize(streams_.size());
  }
}

void ForwardWorld::later(std::int64_t in_us, std::function<void()> what) {
  queue_.push({now_us_ + std::max<std::int64_t>(0, in_us), order_++, std::move(what)});
}

void ForwardWorld::run() {
  step(forward::StoreChanged{generation_, {}});
  later(0, [this] { append_rows(); });
  later(0, [this] { commit(); });
  later(0, [this] { disturb(); });
  later(0, [this] { publish_verified(); });
  run_until(now_us_ + between(300, 1'800) * second_us, [] { return false; });
  make_peace();
  run_until(now_us_ + 7'200 * second_us, [this] { return is_drained(); });
  require(is_drained(), "not all rows were delivered and acknowledged in two quiet hours");
  for (const Stream& stream : streams_) {
    require(stream.next_seq == stream.next_expected, "the receiver misses events at the end");
  }
  // An answer that was lost before the peace ends its connection, and must not do so below.
  const auto is_quiet = [this] {
    return brain_.is_up() && is_carrying_ && unacknowledged_.empty();
  };
  run_until(now_us_ + 120 * second_us, is_quiet);
  require(is_quiet(), "not connected to a broker that works");
  const std::int64_t deadline_us = now_us_ + 5 * second_us;
  step(forward::StopAsked{deadline_us});
  run_until(deadline_us + second_us, [this] { return brain_.is_finished(); });
  require(brain_.is_finished() && now_us_ <= deadline_us + 10'000, "the stop took too long");
  require(said_offline_ && said_goodbye_, "a quiet stop must say offline and goodbye");
}

void ForwardWorld::run_until(std::int64_t until_us, const std::function<bool()>& is_done) {
  while (!is_done()) {
    const std::int64_t wake_us = brain_.wake_at_us();
    const std::int64_t next_us =
        queue_.empty() ? std::numeric_limits<std::int64_t>::max() : queue_.top().at_us;
    if (std::min(wake_us, next_us) > until_us) {
      now_us_ = until_us;
      return;
    }
    if (wake_us < next_us) {
      now_us_ = std::max(now_us_, wake_us);
      step(forward::Tick{});
    } else {
      const Later next = queue_.top();
      queue_.pop();
      now_us_ = std::max(now_us_, next.at_us);
      next.what();
    }
  }
}

void ForwardWorld::step(forward::Event event) {
  const bool is_tick = std::holds_alternative<forward::Tick>(event);
  pending_.push_back(std::move(event));
  bool did_something = false;
  std::vector<forward::Action> actions;
  while (!pending_.empty()) {
    const forward::Event next = std::move(pending_.front());
    pending_.pop_front();
    actions.clear();
    brain_.step(now_us_, next, actions);
    did_something = did_something || !actions.empty();
    for (const forward::Action& action : actions) {
      std::visit([this](const auto& wanted) { perform(wanted); }, action);
    }
  }
  if (is_tick) check_spin(did_something);
}

void ForwardWorld::check_spin(bool did_something) {
  if (now_us_ / second_us != second_) {
    second_ = now_us_ / second_us;
    idle_ticks_ = 0;
  }
  if (!did_something) ++idle_ticks_;
  require(idle_ticks_ < 50, "it asks to be woken for nothing again and again");
}

void ForwardWorld::perform(const forward::Connect& action) {
  require(action.connection > connection_, "a connection number came twice");
  require(!is_carrying_ || !is_up_, "a second connection beside the first");
  connect_times_.push_back(now_us_);
  while (connect_times_.front() < now_us_ - 10 * second_us) connect_times_.pop_front();
  require(connect_times_.size() <= 60, "it connects without a pause");
  connection_ = action.connection;
  broker_ = action.broker;
  require(broker_ < brokers_.size(), "no such broker");
  is_up_ = false;
  is_carrying_ = false;
  unacknowledged_.clear();
  bytes_in_flight_ = 0;
  parts_acknowledged_.clear();
  has_published_ = {};
  refused_streams_.clear();
  later(between(100, 50'000),
        [this, action] { answer_connect(action.connection, action.broker, action.protocol); });
}

void ForwardWorld::answer_connect(std::uint64_t connection, std::size_t number,
                                  forward::Protocol protocol) {
  const Broker& broker = brokers_[number];
  if (broker.hangs) return;
  if (!broker.is_reachable) {
    step(forward::LinkDown{connection, forward::Stage::connect, false});
    return;
  }
  if (broker.only_3_1_1 && protocol == forward::Protocol::v5) {
    const bool is_silent = broker.closes_silently;
    step(forward::LinkDown{
        connection, is_silent ? forward::Stage::connack : forward::Stage::refused, !is_silent});
    return;
  }
  if (connection != connection_) return;
  is_up_ = true;
  is_carrying_ = true;
  wire_free_us_ = now_us_;
  limits_ = {};
  limits_.protocol = protocol;
  if (protocol == forward::Protocol::v5) {
    limits_.receive_max = broker.receive_max;
    limits_.packet_bytes_max = broker.packet_max;
  }
  step(forward::LinkUp{connection, limits_});
  for (std::size_t i = 0; i < receivers_.size(); ++i) tell_verified(i, between(1'000, 50'000));
}

void ForwardWorld::perform(const forward::Disconnect& action) {
  require(action.connection == connection_, "it ends a connection that is not the present one");
  is_carrying_ = false;
  is_up_ = false;
  said_goodbye_ = action.says_goodbye;
}

void ForwardWorld::perform(const forward::Publish& action) {
  require(is_up_ && action.connection == connection_, "it publishes without a connection");
  require(encoded_.row == action.row && action.part < encoded_.parts.size(),
          "it publishes what was not encoded");
  if (action.part == 0) {
    if (action.row.parked_stream == 0) check_next(action.row);
    last_published_row_ = action.row;
  }
  require(last_published_row_ == action.row, "parts of two rows are mixed");
  InFlight sent;
  sent.row = action.row;
  sent.copy = encoded_.copy;
  sent.part = action.part;
  sent.parts = encoded_.parts.size();
  sent.bytes = encoded_.parts[action.part].bytes;
  if (action.row.parked_stream != 0) {
    for (const auto& [message, other] : unacknowledged_) {
      require(other.row.parked_stream != action.row.parked_stream || other.row == action.row,
              "two batches of a parked stream are on their way");
    }
  }
  send(action.message, sent);
}

/// A class is sent in order, from the oldest row on; only parked streams are passed over.
void ForwardWorld::check_next(const RowRef& row) {
  const auto of_class = static_cast<std::size_t>(row.priority);
  const auto& rows = store_[of_class];
  const std::uint64_t before =
      has_published_[of_class] ? last_published_[of_class] : trimmed_[of_class];
  require(row.id > before, "a row came twice on a connection");
  for (auto at = behind(rows, before); at != rows.end() && at->id < row.id; ++at) {
    const bool may_wait = !receivers_.empty() && at->is_acknowledged;
    require(is_parked(*at) || may_wait, "a row was left out");
  }
  has_published_[of_class] = true;
  last_published_[of_class] = row.id;
}

void ForwardWorld::perform(const forward::PublishStatus& action) {
  require(is_up_ && action.connection == connection_, "a status without a connection");
  InFlight sent;
  sent.is_status = true;
  sent.is_online = action.is_online;
  send(action.message, sent);
}

void ForwardWorld::send(std::uint64_t message, const InFlight& sent) {
  require(unacknowledged_.emplace(message, sent).second, "a message number came twice");
  last_message_ = message;
  bytes_in_flight_ += sent.bytes;
  check_in_flight();
  if (!is_carrying_) return;
  const Broker& broker = brokers_[broker_];
  wire_free_us_ = std::max(wire_free_us_, now_us_) + 500 +
                  static_cast<std::int64_t>(static_cast<double>(sent.bytes) / broker.bytes_per_us);
  later(wire_free_us_ - now_us_,
        [this, connection = connection_, message, sent] { arrive(connection, message, sent); });
}

void ForwardWorld::check_in_flight() const {
  require(
      unacknowledged_.size() <= std::min<std::size_t>(settings_.in_flight_max, limits_.receive_max),
      "more messages in flight than the window");
  require(bytes_in_flight_ <= settings_.in_flight_bytes_max || unacknowledged_.size() <= 2,
          "more bytes in flight than the window");
}

void ForwardWorld::arrive(std::uint64_t connection, std::uint64_t message, const InFlight& sent) {
  if (connection != connection_ || !is_carrying_) return;
  const Broker& broker = brokers_[broker_];
  if (!broker.is_reachable || broker.hangs) return end_connection(between(1, 90) * second_us);
  std::uint8_t code = 0;
  if (sent.is_status) {
    if (!sent.is_online) said_offline_ = true;
  } else {
    if (sent.copy.stream == broker.dies_of_stream && !sent.copy.is_loss) {
      return end_connection(between(0, second_us), broker.dies_with);
    }
    if (sent.bytes > broker.dies_of_bytes) {
      return end_connection(between(0, second_us), broker.dies_with == 0 ? 0 : 0x95);
    }
    code = judge(message, sent);
    if (code < 0x80) deliver(sent);
  }
  if (chance(broker.loses_ack)) return;
  std::int64_t in_us = broker.answer_us;
  if (chance(broker.swaps_acks)) in_us += between(0, 20'000);
  acknowledge(connection, message, code, in_us);
  if (disturbs_ && chance(0.02)) acknowledge(connection, message, code, in_us + 1'000);
}

std::uint8_t ForwardWorld::judge(std::uint64_t message, const InFlight& sent) {
  const Broker& broker = brokers_[broker_];
  if (limits_.protocol != forward::Protocol::v5) return 0;
  const std::size_t stream = sent.copy.stream;
  const bool is_for_good =
      forward::judge_refusal(broker.refuses_with) == forward::Refusal::for_good;
  const bool is_refused = stream == broker.refuses_stream && !(sent.copy.is_loss && is_for_good);
  const bool is_too_large = sent.bytes > broker.refuses_bytes && !sent.copy.is_loss;
  auto refused = refused_streams_.find(stream);
  if (is_refused || is_too_large) {
    refused = refused_streams_.try_emplace(stream).first;
    refused->second.code = is_refused ? broker.refuses_with : std::uint8_t{0x95};
  }
  if (refused == refused_streams_.end()) return 0;
  const bool is_over = refused->second.untold.empty() && message >= refused->second.clean_from;
  if (!is_refused && !is_too_large && is_over) {
    refused_streams_.erase(refused);
    return 0;
  }
  refused->second.untold.insert(message);
  return sent.copy.is_loss ? std::uint8_t{0x97} : refused->second.code;
}

/// The receiver's rule, strictly: what is covered is a repeat, all else must be the next number.
void ForwardWorld::deliver(const InFlight& sent) {
  const Row& row = sent.copy;
  Stream& stream = streams_[row.stream];
  const std::uint64_t first = row.seq + row.count * sent.part / sent.parts;
  const std::uint64_t end = row.seq + row.count * (sent.part + 1) / sent.parts;
  require(first <= stream.next_expected, "the receiver sees a gap");
  if (end <= stream.next_expected) ++repeats_;
  stream.next_expected = std::max(stream.next_expected, end);
  receive(row.stream, first, end);
}

void ForwardWorld::acknowledge(std::uint64_t connection, std::uint64_t message, std::uint8_t code,
                               std::int64_t in_us) {
  later(in_us, [this, connection, message, code] {
    if (connection == connection_ && is_carrying_) {
      const auto found = unacknowledged_.find(message);
      if (found != unacknowledged_.end()) {
        const InFlight sent = found->second;
        bytes_in_flight_ -= sent.bytes;
        unacknowledged_.erase(found);
        // What is sent in its place has other parts.
        if (code >= 0x80) parts_acknowledged_.erase({sent.row.parked_stream, sent.row.id});
        const auto refused = refused_streams_.find(sent.copy.stream);
        if (code >= 0x80 && !sent.is_status && refused != refused_streams_.end()) {
          refused->second.untold.erase(message);
          refused->second.clean_from = last_message_ + 1;
        }
        if (!sent.is_status && code < 0x80) {
          auto& parts = parts_acknowledged_[{sent.row.parked_stream, sent.row.id}];
          parts.insert(sent.part);
          Row* const row = find(sent.row);
          if (row != nullptr && parts.size() == sent.parts) row->is_acknowledged = true;
        }
      }
    } else if (connection == connection_) {
      return;
    }
    step(forward::Acknowledged{connection, message, code, now_us_});
  });
}

void ForwardWorld::perform(const forward::Report&) {}

void ForwardWorld::disturb() {
  if (!disturbs_) return;
  disturb_receivers();
  Broker& broker = brokers_[below(brokers_.size())];
  switch (below(14)) {
    case 0: broker.is_reachable = !broker.is_reachable; break;
    case 1: broker.hangs = chance(0.3); break;
    case 2: broker.receive_max = static_cast<std::uint32_t>(1 + below(30)); break;
    case 3: broker.packet_max = 5'000 + below(200'000); break;
    case 4: broker.answer_us = between(100, chance(0.2) ? 40'000'000 : 300'000); break;
    case 5: broker.bytes_per_us = chance(0.3) ? 0.02 : 10; break;
    case 6: {
      constexpr std::array<std::uint8_t, 7> codes{0x80, 0x83, 0x87, 0x97, 0x90, 0x99, 0x91};
      broker.refuses_stream = chance(0.5) ? below(streams_.size()) : SIZE_MAX;
      broker.refuses_with = codes[below(codes.size())];
      break;
    }
    case 7: broker.loses_ack = chance(0.3) ? 0.05 : 0; break;
    case 8: broker.swaps_acks = chance(0.3) ? 0.3 : 0; break;
    case 10: broker.refuses_bytes = chance(0.3) ? 500 + below(50'000) : UINT64_MAX; break;
    case 11:
      broker.dies_of_stream = chance(0.3) ? below(streams_.size()) : SIZE_MAX;
      broker.dies_with = chance(0.5) ? 0x82 : 0;
      break;
    case 12: broker.dies_of_bytes = chance(0.3) ? 500 + below(50'000) : UINT64_MAX; break;
    case 9:
      if (chance(0.2)) change_generation();
      break;
    default: break;
  }
  const Broker& present = brokers_[broker_];
  if (is_carrying_ && (!present.is_reachable || chance(0.2))) {
    end_connection(chance(0.7) ? between(0, second_us) : between(1, 90) * second_us);
  }
  if (chance(0.2) && connection_ > 1) {
    step(forward::LinkDown{connection_ - 1, forward::Stage::up, false});
    const bool any = !unacknowledged_.empty();
    const std::uint64_t message = any ? unacknowledged_.begin()->first : below(1'000);
    step(forward::Acknowledged{connection_ - 1, message, 0, now_us_});
  }
  later(between(100'000, 60'000'000), [this] { disturb(); });
}

void ForwardWorld::end_connection(std::int64_t noticed_in_us, std::uint8_t reason_code) {
  is_carrying_ = false;
  later(noticed_in_us, [this, connection = connection_, reason_code] {
    step(forward::LinkDown{connection, forward::Stage::up, false, reason_code});
  });
}

void ForwardWorld::make_peace() {
  appends_ = false;
  disturbs_ = false;
  for (Receiver& receiver : receivers_) {
    if (!std::exchange(receiver.is_away, false)) continue;
    receiver.covered = receiver.saved;
    ++receiver.run;
  }
  for (Broker& broker : brokers_) {
    const bool only_3_1_1 = broker.only_3_1_1;
    const bool closes_silently = broker.closes_silently;
    broker = {};
    broker.only_3_1_1 = only_3_1_1;
    broker.closes_silently = closes_silently;
  }
}

}  // namespace penstock::tests
