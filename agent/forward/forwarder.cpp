#include "agent/forward/forwarder.hpp"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <random>
#include <utility>

#include "agent/base/text.hpp"

namespace penstock::forward {
namespace {

constexpr std::chrono::milliseconds close_time{500};

BrainSettings brain_settings(const ForwardOptions& options) {
  BrainSettings out;
  out.brokers.count = options.brokers.size();
  out.brokers.protocol = options.protocol;
  out.brokers.failover_after_us = options.failover_after.count();
  out.brokers.back_to_first_us = options.back_to_first.count();
  std::random_device random;
  out.brokers.seed = std::uint64_t{random()} << 32 | random();
  out.in_flight_max = std::clamp<std::uint32_t>(options.in_flight_max, 1, 64);
  out.rate_limit_bytes_per_s = options.rate_limit_bytes_per_s;
  out.tells_status = options.tells_status;
  out.ack_timeout_us = options.ack_timeout.count();
  out.receivers = options.receivers.size();
  // Looking the name up, connecting and finding out why not may each take the link's time.
  out.connect_timeout_us =
      3 * std::chrono::microseconds(options.connect_timeout).count() + 5'000'000;
  return out;
}

}  // namespace

std::string client_id_of(const ForwardOptions& options, std::string_view suffix) {
  return options.has_one_client_id ? options.client_id : options.client_id + std::string(suffix);
}

/// What wakes the forward thread.
struct Forwarder::Signal {
  void raise(bool& flag) {
    const std::lock_guard lock(mutex);
    flag = true;
    is_raised = true;
    changed.notify_one();
  }

