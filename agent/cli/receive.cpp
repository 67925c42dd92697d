#include "agent/cli/receive.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <memory>
#include <optional>
#include <random>

#include "agent/base/clock.hpp"
#include "agent/base/log.hpp"
#include "agent/base/unique_fd.hpp"
#include "agent/cli/receive_ack.hpp"
#include "agent/cli/receive_formats.hpp"
#include "agent/cli/receive_link.hpp"
#include "agent/cli/receive_payload.hpp"
#include "agent/cli/receive_report.hpp"
#include "agent/cli/receive_setup.hpp"
#include "agent/cli/receive_state.hpp"
#include "agent/cli/receiver_rule.hpp"
#include "agent/daemon/exit_code.hpp"
#include "agent/forward/receiver_ack.hpp"

namespace penstock::cli {
namespace {

using std::chrono::milliseconds;

constexpr std::string_view event_opening = "{\"time\":";
constexpr std::size_t unpacked_max = std::size_t{64} << 20;
constexpr std::int64_t second_us = 1'000'000;
constexpr milliseconds wait_at_most{100};  // between two looks at the stop signals and the clock

std::atomic<int> stop_signals{0};

extern "C" void on_stop_signal(int number) {
  if (stop_signals.fetch_add(1) > 0) ::_exit(128 + number);
}

void catch_stop_signals() {
  struct sigaction action {};
  action.sa_handler = &on_stop_signal;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  struct sigaction hang_up {};  // ignored under nohup
  if (::sigaction(SIGHUP, nullptr, &hang_up) == 0 && hang_up.sa_handler != SIG_IGN) {
    ::sigaction(SIGHUP, &action, nullptr);
  }
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
        started_us_(clock.steady_us()) {}

  int run();

 private:
  bool prepare();
  bool has_state_alone();
  Result<void> load();
  void start_links();
  void receive_until_done();
  bool is_done() const;
  void receive_some();
  void disconnect();
  void take_news(const LinkNews& news);
  void take(const LinkNews& news);
  void take_event(const ReceivedEvent& event);
  void flush();
  void house_keeping();
  void report_gaps(const std::vector<Gap>& gaps);
  void save();
  void tell_agents();
  bool acks() const { return !options_.ack_name.empty(); }
  void fail(int exit_code, std::string_view text);
  int exit_code() const;
  Reporter::Sums sums() const;

  const ReceiveOptions& options_;
  const Clock& clock_;
  ReceiverRule rule_;
  Reporter reporter_;
  LineWriter output_;
  std::vector<BrokerLink::Settings> link_settings_;
  std::string client_id_;
  UniqueFd state_lock_;

  std::vector<ReceivedEvent> events_;  // of the present message; kept for its memory
  PayloadReader payloads_{unpacked_max};
  std::uint64_t undecodable_ = 0;
  std::uint64_t other_ = 0;

  bool was_connected_ = false;
  bool is_reader_gone_ = false;
  bool is_saved_ = true;
  int failure_ = 0;  // exit code of what ended the run
  std::int64_t started_us_;
  std::int64_t checked_us_ = 0;
  std::int64_t told_us_ = 0;

  struct Broker {
    std::string url;
    AckPublisher acks;
    std::unique_ptr<BrokerLink> link;
  };
  NewsQueue news_;
  std::vector<Broker> brokers_;  // last: their threads use the queue
};

int Receiver::run() {
  if (!prepare()) return failure_;
  start_links();
  receive_until_done();
  disconnect();
  report_gaps(rule_.finish());
  save();
  const int code = exit_code();
  reporter_.summary(sums(), code);
  return code;
}

bool Receiver::prepare() {
  Result<std::vector<forward::SubscriptionOptions>> links = links_of(options_);
  if (!links.ok()) {
    fail(links.error().code == Errc::invalid ? daemon::exit_usage : daemon::exit_io,
         links.error().text);
    return false;
  }
  if (!options_.state_file.empty() && !has_state_alone()) return false;
  const Result<void> loaded = load();
  if (!loaded.ok()) {
    const bool is_damaged = loaded.error().code == Errc::corrupt;
    fail(is_damaged ? daemon::exit_data : daemon::exit_io, loaded.error().text);
    return false;
  }
  for (std::size_t index = 0; index < links->size(); ++index) {
    forward::SubscriptionOptions& link = (*links)[index];
    link.connect.client_id = client_id_;
    brokers_.push_back(
        {link.connect.broker.url, AckPublisher(options_.prefix, options_.ack_name), nullptr});
    link_settings_.push_back(
        {index, std::move(link), topics_of(options_), has_throwaway_session(options_)});
  }
  is_saved_ = false;  // the client id has to be on disk before a broker keeps a session for it
  save();
  return failure_ == 0;
}

bool Receiver::has_state_alone() {
  Result<std::optional<UniqueFd>> lock = lock_state(options_.state_file);
  if (!lock.ok()) {
    fail(daemon::exit_io, "the state cannot be kept: " + lock.error().text);
  } else if (!lock->has_value()) {
    fail(daemon::exit_try_again, "another receiver uses the state file " +
                                     penstock::quoted(options_.state_file) +
                                     ": each needs one of its own");
  } else {
    state_lock_ = std::move(**lock);
  }
  return failure_ == 0;
}

Result<void> Receiver::load() {
  if (!options_.state_file.empty()) {
    PENSTOCK_TRY(load_state(options_.state_file, rule_, client_id_, clock_.steady_us()));
  }
  if (!options_.client_id.empty()) client_id_ = options_.client_id;
  if (client_id_.empty()) {
    client_id_ = fmt::format("penstock-receive-{:08x}", std::random_device{}());
  }
  return {};
}

void Receiver::start_links() {
  for (BrokerLink::Settings& settings : link_settings_) {
    Broker& broker = brokers_[settings.index];
    broker.link = std::make_unique<BrokerLink>(std::move(settings), news_);
  }
}

void Receiver::receive_until_done() {
  told_us_ = checked_us_ = clock_.steady_us();
  while (!is_done()) {
    receive_some();
    house_keeping();
  }
}

bool Receiver::is_done() const {
  if (stop_signals != 0 || failure_ != 0 || is_reader_gone_) return true;
  if (options_.expect != 0 && rule_.counts().events >= options_.expect) return true;
  return options_.run_for.count() != 0 &&
         clock_.steady_us() - started_us_ >= options_.run_for.count();
}

/// Waits only when nothing is there, and with nothing left unwritten.
void Receiver::receive_some() {
  std::optional<LinkNews> news = news_.pop(milliseconds(0));
  if (!news) {
    flush();
    news = news_.pop(wait_at_most);
  }
  if (news) take_news(*news);
}

void Receiver::take_news(const LinkNews& news) {
  Broker& broker = brokers_[news.link];
  switch (news.kind) {
    case LinkNews::Kind::message: return take(news);
    case LinkNews::Kind::connected:
      reporter_.note(fmt::format("connected: broker={} mqtt={} session={}",
                                 penstock::quoted(broker.url), news.text,
                                 news.session_present ? "resumed" : "new"));
      was_connected_ = true;
      broker.acks.subscribed(news.session_present);
      is_saved_ = false;
      return;
    case LinkNews::Kind::not_connected:
      return reporter_.note(fmt::format("not connected: broker={} error={}; trying again",
                                        penstock::quoted(broker.url), penstock::quoted(news.text)));
    case LinkNews::Kind::login_refused:
      return fail(daemon::exit_permission, fmt::format("{}: {}", broker.url, news.text));
    case LinkNews::Kind::lost:
      return reporter_.note(fmt::format("connection lost: broker={} error={}",
                                        penstock::quoted(broker.url), penstock::quoted(news.text)));
    case LinkNews::Kind::publish_refused: return reporter_.failure(news.text);
    case LinkNews::Kind::ended: broker.link.reset(); return;
  }
}

void Receiver::disconnect() {
  for (const Broker& broker : brokers_) broker.link->request_stop();
  const auto is_ended = [](const Broker& broker) { return broker.link == nullptr; };
  while (!std::all_of(brokers_.begin(), brokers_.end(), is_ended)) receive_some();
  flush();
}

void Receiver::take(const LinkNews& news) {
  const forward::ReceivedMessage& message = news.message;
  if (is_other_message(message)) {
    ++other_;
    const bool is_news =
        acks() && brokers_[news.link].acks.take_status(message.topic, message.payload);
    if (is_news) is_saved_ = false;
    return;
  }
  events_.clear();
  const std::string_view device = device_of(options_.prefix, message.topic);
  const Result<std::string_view> json = payloads_.as_json(message.payload, device);
  const Result<void> read = json.ok() ? read_batch(*json, events_) : Result<void>(json.error());
  if (!read.ok()) {
    ++undecodable_;
    reporter_.undecodable(message.topic, message.payload.size(), read.error().text);
    return;
  }
  for (const ReceivedEvent& event : events_) take_event(event);
  for (Broker& broker : brokers_) {
    if (acks()) broker.acks.take_batch(message.topic, events_.front().identity.epoch);
  }
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
  if (acks() && ::fdatasync(STDOUT_FILENO) != 0 && errno != EINVAL && errno != EROFS) {
    return fail(daemon::exit_io, errno_error("stdout cannot be synced").text);
  }
  const Result<void> saved = save_state(options_.state_file, rule_, client_id_);
  is_saved_ = true;
  if (!saved.ok()) return fail(daemon::exit_io, "the state cannot be kept: " + saved.error().text);
  if (acks()) tell_agents();
}

void Receiver::tell_agents() {
  const auto is_due = [](const Broker& broker) { return broker.acks.is_due(); };
  if (std::none_of(brokers_.begin(), brokers_.end(), is_due)) return;
  std::vector<ReceiverRule::Covered> covered;
  rule_.covered(forward::receiver_ack_ranges_max, covered);
  for (Broker& broker : brokers_) {
    for (AckMessage& message : broker.acks.take_due(covered)) {
      if (broker.link) broker.link->publish(message.topic, std::move(message.payload));
    }
  }
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
