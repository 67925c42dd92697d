#include "agent/daemon/buffer_purge.hpp"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "agent/daemon/exit_code.hpp"
#include "agent/daemon/json_line.hpp"
#include "agent/daemon/row_walk.hpp"
#include "agent/forward/message.hpp"

namespace penstock::daemon {
namespace {

using buffer::Row;
using buffer::RowKind;
using buffer::Store;

constexpr std::size_t rows_per_commit = 1024;
constexpr std::uint64_t rows_per_progress = 64;

struct Sum {
  std::uint64_t rows = 0, events = 0, bytes = 0;
  std::uint64_t first_seq = 0, last_seq = 0;

  void add(const Row& row) {
    if (rows++ == 0) first_seq = row.key.seq;
    events += row.key.count;
    bytes += row.stored.size();
    last_seq = row.key.seq + row.key.count - 1;
  }
};

/// A batch is taken whole or not at all: it is immutable.
bool is_chosen(const EventChoice& choice, const Row& row, const std::string& stream) {
  if (row.kind != RowKind::batch) return false;
  if (!choice.stream.empty() && stream != choice.stream) return false;
  if (row.key.seq < choice.from || row.key.seq + row.key.count - 1 > choice.to) return false;
  if (!choice.has_times()) return true;
  if (row.is_damaged) return false;
  const Result<std::string> content = buffer::content_of(row);
  if (!content.ok()) return false;
  const std::vector<std::string_view> events = forward::split_array(*content);
  return std::all_of(events.begin(), events.end(), [&](std::string_view event) {
    const auto time = time_of_event(event);
    return time && choice.takes_time(*time);
  });
}

void append_figures(JsonLine& json, const Sum& sum) {
  json.number("rows", sum.rows).number("events", sum.events).number("bytes", sum.bytes);
}

std::string report_line(const std::map<std::string, Sum>& streams, const Sum& all,
                        std::uint64_t kept_rows, bool is_dry_run) {
  std::string list = "[";
  for (const auto& [name, sum] : streams) {
    if (list.size() > 1) list += ',';
    JsonLine json;
    json.text("stream", name);
    append_figures(json, sum);
    list += json.number("first_seq", sum.first_seq).number("last_seq", sum.last_seq).take();
  }
  JsonLine json;
  json.boolean("dry_run", is_dry_run);
  append_figures(json, all);
  return json.number("kept_rows", kept_rows).raw("streams", list + "]").take();
}

}  // namespace

Answer purge_events(const ControlRequest& request, Store& store, LineSink& sink) {
  const std::uint64_t total = store.stats().rows;
  const std::uint64_t generation = store.generation();
  std::map<std::string, Sum> streams;
  Sum all;
  std::uint64_t visited = 0;
  std::uint64_t purged = 0;
  std::vector<buffer::RowPlace> places;
  const auto apply = [&]() -> Result<void> {
    if (places.empty()) return {};
    PENSTOCK_TRY_ASSIGN(const buffer::PurgeReport report, store.purge(generation, places));
    purged += report.rows;
    places.clear();
    return {};
  };
  const auto walk = [&]() -> Result<void> {
    RowWalk rows(store, 0, store.durable_id());
    for (;;) {
      PENSTOCK_TRY_ASSIGN(const std::optional<Row> row, rows.next());
      if (!row) return request.apply ? apply() : Result<void>();
      if (++visited % rows_per_progress == 0 && !sink.progress(std::min(visited, total), total)) {
        return Error{Errc::stopped, "ended before all was purged: the reader went away"};
      }
      const std::string stream = store.stream_name(row->key.stream_id);
      if (!is_chosen(request.choice, *row, stream)) continue;
      streams[stream].add(*row);
      all.add(*row);
      places.push_back({row->priority, row->is_parked, row->key});
      if (places.size() < rows_per_commit) continue;
      if (request.apply) PENSTOCK_TRY(apply());
      places.clear();
    }
  };
  if (const Result<void> done = walk(); !done.ok()) return {exit_io, done.error().text};
  sink.line(report_line(streams, all, request.apply ? all.rows - purged : 0, !request.apply));
  return {};
}

}  // namespace penstock::daemon
