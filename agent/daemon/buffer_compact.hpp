// Gives the free space in a buffer's file back, for `buffer compact`.
#pragma once

#include "agent/daemon/buffer_commands.hpp"
#include "agent/daemon/control.hpp"
#include "agent/daemon/line_sink.hpp"
#include "buffer/store.hpp"

namespace penstock::daemon {

/// Writes one object: dry_run, bytes_before, bytes_after. Without request.apply nothing changes,
/// and bytes_after is the most that the data need. exit_try_again: an agent is using the buffer,
/// whose commits would have to wait. Thread: any, one at a time.
Answer compact_buffer(const ControlRequest& request, buffer::Store& store, const BufferFacts& facts,
                      LineSink& sink);

}  // namespace penstock::daemon
