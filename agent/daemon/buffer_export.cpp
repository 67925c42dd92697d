#include "agent/daemon/buffer_export.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <deque>

#include "agent/base/text.hpp"
#include "agent/base/wire.hpp"
#include "agent/daemon/exit_code.hpp"
#include "agent/daemon/row_walk.hpp"
#include "agent/forward/message.hpp"

namespace penstock::daemon {
namespace {

using buffer::Row;
using buffer::RowKind;
using buffer::Store;

constexpr std::string_view time_start = "{\"time\":\"";
constexpr std::size_t time_size = 27;
constexpr std::uint64_t rows_per_progress = 64;
constexpr std::uint64_t first_step_back = 64;  // ids

Answer failed(const Error& error) {
  return {error.code == Errc::corrupt ? exit_data : exit_io, error.text};
}

/// The chosen events of the rows it is given.
class Reader {
 public:
  Reader(const EventChoice& choice, const Store& store)
      : choice_(choice), store_(store), device_(store.stats().device) {}

  /// Hands each event to `emit` until that returns false.
  template <typename Emit>
  void read(const Row& row, Emit emit) {
    const std::string stream = store_.stream_name(row.key.stream_id);
    if (!choice_.stream.empty() && stream != choice_.stream) return;
    if (!choice_.takes_numbers(row.key.seq, row.key.count)) return;
    if (row.kind == RowKind::loss && !row.is_damaged) {
      if (choice_.has_times() && !choice_.takes_time(row.time_unix_us)) return;
      emit(loss(row, stream, static_cast<LossReason>(row.loss_reason)));
      return;
    }
    Result<std::string> content =
        row.is_damaged ? Result<std::string>(Error{Errc::corrupt, ""}) : buffer::content_of(row);
    const std::vector<std::string_view> events =
        content.ok() ? forward::split_array(*content) : std::vector<std::string_view>();
    if (events.size() != row.key.count) {
      ++damaged_rows_;
      emit(loss(row, stream, LossReason::corrupt));
      return;
    }
    std::uint64_t seq = row.key.seq;
    for (const std::string_view event : events) {
      if (choice_.takes_numbers(seq++, 1) && is_in_time(event) && !emit(std::string(event))) break;
    }
  }
  std::uint64_t damaged_rows() const { return damaged_rows_; }

 private:
  bool is_in_time(std::string_view event) const {
    if (!choice_.has_times()) return true;
    const auto time = time_of_event(event);
    return time && choice_.takes_time(*time);
  }
  std::string loss(const Row& row, const std::string& stream, LossReason reason) const {
    std::string text;
    append_loss_record(text, EventHead(device_, stream, store_.epoch()), row.time_unix_us,
                       row.key.seq, row.key.count, reason, row.loss_is_exact, row.refusal_code);
    return text;
  }

  const EventChoice& choice_;
  const Store& store_;
  const std::string device_;
  std::uint64_t damaged_rows_ = 0;
};

/// Walks over the rows of these ids; ends early when `visit` returns false.
template <typename Visit>
Result<void> walk(Store& store, std::uint64_t after_id, std::uint64_t last_id, Visit visit) {
  RowWalk rows(store, after_id, last_id);
  for (;;) {
    PENSTOCK_TRY_ASSIGN(const std::optional<Row> row, rows.next());
    if (!row || !visit(*row)) return {};
  }
}

Result<void> write_oldest(const EventChoice& choice, Store& store, Reader& reader, LineSink& sink) {
  const std::uint64_t total = store.stats().rows;
  std::uint64_t rows = 0;
  std::uint64_t written = 0;
  bool is_over = false;
  // Rows that come meanwhile are the next export's.
  return walk(store, 0, store.durable_id(), [&](const Row& row) {
    reader.read(row, [&](const std::string& event) {
      is_over = !sink.line(event) || (choice.count_max > 0 && ++written >= choice.count_max);
      return !is_over;
    });
    if (++rows % rows_per_progress == 0 && !sink.progress(std::min(rows, total), total)) {
      is_over = true;
    }
    return !is_over;
  });
}

/// Goes back from the end in growing steps until there is enough, so that a large backlog costs
/// nothing.
Result<void> write_newest(const EventChoice& choice, Store& store, Reader& reader, LineSink& sink) {
  std::deque<std::string> newest;
  std::uint64_t end = store.durable_id();
  for (std::uint64_t step = first_step_back; end > 0 && newest.size() < choice.count_max;
       step *= 2) {
    const std::uint64_t begin = end > step ? end - step : 0;
    const std::uint64_t wanted = choice.count_max - newest.size();
    std::deque<std::string> part;
    PENSTOCK_TRY(walk(store, begin, end, [&](const Row& row) {
      reader.read(row, [&](std::string event) {
        part.push_back(std::move(event));
        if (part.size() > wanted) part.pop_front();
        return true;
      });
      return true;
    }));
    newest.insert(newest.begin(), std::make_move_iterator(part.begin()),
                  std::make_move_iterator(part.end()));
    if (!sink.progress(store.durable_id() - begin, store.durable_id())) return {};
    end = begin;
  }
  for (const std::string& event : newest) {
    if (!sink.line(event)) break;
  }
  return {};
}

}  // namespace

std::optional<std::int64_t> time_of_event(std::string_view event) {
  if (event.substr(0, time_start.size()) != time_start) return std::nullopt;
  return parse_time(event.substr(time_start.size(), time_size));
}

Answer export_events(const ControlRequest& request, Store& store, LineSink& sink) {
  const EventChoice& choice = request.choice;
  Reader reader(choice, store);
  const bool is_newest = choice.is_last && choice.count_max > 0;
  const Result<void> done = is_newest ? write_newest(choice, store, reader, sink)
                                      : write_oldest(choice, store, reader, sink);
  if (!done.ok()) return failed(done.error());
  if (reader.damaged_rows() == 0) return {};
  return {exit_data,
          fmt::format("{} damaged batches were written as loss records with reason \"corrupt\"",
                      reader.damaged_rows())};
}

}  // namespace penstock::daemon
