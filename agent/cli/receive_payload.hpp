// Reads batches of the wire contract: cuts the array into its events and finds who they are.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.hpp"
#include "agent/cli/receiver_rule.hpp"

namespace penstock::cli {

/// One event of a batch. The views point into the payload.
struct ReceivedEvent {
  std::string_view text;   ///< the object, exactly as it came
  EventIdentity identity;  ///< names as written, escapes included; hash of `text`
};

/// Appends the events of `payload` (JSON array, no white space, flat objects that open with time,
/// device, stream, epoch, seq) to `out`. invalid: says what is wrong at which byte; `out` is
/// unchanged, so a batch counts whole or not at all. Thread: any.
Result<void> read_batch(std::string_view payload, std::vector<ReceivedEvent>& out);

}  // namespace penstock::cli
