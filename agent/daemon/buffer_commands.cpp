#include "agent/daemon/buffer_commands.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "agent/base/text.hpp"
#include "agent/base/wire.hpp"
#include "agent/daemon/exit_code.hpp"
#include "agent/daemon/json_line.hpp"
#include "agent/forward/message.hpp"

namespace penstock::daemon {
namespace {

using buffer::Priority;
using buffer::Row;
using buffer::RowKind;
using buffer::Store;

constexpr std::array<Priority, buffer::priority_count> priorities = {
    Priority::high, Priority::normal, Priority::low};
constexpr std::size_t window_bytes = 1024 * 1024;

std::string_view to_text(Priority priority) {
  switch (priority) {
    case Priority::high: return "high";
    case Priority::normal: return "normal";
    case Priority::low: return "low";
  }
  return "unknown";
}

Answer failed(const Error& error) {
  return {error.code == Errc::corrupt ? exit_data : exit_io, error.text};
}

Answer stat(const Store& store, const BufferFacts& facts, LineSink& sink) {
  const buffer::StoreStats stats = store.stats();
  JsonLine json;
  json.text("path", facts.path.string())
      .boolean("in_use", facts.is_in_use)
      .text("epoch", stats.epoch)
      .text("device", stats.device)
      .number("streams", stats.streams)
      .number("events", stats.events)
      .number("rows", stats.rows)
      .number("live_bytes", stats.live_bytes)
      .number("max_size", stats.max_size)
      .number("file_bytes", stats.file_bytes)
      .number("oldest_age_s", stats.oldest_age_s)
      .number("dropped_events", stats.dropped_events);
  sink.line(json.take());
  return {};
}

Answer list_streams(const Store& store, LineSink& sink) {
  const auto streams = store.stream_stats();
  if (!streams.ok()) return failed(streams.error());
  for (const buffer::StreamStats& stream : *streams) {
    JsonLine json;
    json.text("stream", stream.name)
        .text("priority", to_text(stream.state.priority))
        .number("first_seq", stream.first_seq)
        .number("next_seq", stream.state.next_seq)
        .number("rows", stream.rows);
    if (!sink.line(json.take())) break;
  }
  return {};
}

std::string as_hex(std::string_view bytes) {
  std::string out;
  for (const char byte : bytes) {
    out += fmt::format("{:02x}", static_cast<unsigned>(static_cast<unsigned char>(byte)));
  }
  return out;
}

bool is_printable(std::string_view bytes) {
  return is_valid_utf8(bytes) && std::none_of(bytes.begin(), bytes.end(), [](char c) {
           return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
         });
}

Answer list_positions(const Store& store, LineSink& sink) {
  const auto positions = store.positions();
  if (!positions.ok()) return failed(positions.error());
  for (const auto& [owner, part, bytes] : *positions) {
    const std::size_t end_of_type = std::min(owner.find('\0'), owner.size());
    JsonLine json;
    json.text("type", std::string_view(owner).substr(0, end_of_type))
        .text("connector", std::string_view(owner).substr(std::min(end_of_type + 1, owner.size())))
        .text("part", part);
    if (is_printable(bytes)) {
      json.text("position", bytes);
    } else {
      json.text("position_hex", as_hex(bytes));
    }
    if (!sink.line(json.take())) break;
  }
  return {};
}

/// Walks through the rows of one class after another, and writes their events.
class Exporter {
 public:
  Exporter(const ControlRequest& request, const Store& store, LineSink& sink)
      : request_(request), store_(store), sink_(sink) {
    const buffer::StoreStats stats = store.stats();
    device_ = stats.device;
    rows_total_ = stats.rows;
  }

  Answer run() {
    for (const Priority priority : priorities) {
      if (Answer answer = walk(priority); answer.exit_code != exit_ok || is_over_) return answer;
    }
    if (damaged_rows_ > 0) {
      return {exit_data, fmt::format("{} damaged batches were written as loss records with reason "
                                     "\"corrupt\"",
                                     damaged_rows_)};
    }
    return {};
  }

