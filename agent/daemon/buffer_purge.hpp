// Takes stored batches out on a person's word, for `buffer purge`; loss records tell of them.
#pragma once

#include "agent/daemon/control.hpp"
#include "agent/daemon/line_sink.hpp"
#include "buffer/store.hpp"

namespace penstock::daemon {

/// Batches whose events are all chosen become loss records with the reason `purged`, unless the
/// forwarder has them in hand. Without request.apply it only counts. Writes one object:
///   dry_run, rows, events, bytes, kept_rows, streams: [{stream, rows, events, bytes, first_seq,
///   last_seq}]
/// Ended early, it leaves a part purged and the account right. Thread: any, one at a time.
Answer purge_events(const ControlRequest& request, buffer::Store& store, LineSink& sink);

}  // namespace penstock::daemon
