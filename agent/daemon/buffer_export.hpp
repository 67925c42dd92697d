// Writes stored events, loss records in their place, for `buffer export` and `buffer peek`.
#pragma once

#include "agent/daemon/control.hpp"
#include "agent/daemon/line_sink.hpp"
#include "buffer/store.hpp"

namespace penstock::daemon {

/// One event per line, exactly as it is sent, in the order of storing. exit_data if damaged batches
/// had to be written as loss records. Thread: any.
Answer export_events(const ControlRequest& request, buffer::Store& store, LineSink& sink);

}  // namespace penstock::daemon