 private:
  Answer walk(Priority priority) {
    // Rows that come meanwhile are the next export's.
    const std::uint64_t last_id = store_.durable_id();
    std::uint64_t after_id = 0;
    while (!is_over_) {
      const auto rows = store_.peek_after(priority, after_id, window_bytes);
      if (!rows.ok()) return failed(rows.error());
      for (const Row& row : *rows) {
        if (row.key.id > last_id || is_over_) return {};
        write(row);
        after_id = row.key.id;
        rows_done_ += 1;
      }
      if (rows->empty() || after_id >= last_id) return {};
      if (!sink_.progress(std::min(rows_done_, rows_total_), rows_total_)) is_over_ = true;
    }
    return {};
  }

  void write(const Row& row) {
    const std::string stream = store_.stream_name(row.key.stream_id);
    if (!request_.stream.empty() && stream != request_.stream) return;
    if (row.key.seq + row.key.count <= request_.from) return;
    if (row.kind == RowKind::loss && !row.is_damaged) {
      write_loss(row, stream, static_cast<LossReason>(row.loss_reason), row.loss_is_exact);
      return;
    }
    Result<std::string> content =
        row.is_damaged ? Result<std::string>(Error{Errc::corrupt, ""}) : buffer::content_of(row);
    if (!content.ok() || !write_batch(row, *content)) {
      damaged_rows_ += 1;
      write_loss(row, stream, LossReason::corrupt, true);
    }
  }

  /// false: the content is no batch, and nothing of it was written.
  bool write_batch(const Row& row, std::string_view content) {
    const std::vector<std::string_view> events = forward::split_array(content);
    if (events.size() != row.key.count) return false;
    std::uint64_t seq = row.key.seq;
    for (const std::string_view event : events) {
      if (seq++ >= request_.from && !emit(event)) break;
    }
    return true;
  }

  void write_loss(const Row& row, const std::string& stream, LossReason reason, bool is_exact) {
    std::string text;
    append_loss_record(text, EventHead(device_, stream, store_.epoch()), row.time_unix_us,
                       row.key.seq, row.key.count, reason, is_exact);
    emit(text);
  }

  bool emit(std::string_view event) {
    if (!sink_.line(event)) is_over_ = true;
    written_ += 1;
    if (request_.count_max > 0 && written_ >= request_.count_max) is_over_ = true;
    return !is_over_;
  }

  const ControlRequest& request_;
  const Store& store_;
  LineSink& sink_;
  std::string device_;
  std::uint64_t rows_total_ = 0;
  std::uint64_t rows_done_ = 0;
  std::uint64_t written_ = 0;
  std::uint64_t damaged_rows_ = 0;
  bool is_over_ = false;
};

Answer verify(const Store& store, LineSink& sink) {
  bool is_wanted = true;
  const auto report = store.verify([&](std::uint64_t done, std::uint64_t total) {
    is_wanted = sink.progress(done, total);
    return is_wanted;
  });
  if (!report.ok()) return failed(report.error());
  if (!is_wanted) return {exit_io, "the reader went away before the end"};
  std::string problems = "[";
  for (const std::string& problem : report->problems) {
    if (problems.size() > 1) problems += ',';
    append_json_string(problems, problem);
  }
  JsonLine json;
  json.number("rows", report->rows)
      .number("damaged_rows", report->damaged_rows)
      .raw("problems", problems + "]");
  sink.line(json.take());
  if (report->damaged_rows > 0 || !report->problems.empty()) {
    return {exit_data, fmt::format("the buffer is damaged: {} of {} rows, {} problems",
                                   report->damaged_rows, report->rows, report->problems.size())};
  }
  return {};
}

}  // namespace

bool is_long_command(const ControlRequest& request) {
  return request.command == "buffer.list" || request.command == "buffer.export" ||
         request.command == "buffer.verify";
}

Answer run_buffer_command(const ControlRequest& request, const Store& store,
                          const BufferFacts& facts, LineSink& sink) {
  if (request.command == "buffer.stat") return stat(store, facts, sink);
  if (request.command == "buffer.list") {
    return request.positions ? list_positions(store, sink) : list_streams(store, sink);
  }
  if (request.command == "buffer.export") return Exporter(request, store, sink).run();
  if (request.command == "buffer.verify") return verify(store, sink);
  return {exit_usage, fmt::format("unknown command \"{}\"", request.command)};
}

}  // namespace penstock::daemon
