#include "agent/daemon/buffer_commands.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "agent/base/log.hpp"
#include "agent/base/text.hpp"
#include "agent/daemon/buffer_compact.hpp"
#include "agent/daemon/buffer_export.hpp"
#include "agent/daemon/buffer_purge.hpp"
#include "agent/daemon/exit_code.hpp"
#include "agent/daemon/json_line.hpp"
#include "buffer/new_epoch.hpp"
#include "buffer/parking.hpp"

namespace penstock::daemon {
namespace {

using buffer::Priority;
using buffer::Store;

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
      .number("parked_rows", stats.parked_rows)
      .number("live_bytes", stats.live_bytes);
  if (facts.has_limit) json.number("max_size", stats.max_size);
  json.number("file_bytes", stats.file_bytes)
      .number("oldest_age_s", stats.oldest_age_s)
      .number("dropped_events", stats.dropped_events);
  sink.line(json.take());
  return {};
}

Answer list_streams(Store& store, LineSink& sink) {
  const auto streams = store.stream_stats();
  if (!streams.ok()) return failed(streams.error());
  std::vector<std::uint32_t> parked;
  if (store.parking() != nullptr) parked = store.parking()->streams();
  for (const buffer::StreamStats& stream : *streams) {
    JsonLine json;
    json.text("stream", stream.name)
        .text("priority", to_text(stream.state.priority))
        .number("first_seq", stream.first_seq)
        .number("next_seq", stream.state.next_seq)
        .number("rows", stream.rows)
        .boolean("parked",
                 std::find(parked.begin(), parked.end(), stream.state.id) != parked.end());
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

Answer new_epoch(const ControlRequest& request, const Store& store, const BufferFacts& facts,
                 LineSink& sink) {
  if (request.apply) {
    const auto asked = buffer::ask_new_epoch(facts.path, store.epoch());
    if (!asked.ok()) return {exit_cannot_create, asked.error().text};
  }
  const buffer::StoreStats stats = store.stats();
  JsonLine json;
  json.boolean("dry_run", !request.apply)
      .text("path", facts.path.string())
      .boolean("in_use", facts.is_in_use)
      .text("epoch", stats.epoch)
      .number("events", stats.events);
  sink.line(json.take());
  return {};
}

Answer run_command(const ControlRequest& request, Store& store, const BufferFacts& facts,
                   LineSink& sink) {
  if (request.command == "buffer.stat") return stat(store, facts, sink);
  if (request.command == "buffer.list") {
    return request.positions ? list_positions(store, sink) : list_streams(store, sink);
  }
  if (request.command == "buffer.export") return export_events(request, store, sink);
  if (request.command == "buffer.verify") return verify(store, sink);
  if (request.command == "buffer.purge") return purge_events(request, store, sink);
  if (request.command == "buffer.new-epoch") return new_epoch(request, store, facts, sink);
  if (request.command == "buffer.compact") return compact_buffer(request, store, facts, sink);
  return {exit_usage, fmt::format("unknown command \"{}\"", request.command)};
}

}  // namespace

bool is_long_command(const ControlRequest& request) {
  return request.command == "buffer.list" || request.command == "buffer.export" ||
         request.command == "buffer.verify" || request.command == "buffer.purge" ||
         request.command == "buffer.compact";
}

Answer run_buffer_command(const ControlRequest& request, Store& store, const BufferFacts& facts,
                          LineSink& sink) {
  const std::string& stream = request.choice.stream;
  if (!stream.empty() && !store.has_stream(stream)) {
    return {exit_unavailable, fmt::format("there is no stream {}: penstock buffer list names them",
                                          penstock::quoted(stream))};
  }
  return run_command(request, store, facts, sink);
}

}  // namespace penstock::daemon
