// BrokerLink: one broker of `penstock receive`, on a thread of its own, so that one that does not
// answer holds up no other. What happens there is told through a queue that all links share.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "agent/base/result.hpp"
#include "agent/forward/mqtt_subscription.hpp"

namespace penstock::cli {

struct LinkNews {
  enum class Kind : std::uint8_t {
    connected,        ///< and subscribed; `text` has the version of MQTT
    not_connected,    ///< `text` says why; told once until it connects
    login_refused,    ///< the same, for good, and it has never been connected
    lost,             ///< `text` says why
    message,          ///< `message`
    publish_refused,  ///< `text` says what and why; told once
    ended,            ///< the last news of a link
  };
  std::size_t link = 0;
  Kind kind = Kind::ended;
  std::string text;
  bool session_present = false;  ///< of `connected`
  forward::ReceivedMessage message;
};

/// In order, bounded: links wait while it is full. Thread: any.
class NewsQueue {
 public:
  void push(LinkNews news);
  std::optional<LinkNews> pop(std::chrono::milliseconds timeout);

 private:
  std::mutex mutex_;  // guards: news_
  std::condition_variable changed_;
  std::deque<LinkNews> news_;
};

/// Connects, subscribes and receives again and again, from its making until stop is asked for; then
/// it hands out what the broker was told that we have, and tells `ended`. Whoever asks for stop has
/// to take news until then.
class BrokerLink {
 public:
  struct Settings {
    std::size_t index = 0;  ///< `link` of its news
    forward::SubscriptionOptions options;
    std::vector<std::string> topics;
    bool forgets_session = false;  ///< the broker is to forget us at the end
  };
  BrokerLink(Settings settings, NewsQueue& queue);

  /// Retained, with QoS 1. Of several that wait for one topic the latest is sent; while there is no
  /// connection none is kept. Thread: any.
  void publish(const std::string& topic, std::string payload);
  void request_stop() { thread_.request_stop(); }

 private:
  void run(const std::stop_token& stop);
  bool connect(const std::stop_token& stop);
  void converse(const std::stop_token& stop);
  void tell_lost(std::string text, std::chrono::steady_clock::duration life);
  void publish_waiting(const std::stop_token& stop);
  void wait_before_next_try(const std::stop_token& stop);
  void finish(bool has_session);
  void tell(LinkNews::Kind kind, std::string text = {}, bool session_present = false);
  void hand_out(forward::ReceivedMessage message);
  void set_connected(bool is_connected);

  const Settings settings_;
  NewsQueue& queue_;
  forward::Subscription subscription_;
  bool was_connected_ = false;
  bool is_refusal_told_ = false;
  std::uint32_t failed_tries_ = 0;
  std::uint32_t short_lives_ = 0;  // connections in a row that ended soon
  std::minstd_rand random_{std::random_device{}()};

  std::mutex mutex_;  // guards: is_connected_, waiting_; and is what the thread waits with
  std::condition_variable_any stopped_;
  bool is_connected_ = false;
  std::map<std::string, std::string> waiting_;  // topic to payload

  std::jthread thread_;  // last: it uses all of the above
};

}  // namespace penstock::cli