  std::mutex mutex;
  std::condition_variable changed;
  bool is_raised = false;
  bool has_stored = false;
  bool has_link_events = false;
  bool is_stop_asked = false;
  std::int64_t stop_deadline_us = 0;
};

Result<std::unique_ptr<Forwarder>> Forwarder::make(const ForwardOptions& options,
                                                   buffer::Store& store, const Clock& clock) {
  if (options.brokers.empty()) return Error{Errc::invalid, "no broker is given"};
  auto encoder = MessageEncoder::make({options.prefix, options.device, store.epoch(), options.topic,
                                       options.compression, options.format, options.tags});
  if (!encoder) return encoder.error();
  return std::unique_ptr<Forwarder>(
      new Forwarder(options, store, clock, std::move(encoder).value()));
}

Forwarder::Forwarder(const ForwardOptions& options, buffer::Store& store, const Clock& clock,
                     MessageEncoder encoder)
    : options_(options),
      store_(store),
      clock_(clock),
      signal_(std::make_shared<Signal>()),
      encoder_(std::move(encoder)),
      link_(clock, [signal = signal_] { signal->raise(signal->has_link_events); }),
      certificate_watch_(clock, options.tls.cert),
      brain_(brain_settings(options)) {
  stats_.broker = options_.brokers.front().url;
  runs_.resize(options_.receivers.size());
  for (const std::string& name : options_.receivers) stats_.receivers.push_back({name});
}

Forwarder::~Forwarder() {
  request_stop(std::chrono::milliseconds(0));
  join();
}

void Forwarder::on_change(std::function<void(const UpstreamChange&)> callback) {
  on_change_ = std::move(callback);
}

void Forwarder::start() {
  store_.on_stored([signal = signal_] { signal->raise(signal->has_stored); });
  thread_ = std::thread([this] { run(); });
}

void Forwarder::request_stop(std::chrono::milliseconds within) {
  {
    const std::lock_guard lock(signal_->mutex);
    if (!signal_->is_stop_asked) {
      signal_->stop_deadline_us = clock_.steady_us() + std::chrono::microseconds(within).count();
    }
  }
  signal_->raise(signal_->is_stop_asked);
}

void Forwarder::join() {
  if (thread_.joinable()) thread_.join();
}

ForwardStats Forwarder::stats() const {
  const std::lock_guard lock(stats_mutex_);
  return stats_;
}

void Forwarder::run() {
  ::pthread_setname_np(::pthread_self(), "forward");
  if (options_.tls.is_insecure) {
    log_.warn(
        "event=tls_insecure text=\"certificate and host name of the broker are not checked\"");
  }
  while (!brain_.is_finished()) {
    wait();
    bool has_stored = false;
    bool is_stop_asked = false;
    std::int64_t stop_deadline_us = 0;
    {
      const std::lock_guard lock(signal_->mutex);
      has_stored = std::exchange(signal_->has_stored, false);
      is_stop_asked = signal_->is_stop_asked;
      stop_deadline_us = signal_->stop_deadline_us;
      signal_->is_raised = false;
    }
    // Acknowledgements come first: a timeout is judged only after what has arrived.
    for (LinkEvent& event : link_.take_events()) handle(event);
    check_store();
    watch_certificate();
    if (has_stored) step(Stored{});
    if (is_stop_asked) step(StopAsked{stop_deadline_us});
    step(Tick{});
  }
  link_.close(close_time, false);
  const std::lock_guard lock(stats_mutex_);
  stats_.state = ForwardStats::State::stopped;
  stats_.connected_since_unix_us = 0;
}

void Forwarder::wait() {
  const std::int64_t at_us =
      std::min({brain_.wake_at_us(), link_.wake_at_us(), certificate_watch_.wake_at_us()});
  const std::int64_t wait_us =
      std::clamp<std::int64_t>(at_us - clock_.steady_us(), 0, 3'600'000'000);
  std::unique_lock lock(signal_->mutex);
  signal_->changed.wait_for(lock, std::chrono::microseconds(wait_us),
                            [this] { return signal_->is_raised; });
}

void Forwarder::step(Event event) {
  pending_.push_back(std::move(event));
  while (!pending_.empty()) {
    const Event next = std::move(pending_.front());
    pending_.pop_front();
    actions_.clear();
    brain_.step(clock_.steady_us(), next, actions_);
    for (const Action& action : actions_) {
      std::visit([this](const auto& wanted) { perform(wanted); }, action);
    }
  }
}

void Forwarder::handle(LinkEvent& event) {
  switch (event.kind) {
    case LinkEvent::Kind::up:
      limits_ = event.limits;
      step(LinkUp{event.connection, event.limits});
      subscribe_to_receivers();
      break;
    case LinkEvent::Kind::message: take_receiver_ack(event); break;
    case LinkEvent::Kind::not_subscribed:
      set_error("the broker refuses to tell what receivers have: " + event.text);
      log_.warn("event=receivers_refused reason={} text=\"nothing can be verified\"",
                penstock::quoted(event.text));
      break;
    case LinkEvent::Kind::down:
      trouble_ = std::move(event.text);
      step(LinkDown{event.connection, event.stage, event.version_refused, event.reason_code});
      break;
    case LinkEvent::Kind::acknowledged:
      step(Acknowledged{event.connection, event.message, event.reason_code, event.steady_us});
      break;
  }
}

void Forwarder::check_store() {
  const std::uint64_t generation = store_.generation();
  if (generation == generation_) return;
  generation_ = generation;
  fetched_parked_.reset();
  if (const auto streams = store_.stream_stats()) continuity_.begin(*streams);
  auto encoder = MessageEncoder::make(message_settings());
  if (encoder) encoder_ = std::move(encoder).value();
  const std::vector<std::uint32_t> parked = store_.parking()->streams();
  std::map<std::uint32_t, std::string> known;
  known.swap(parked_);
  for (const std::uint32_t stream : parked) {
    const auto at = known.find(stream);
    parked_[stream] = at == known.end() ? "refused before the start" : at->second;
  }
  count_parked();
  step(StoreChanged{generation, parked});
}

MessageSettings Forwarder::message_settings() const {
  return {options_.prefix,      options_.device, store_.epoch(), options_.topic,
          options_.compression, options_.format, options_.tags};
}

void Forwarder::perform(const Connect& action) {
  const config::BrokerAddress& broker = options_.brokers[action.broker];
  {
    const std::lock_guard lock(stats_mutex_);
    stats_.state = ForwardStats::State::connecting;
    stats_.broker = broker.url;
    stats_.protocol = action.protocol;
    stats_.connections = action.connection;
  }
  ConnectOptions connect;
  connect.broker = broker;
  connect.protocol = action.protocol;
  connect.client_id = options_.client_id;
  connect.tls = options_.tls;
  if (options_.tells_status) {
    connect.will = {encoder_.status_topic(), status_payload(false, action.connection)};
  }
  connect.qos = options_.qos;
  connect.packet_bytes_max = options_.packet_bytes_max;
  connect.keep_alive = options_.keep_alive;
  connect.timeout = options_.connect_timeout;
  if (options_.credentials) {
    Result<Credentials> credentials = options_.credentials();
    if (!credentials) return fail_link(action.connection, credentials.error().text);
    connect.user = std::move(credentials->user);
    connect.password = std::move(credentials->password);
    connect.tls.key_password = std::move(credentials->key_password);
  }
  link_.open(action.connection, connect, std::clamp<std::uint32_t>(options_.in_flight_max, 1, 64));
}

void Forwarder::fail_link(std::uint64_t connection, std::string text) {
  trouble_ = std::move(text);
  pending_.push_back(LinkDown{connection, Stage::resolve, false});
}

void Forwarder::perform(const Disconnect& action) { link_.close(close_time, action.says_goodbye); }

void Forwarder::perform(const PublishStatus& action) {
  OutgoingMessage status;
  status.topic = encoder_.status_topic();
  status.payload = status_payload(action.is_online, action.connection);
  status.is_retained = true;
  status.content_type = "application/json";
  const auto published = link_.publish(action.message, std::move(status));
  if (!published) fail_link(action.connection, published.error().text);
}

std::string Forwarder::status_payload(bool is_online, std::uint64_t connection) const {
  std::string out = fmt::format("{{\"online\":{},\"version\":", is_online);
  append_json_string(out, options_.version);
  out += ",\"boot\":";
  append_json_string(out, options_.boot);
  out += fmt::format(",\"conn\":{},\"epoch\":", connection);
  append_json_string(out, encoder_.epoch());
  out += '}';
  return out;
}

}  // namespace penstock::forward
