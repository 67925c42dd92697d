#include "agent/cli/receive.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <optional>
#include <random>

#include "agent/base/clock.hpp"
#include "agent/base/log.hpp"
#include "agent/cli/receive_ack.hpp"
#include "agent/cli/receive_formats.hpp"
#include "agent/cli/receive_payload.hpp"
#include "agent/cli/receive_report.hpp"
#include "agent/cli/receive_state.hpp"
#include "agent/cli/receiver_rule.hpp"
#include "agent/daemon/backoff.hpp"
#include "agent/daemon/exit_code.hpp"
#include "agent/forward/mqtt_subscription.hpp"
#include "config/checks.hpp"

namespace penstock::cli {
namespace {

using std::chrono::milliseconds;

constexpr std::string_view event_opening = "{\"time\":";
constexpr std::size_t unpacked_max = std::size_t{64} << 20;
constexpr std::int64_t second_us = 1'000'000;
constexpr milliseconds wait_at_most{100};  // between two looks at the stop signals and the clock
constexpr std::uint32_t throwaway_session_expiry_s = 3600;

std::atomic<int> stop_signals{0};

extern "C" void on_stop_signal(int number) {
  if (stop_signals.fetch_add(1) > 0) ::_exit(128 + number);
}

void catch_stop_signals() {
  struct sigaction action {};
  action.sa_handler = &on_stop_signal;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  action.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &action, nullptr);
}

/// Status and acknowledgement messages, in case the filters let them in.
bool is_other_message(const forward::ReceivedMessage& message) {
  const std::string_view topic = message.topic;
  const std::size_t last = topic.rfind('/');
  const bool is_status = last != std::string_view::npos && topic.substr(last) == "/status";
  const std::string_view payload = message.payload;
  const bool is_json_lines = payload.substr(0, event_opening.size()) == event_opening;
  const bool is_batch = !payload.empty() && (payload.front() != '{' || is_json_lines);
  return !is_batch && (is_status || topic.find("/ack/") != std::string_view::npos);
}

/// One run of the command. Thread: owner only.
class Receiver {
 public:
  Receiver(const ReceiveOptions& options, const Clock& clock)
      : options_(options),
        clock_(clock),
        rule_({.from_start = options.from_start, .gap_after_us = options.gap_after.count()}),
        reporter_({.is_json = options.is_json, .is_quiet = options.is_quiet}),
        output_(STDOUT_FILENO),
        acks_(options.prefix, options.ack_name),
        started_us_(clock.steady_us()) {}

  int run();

 private:
  bool prepare();
  bool read_password();
  void receive_until_done();
  bool is_done() const;
  void connect();
  void wait_before_next_try();
  void receive_some();
  void disconnect();
  void take(const forward::ReceivedMessage& message);
  void take_event(const ReceivedEvent& event);
  void flush();
  void house_keeping();
  void report_gaps(const std::vector<Gap>& gaps);
  void save();
  void fail(int exit_code, std::string_view text);
  int exit_code() const;
  Reporter::Sums sums() const;

  const ReceiveOptions& options_;
  const Clock& clock_;
  ReceiverRule rule_;
  Reporter reporter_;
  LineWriter output_;
  AckPublisher acks_;
  forward::Subscription subscription_;
  forward::SubscriptionOptions link_;
  std::vector<std::string> topics_;

  std::vector<ReceivedEvent> events_;  // of the present message; kept for its memory
  PayloadReader payloads_{unpacked_max};
  std::uint64_t undecodable_ = 0;
  std::uint64_t other_ = 0;

