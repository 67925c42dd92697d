#include "agent/daemon/buffer_compact.hpp"

#include <algorithm>

#include "agent/daemon/exit_code.hpp"
#include "agent/daemon/json_line.hpp"

namespace penstock::daemon {
namespace {

Answer tell(LineSink& sink, bool is_dry_run, std::uint64_t before, std::uint64_t after) {
  JsonLine json;
  json.boolean("dry_run", is_dry_run).number("bytes_before", before).number("bytes_after", after);
  sink.line(json.take());
  return {};
}

}  // namespace

Answer compact_buffer(const ControlRequest& request, buffer::Store& store, const BufferFacts& facts,
                      LineSink& sink) {
  if (!request.apply) {
    const buffer::StoreStats stats = store.stats();
    return tell(sink, true, stats.file_bytes, std::min(stats.live_bytes, stats.file_bytes));
  }
  if (facts.is_in_use) {
    return {
        exit_try_again,
        "an agent is using the buffer, and its commits would have to wait for the copy: stop it "
        "first (without buffer.preallocate it gives space back by itself once the backlog is "
        "sent)"};
  }
  const auto done = store.compact(
      [&sink](std::uint64_t rows, std::uint64_t total) { sink.progress(rows, total); });
  if (!done.ok()) {
    return {done.error().code == Errc::corrupt ? exit_data : exit_io, done.error().text};
  }
  return tell(sink, false, done->bytes_before, done->bytes_after);
}

}  // namespace penstock::daemon
