// What a receiver with --ack tells agents: which numbers it keeps. docs/wire-format.md has the
// rule.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "agent/cli/receiver_rule.hpp"

namespace penstock::cli {

/// What agents say of themselves, which --ack has to hear.
std::string status_filter(std::string_view prefix);

/// The level behind `prefix`; "": it is not one of its topics.
std::string_view device_of(std::string_view prefix, std::string_view topic);

struct AckMessage {
  std::string topic;
  std::string payload;
};

/// Of one broker: knows for each device the epoch that its agent counts in. Thread: owner only.
class AckPublisher {
 public:
  /// name: of the receiver.
  AckPublisher(std::string prefix, std::string name);

  /// A broker that does not know our session may have dropped something: then a new run begins. All
  /// is to be published again.
  void subscribed(bool session_present);
  /// Any batch, repeats too, from any broker: an agent that sends again waits for an answer, and
  /// may come here next.
  void take_batch(std::string_view topic, std::string_view epoch);
  /// From this broker; true: it is a status message with news.
  bool take_status(std::string_view topic, std::string_view payload);

  bool is_due() const;
  /// What is to be published now, of what the rule covers, which must be on disk.
  std::vector<AckMessage> take_due(const std::vector<ReceiverRule::Covered>& covered);

 private:
  struct Device {
    std::string epoch;
    bool is_due = true;
  };

  std::string prefix_;
  std::string name_;
  std::string run_;
  std::map<std::string, Device, std::less<>> devices_;
};

}  // namespace penstock::cli