  bool is_connected_ = false;
  bool was_connected_ = false;
  bool is_reader_gone_ = false;
  bool is_saved_ = true;
  int failure_ = 0;  // exit code of what ended the run
  std::uint32_t failed_tries_ = 0;
  std::minstd_rand random_{std::random_device{}()};
  std::int64_t started_us_;
  std::int64_t checked_us_ = 0;
  std::int64_t told_us_ = 0;
};

int Receiver::run() {
  if (!prepare()) return failure_;
  receive_until_done();
  disconnect();
  report_gaps(rule_.finish());
  save();
  const int code = exit_code();
  reporter_.summary(sums(), code);
  return code;
}

bool Receiver::prepare() {
  const Result<config::BrokerAddress> broker = config::parse_broker(options_.broker_url);
  if (!broker.ok()) {
    fail(daemon::exit_usage, broker.error().text);
    return false;
  }
  if (broker->is_websocket()) {
    // Paho C 1.3.12 loses the connection when several messages arrive together.
    fail(daemon::exit_usage, "receive cannot use a WebSocket: write mqtt:// or mqtts://");
    return false;
  }
  link_.connect.broker = broker.value();
  link_.connect.user = options_.user;
  link_.connect.tls = {options_.ca_file, options_.cert_file, options_.key_file,
                       options_.is_insecure};
  link_.connect.timeout = std::chrono::seconds(5);
  link_.is_persistent = true;
  topics_ = options_.topics;
  if (topics_.empty()) {
    for (const char* kind : {"data", "zstd", "gzip"}) {
      topics_.push_back(fmt::format("{}/+/{}/#", options_.prefix, kind));
    }
  }
  if (acks_.is_used()) {
    if (options_.state_file.empty() || !config::is_connector_name(options_.ack_name)) {
      fail(daemon::exit_usage, options_.state_file.empty()
                                   ? "--ack needs --state: what was told to agents must be kept"
                                   : "--ack takes a name of a-z 0-9 _ -, as the agents have it");
      return false;
    }
    topics_.push_back(acks_.status_filter());
  }

  const auto is_control = [](unsigned char c) { return std::iscntrl(c) != 0; };
  if (std::any_of(options_.client_id.begin(), options_.client_id.end(), is_control)) {
    fail(daemon::exit_usage, "the client id holds a control character");
    return false;
  }
  if (!options_.state_file.empty()) {
    const Result<void> loaded =
        load_state(options_.state_file, rule_, link_.connect.client_id, clock_.steady_us());
    if (!loaded.ok()) {
      const bool is_damaged = loaded.error().code == Errc::corrupt;
      fail(is_damaged ? daemon::exit_data : daemon::exit_io, loaded.error().text);
      return false;
    }
  }
  if (!options_.client_id.empty()) link_.connect.client_id = options_.client_id;
  if (link_.connect.client_id.empty()) {
    link_.connect.client_id = fmt::format("penstock-receive-{:08x}", std::random_device{}());
  }
  const bool is_throwaway = options_.client_id.empty() && options_.state_file.empty();
  if (is_throwaway) link_.session_expiry_s = throwaway_session_expiry_s;
  if (!read_password()) return false;
  is_saved_ = false;  // the client id has to be on disk before the broker keeps a session for it
  save();
  return failure_ == 0;
}

bool Receiver::read_password() {
  if (options_.password_file.empty()) return true;
  std::ifstream file(options_.password_file);
  if (std::getline(file, link_.connect.password)) return true;
  fail(daemon::exit_io,
       fmt::format("cannot read a password from {}", penstock::quoted(options_.password_file)));
  return false;
}

void Receiver::receive_until_done() {
  told_us_ = checked_us_ = clock_.steady_us();
  while (!is_done()) {
    if (!is_connected_) connect();
    if (is_connected_) {
      receive_some();
    } else {
      wait_before_next_try();
    }
    house_keeping();
  }
}

bool Receiver::is_done() const {
  if (stop_signals != 0 || failure_ != 0 || is_reader_gone_) return true;
  if (options_.expect != 0 && rule_.counts().events >= options_.expect) return true;
  return options_.run_for.count() != 0 &&
         clock_.steady_us() - started_us_ >= options_.run_for.count();
}

void Receiver::connect() {
  const Result<forward::Limits> limits = subscription_.connect(link_);
  const Result<void> subscribed =
      limits.ok() ? subscription_.subscribe(topics_) : Result<void>(limits.error());
  if (subscribed.ok()) {
    reporter_.note(fmt::format("connected: broker={} mqtt={} session={}",
                               penstock::quoted(link_.connect.broker.url),
                               forward::to_string(limits.value().protocol),
                               limits.value().session_present ? "resumed" : "new"));
    is_connected_ = was_connected_ = true;
    failed_tries_ = 0;
    acks_.subscribed(limits.value().session_present);
    is_saved_ = false;
    return;
  }
  if (subscribed.error().code == Errc::invalid && !was_connected_) {
    fail(daemon::exit_permission, subscribed.error().text);
    return;
  }
  if (failed_tries_++ == 0) {
    reporter_.note(fmt::format("not connected: broker={} error={}; trying again",
                               penstock::quoted(link_.connect.broker.url),
                               penstock::quoted(subscribed.error().text)));
  }
}

void Receiver::wait_before_next_try() {
  const daemon::Backoff backoff{milliseconds(250), std::chrono::seconds(2)};
  const double chance = std::uniform_real_distribution<double>()(random_);
  const std::int64_t until_us = clock_.steady_us() + backoff.delay(failed_tries_, chance).count();
  while (!is_done() && clock_.steady_us() < until_us) {
    ::usleep(static_cast<useconds_t>(wait_at_most / std::chrono::microseconds(1)));
    house_keeping();
  }
}

/// Waits only when nothing is there, and with nothing left unwritten.
void Receiver::receive_some() {
  Result<std::optional<forward::ReceivedMessage>> next =
      subscription_.next_message(milliseconds(0));
  if (next.ok() && !next.value().has_value()) {
    flush();
    next = subscription_.next_message(wait_at_most);
  }
  if (!next.ok()) {
    reporter_.note(fmt::format("connection lost: {}", penstock::quoted(next.error().text)));
    is_connected_ = false;
  } else if (next.value().has_value()) {
    take(*next.value());
  }
}

/// What came before the end counts: the broker was told that we have it.
void Receiver::disconnect() {
  const bool is_throwaway = options_.client_id.empty() && options_.state_file.empty();
  const bool has_session = is_connected_;
  subscription_.close(std::chrono::seconds(1));
  while (has_session) {
    const auto next = subscription_.next_message(milliseconds(0));
    if (!next.ok() || !next.value().has_value()) break;
    take(*next.value());
  }
  flush();
  if (!has_session || !is_throwaway || stop_signals > 1) return;
  link_.is_persistent = false;  // a clean start makes the broker forget the session
  if (subscription_.connect(link_).ok()) subscription_.close(std::chrono::seconds(1));
}

void Receiver::take(const forward::ReceivedMessage& message) {
  if (is_other_message(message)) {
    ++other_;
    if (acks_.is_used() && acks_.take_status(message.topic, message.payload)) is_saved_ = false;
    return;
  }
  events_.clear();
  const Result<std::string_view> json = payloads_.as_json(message.payload);
  const Result<void> read = json.ok() ? read_batch(*json, events_) : Result<void>(json.error());
  if (!read.ok()) {
    ++undecodable_;
    reporter_.undecodable(message.topic, message.payload.size(), read.error().text);
    return;
  }
  for (const ReceivedEvent& event : events_) take_event(event);
  if (acks_.is_used()) acks_.take_batch(message.topic, events_.front().identity.epoch);
  is_saved_ = false;
}

void Receiver::take_event(const ReceivedEvent& event) {
  switch (rule_.take(event.identity, clock_.steady_us())) {
    case Verdict::repeat: return;
    case Verdict::conflict: reporter_.conflict(event.identity); return;
    case Verdict::late:
      if (options_.strict_order) reporter_.late(event.identity);
      break;
    case Verdict::untracked: reporter_.untracked(event.identity); break;
    case Verdict::fresh: break;
  }
  static_cast<void>(output_.line(event.text));  // flush() sees what went wrong
}

void Receiver::flush() {
  const Result<void> written = output_.flush();
  if (written.ok() || is_reader_gone_ || failure_ != 0) return;
  if (written.error().code == Errc::stopped) {
    is_reader_gone_ = true;
  } else {
    fail(daemon::exit_io, written.error().text);
  }
}

void Receiver::house_keeping() {
  const std::int64_t now_us = clock_.steady_us();
  if (now_us - checked_us_ >= second_us) {
    checked_us_ = now_us;
    report_gaps(rule_.find_gaps(now_us));
    save();
  }
  const std::int64_t every_us = options_.summary_every.count();
  if (every_us != 0 && now_us - told_us_ >= every_us) {
    told_us_ = now_us;
    reporter_.progress(sums());
  }
}

void Receiver::report_gaps(const std::vector<Gap>& gaps) {
  for (const Gap& gap : gaps) reporter_.gap(gap);
  if (!gaps.empty()) is_saved_ = false;
}

/// Only what was written counts as received.
void Receiver::save() {
  flush();
  if (options_.state_file.empty() || is_saved_ || is_reader_gone_ || failure_ != 0) return;
  // What agents are told is never to be sent again: it has to outlive this machine's power.
  // EINVAL and EROFS are those of a pipe or a terminal: nothing is there to be synced.
  if (acks_.is_used() && ::fdatasync(STDOUT_FILENO) != 0 && errno != EINVAL && errno != EROFS) {
    return fail(daemon::exit_io, errno_error("stdout cannot be synced").text);
  }
  const Result<void> saved = save_state(options_.state_file, rule_, link_.connect.client_id);
  is_saved_ = true;
  if (!saved.ok()) return fail(daemon::exit_io, saved.error().text);
  if (!acks_.is_used() || !is_connected_) return;
  const Result<void> told = acks_.publish(rule_, subscription_);
  if (!told.ok()) reporter_.failure(told.error().text);
}

void Receiver::fail(int exit_code, std::string_view text) {
  failure_ = exit_code;
  reporter_.failure(text);
}

int Receiver::exit_code() const {
  const ReceiverCounts& counts = rule_.counts();
  if (failure_ != 0) return failure_;
  if (counts.gaps != 0 || counts.conflicts != 0 || counts.untracked != 0) {
    return daemon::exit_finding;
  }
  if (options_.strict_order && counts.late != 0) return daemon::exit_finding;
  if (undecodable_ != 0) return daemon::exit_data;
  if (!was_connected_) return daemon::exit_unavailable;
  if (counts.events < options_.expect && !is_reader_gone_) return daemon::exit_try_again;
  return daemon::exit_ok;
}

Reporter::Sums Receiver::sums() const {
  const auto elapsed_us = static_cast<double>(clock_.steady_us() - started_us_);
  return {rule_.counts(), undecodable_, other_, elapsed_us / static_cast<double>(second_us)};
}

}  // namespace

int receive(const ReceiveOptions& options) {
  catch_stop_signals();
  return Receiver(options, system_clock()).run();
}

}  // namespace penstock::cli
