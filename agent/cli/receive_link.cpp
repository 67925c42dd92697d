#include "agent/cli/receive_link.hpp"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include "agent/base/log.hpp"
#include "agent/daemon/backoff.hpp"

namespace penstock::cli {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t news_max = 64;
constexpr milliseconds wait_at_most{100};  // between two looks at what is to be published
constexpr milliseconds close_time_max{1'000};
constexpr std::chrono::seconds short_life_max{5};
constexpr std::uint32_t short_lives_odd = 3;

}  // namespace

void NewsQueue::push(LinkNews news) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return news_.size() < news_max; });
  news_.push_back(std::move(news));
  changed_.notify_all();
}

std::optional<LinkNews> NewsQueue::pop(milliseconds timeout) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, timeout, [this] { return !news_.empty(); })) return {};
  std::optional<LinkNews> news = std::move(news_.front());
  news_.pop_front();
  changed_.notify_all();
  return news;
}

BrokerLink::BrokerLink(Settings settings, NewsQueue& queue)
    : settings_(std::move(settings)),
      queue_(queue),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

void BrokerLink::publish(const std::string& topic, std::string payload) {
  const std::lock_guard lock(mutex_);
  if (is_connected_) waiting_[topic] = std::move(payload);
}

void BrokerLink::run(const std::stop_token& stop) {
  ::pthread_setname_np(::pthread_self(), "broker");
  bool has_session = false;
  while (!stop.stop_requested()) {
    has_session = connect(stop);
    if (!has_session) {
      wait_before_next_try(stop);
      continue;
    }
    converse(stop);
    has_session = subscription_.is_connected();
    if (short_lives_ != 0) wait_before_next_try(stop);
  }
  finish(has_session);
  tell(LinkNews::Kind::ended);
}

bool BrokerLink::connect(const std::stop_token& stop) {
  const Result<forward::Limits> limits = subscription_.connect(settings_.options, stop);
  const Result<void> subscribed =
      limits.ok() ? subscription_.subscribe(settings_.topics, stop) : Result<void>(limits.error());
  if (!subscribed.ok() && stop.stop_requested()) return false;
  if (subscribed.ok()) {
    was_connected_ = true;
    failed_tries_ = 0;
    set_connected(true);
    tell(LinkNews::Kind::connected, std::string(forward::to_string(limits->protocol)),
         limits->session_present);
    return true;
  }
  const bool is_first_failure = failed_tries_++ == 0;
  if (subscribed.error().code == Errc::invalid && !was_connected_) {
    tell(LinkNews::Kind::login_refused, subscribed.error().text);
  } else if (is_first_failure) {
    tell(LinkNews::Kind::not_connected, subscribed.error().text);
  }
  return false;
}

void BrokerLink::converse(const std::stop_token& stop) {
  const auto began = std::chrono::steady_clock::now();
  while (!stop.stop_requested()) {
    publish_waiting(stop);
    Result<std::optional<forward::ReceivedMessage>> next = subscription_.next_message(wait_at_most);
    if (!next.ok()) {
      set_connected(false);
      return tell_lost(next.error().text, std::chrono::steady_clock::now() - began);
    }
    if (next.value().has_value()) hand_out(std::move(**next));
  }
  short_lives_ = 0;
}

/// Two clients with one id end each other's connection, for ever, and brokers rarely say so.
void BrokerLink::tell_lost(std::string text, std::chrono::steady_clock::duration life) {
  short_lives_ = life < short_life_max ? short_lives_ + 1 : 0;
  if (short_lives_ >= short_lives_odd) {
    text += "; soon after connecting, again and again: does another client use the id " +
            penstock::quoted(settings_.options.connect.client_id) + "?";
  }
  tell(LinkNews::Kind::lost, std::move(text));
}

void BrokerLink::publish_waiting(const std::stop_token& stop) {
  std::map<std::string, std::string> taken;
  {
    const std::lock_guard lock(mutex_);
    taken.swap(waiting_);
  }
  while (!taken.empty()) {
    const auto& [topic, payload] = *taken.begin();
    const Result<void> done = subscription_.publish_retained(topic, payload, stop);
    if (!done.ok() && done.error().code != Errc::invalid) break;
    if (!done.ok() && !std::exchange(is_refusal_told_, true)) {
      tell(LinkNews::Kind::publish_refused, done.error().text);
    }
    taken.erase(taken.begin());
  }
  const std::lock_guard lock(mutex_);
  waiting_.merge(taken);  // what came meanwhile is newer and stays
}

void BrokerLink::wait_before_next_try(const std::stop_token& stop) {
  const daemon::Backoff backoff{milliseconds(250), std::chrono::seconds(2)};
  const double chance = std::uniform_real_distribution<double>()(random_);
  std::unique_lock lock(mutex_);
  stopped_.wait_for(lock, stop, backoff.delay(std::max(failed_tries_, short_lives_), chance),
                    [] { return false; });
}

/// What came before the end counts: the broker was told that we have it.
void BrokerLink::finish(bool has_session) {
  set_connected(false);
  subscription_.close(close_time_max);
  for (;;) {
    auto next = subscription_.next_message(milliseconds(0));
    if (!next.ok() || !next.value().has_value()) break;
    hand_out(std::move(**next));
  }
  if (!has_session || !settings_.forgets_session) return;
  forward::SubscriptionOptions clean = settings_.options;
  clean.is_persistent = false;  // a clean start makes the broker forget the session
  if (subscription_.connect(clean).ok()) subscription_.close(close_time_max);
}

void BrokerLink::tell(LinkNews::Kind kind, std::string text, bool session_present) {
  queue_.push({settings_.index, kind, std::move(text), session_present, {}});
}

void BrokerLink::hand_out(forward::ReceivedMessage message) {
  queue_.push({settings_.index, LinkNews::Kind::message, {}, false, std::move(message)});
}

void BrokerLink::set_connected(bool is_connected) {
  const std::lock_guard lock(mutex_);
  is_connected_ = is_connected;
  waiting_.clear();
}

}  // namespace penstock::cli
