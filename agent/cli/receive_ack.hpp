// What a receiver with --ack tells agents: which numbers it keeps. docs/wire-format.md has the
// rule.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "agent/cli/receiver_rule.hpp"
#include "agent/forward/mqtt_subscription.hpp"

namespace penstock::cli {

/// Knows for each device the epoch that its agent counts in. Thread: owner only.
class AckPublisher {
 public:
  /// name: of the receiver; "": nothing is ever published.
  AckPublisher(std::string prefix, std::string name);

  bool is_used() const { return !name_.empty(); }
  std::string status_filter() const { return prefix_ + "/+/status"; }
  /// A broker that does not know our session may have dropped something: then a new run begins. All
  /// is to be published again.
  void subscribed(bool session_present);
  /// Any batch, repeats too: an agent that sends again waits for an answer.
  void take_batch(std::string_view topic, std::string_view epoch);
  /// true: it is a status message with news.
  bool take_status(std::string_view topic, std::string_view payload);
  /// What the rule covers must be on disk. Stops where the broker does not answer; the rest stays
  /// to be done. invalid: it refuses a topic; said once, and tried again with the next batch.
  Result<void> publish(const ReceiverRule& rule, forward::Subscription& subscription);

 private:
  struct Device {
    std::string epoch;
    bool is_due = true;
  };
  std::string_view device_of(std::string_view topic) const;

  std::string prefix_;
  std::string name_;
  std::string run_;
  bool is_refusal_told_ = false;
  std::map<std::string, Device, std::less<>> devices_;
};

}  // namespace penstock::cli
