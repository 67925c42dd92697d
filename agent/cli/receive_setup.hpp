// What `penstock receive` connects to and listens for, from its command line.
#pragma once

#include <string>
#include <vector>

#include "agent/base/result.hpp"
#include "agent/cli/receive.hpp"
#include "agent/forward/mqtt_subscription.hpp"

namespace penstock::cli {

/// How to connect to each broker, without client id. invalid: an option that cannot be used.
/// unavailable: the password cannot be read.
Result<std::vector<forward::SubscriptionOptions>> links_of(const ReceiveOptions& options);

/// The topic filters: those given or those of data, and what --ack has to hear besides.
std::vector<std::string> topics_of(const ReceiveOptions& options);

/// Neither client id nor state: the session is of no use to a later run.
bool has_throwaway_session(const ReceiveOptions& options);

}  // namespace penstock::cli
