// `penstock buffer peek` and `penstock buffer export`: stored events for people, and for files.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstring>

#include "agent/base/clock.hpp"
#include "agent/base/log.hpp"
#include "agent/base/text.hpp"
#include "agent/cli/buffer_access.hpp"
#include "agent/cli/buffer_frame.hpp"
#include "agent/cli/output_file.hpp"
#include "agent/cli/point.hpp"
#include "agent/daemon/exit_code.hpp"

namespace penstock::cli {
namespace {

using daemon::ControlRequest;
using daemon::EventChoice;

constexpr std::uint64_t peek_default = 10;

struct Bounds {
  std::string from;
  std::string to;
};

void add_bounds(CLI::App& command, Bounds& bounds) {
  command.add_option("--from", bounds.from,
                     "from this number on, or from this time on: 2026-11-23T21:00:00Z, "
                     "2026-11-23, or 2h for two hours ago");
  command.add_option("--to", bounds.to, "up to and with this number or time");
}

/// false: one of them is neither a number nor a time, which is told.
bool take_bounds(const Bounds& bounds, EventChoice& choice) {
  const std::int64_t now_us = system_clock().wall_us();
  const auto take = [now_us](std::string_view option, const std::string& text,
                             std::uint64_t& number, std::int64_t& time) {
    if (text.empty()) return true;
    const std::optional<Point> point = parse_point(text, now_us);
    if (!point) {
      complain(
          fmt::format("{} {} is neither a number nor a time: write 1200, "
                      "2026-11-23T21:00:00Z, 2026-11-23 or 2h for two hours ago",
                      option, penstock::quoted(text)));
      return false;
    }
    if (point->number) number = *point->number;
    if (point->time_unix_us) time = *point->time_unix_us;
    return true;
  };
  return take("--from", bounds.from, choice.from, choice.time_from) &&
         take("--to", bounds.to, choice.to, choice.time_to);
}

std::string escaped(std::string_view text) {
  std::string out;
  append_escaped(out, text);
  return out;
}

std::string value_text(const rapidjson::Value& value) {
  if (value.IsString()) return escaped({value.GetString(), value.GetStringLength()});
  if (value.IsBool()) return value.GetBool() ? "true" : "false";
  if (value.IsUint64()) return std::to_string(value.GetUint64());
  if (value.IsInt64()) return std::to_string(value.GetInt64());
  if (value.IsDouble()) {
    std::string out;
    append_json_double(out, value.GetDouble());
    return out;
  }
  return value.IsNull() ? "null" : "…";
}

/// "2026-11-23T21:39:15.276123Z  boiler  1200  site plant-7   temp 21.53"
void show_event(const rapidjson::Document& event) {
  const std::uint64_t seq = number_of(event, "seq");
  std::string line = fmt::format("{}  {}  {:>10}", padded(escaped(text_of(event, "time")), 27),
                                 padded(escaped(text_of(event, "stream")), 16), seq);
  if (event.HasMember("lost")) {
    const std::uint64_t lost = number_of(event, "lost");
    const bool is_exact = !event.HasMember("exact");
    line += is_exact ? fmt::format("  lost {} to {} ({} events): {}", seq, seq + lost - 1, lost,
                                   escaped(text_of(event, "reason")))
                     : fmt::format("  lost, nobody knows how many: {}",
                                   escaped(text_of(event, "reason")));
    print(line);
    return;
  }
  for (const auto& member : event.GetObject()) {
    const std::string_view name(member.name.GetString(), member.name.GetStringLength());
    if (name == "time" || name == "device" || name == "stream" || name == "epoch" ||
        name == "seq") {
      continue;
    }
    line += fmt::format("   {} {}", escaped(name), value_text(member.value));
  }
  print(line);
}

/// Events into a file or to stdout: a line each, or together as one JSON array.
class ExportSink final : public daemon::LineSink {
 public:
  ExportSink(const Globals& globals, OutputFile& file, bool is_array)
      : bar_(globals, "export"), file_(file), is_array_(is_array) {}

  bool line(std::string_view json) override {
    if (file_.is_terminal()) bar_.clear();
    if (is_array_) file_.write(count_ == 0 ? "[" : ",\n");
    ++count_;
    file_.write(json);
    if (!is_array_) file_.write("\n");
    return file_.is_good();
  }
  bool progress(std::uint64_t done, std::uint64_t total) override {
    bar_.update(done, total);
    return file_.is_good();
  }
  /// is_whole: that there was nothing is an answer.
  void end(bool is_whole) {
    bar_.clear();
    if (!is_array_ || (count_ == 0 && !is_whole)) return;
    file_.write(count_ == 0 ? "[]\n" : "]\n");
  }
  std::uint64_t count() const { return count_; }

 private:
  ProgressBar bar_;
  OutputFile& file_;
  const bool is_array_;
  std::uint64_t count_ = 0;
};

struct ExportOptions {
  ControlRequest request;
  Bounds bounds;
  std::string format = "lines";
  std::string out;
};

int export_to(BufferFrame& frame, ExportOptions& options) {
  if (!take_bounds(options.bounds, options.request.choice)) return daemon::exit_usage;
  OutputFile file;
  if (!options.out.empty()) {
    if (const Result<void> opened = file.open(options.out); !opened.ok()) {
      complain(opened.error().text);
      return daemon::exit_cannot_create;
    }
  }
  ExportSink sink(frame.globals, file, options.format == "json");
  const daemon::Answer answer = access_buffer(frame.globals, frame.dir, options.request, sink);
  // Damage is told and the rest is worth keeping; after any other failure it is only a part.
  const bool is_whole =
      answer.exit_code == daemon::exit_ok || answer.exit_code == daemon::exit_data;
  sink.end(is_whole);
  if (!answer.text.empty()) complain(answer.text);
  if (const Result<void> closed = file.close(is_whole); !closed.ok()) {
    complain(closed.error().text);
    return daemon::exit_io;
  }
  if (!options.out.empty() && is_whole && frame.globals.quieter == 0) {
    fmt::print(stderr, "{} events in {}\n", sink.count(), penstock::quoted(options.out));
  }
  return answer.exit_code;
}

}  // namespace

void add_buffer_peek(CLI::App& parent, std::shared_ptr<BufferFrame> frame) {
  struct Options {
    ControlRequest request;
    Bounds bounds;
    std::uint64_t first = 0;
    std::uint64_t last = 0;
  };
  auto options = std::make_shared<Options>();  // shared with the callback
  options->request.command = "buffer.export";
  CLI::App* command =
      parent.add_subcommand("peek", "Stored events and losses, readable, in the order of storing");
  command->add_option("STREAM", options->request.choice.stream, "this stream alone");
  auto* first = command->add_option("--first", options->first, "the oldest so many")
                    ->check(CLI::PositiveNumber);
  command->add_option("--last", options->last, "the newest so many; default 10")
      ->check(CLI::Range(1, 100'000))
      ->excludes(first);
  add_bounds(*command, options->bounds);
  command->footer(
      "Takes nothing out and holds nothing up, also while the agent runs.\n\n"
      "Example:\n  penstock buffer peek app --last 5\n  penstock buffer peek --first 20 --json");
  command->callback([options, frame] {
    EventChoice& choice = options->request.choice;
    choice.is_last = options->first == 0;
    choice.count_max = choice.is_last ? options->last : options->first;
    if (choice.count_max == 0) choice.count_max = peek_default;
    if (!take_bounds(options->bounds, choice)) {
      frame->exit_code = daemon::exit_usage;
      return;
    }
    run_buffer_request(*frame, options->request, "peek", show_event);
  });
}

void add_buffer_export(CLI::App& parent, std::shared_ptr<BufferFrame> frame) {
  auto options = std::make_shared<ExportOptions>();  // shared with the callback
  options->request.command = "buffer.export";
  CLI::App* command = parent.add_subcommand("export", "Stored events as JSON, exactly as sent");
  command->add_option("--stream", options->request.choice.stream, "this stream alone");
  add_bounds(*command, options->bounds);
  command->add_option("-n,--count", options->request.choice.count_max, "at most so many events");
  command->add_option("--format", options->format, "lines: an event per line; json: one array")
      ->check(CLI::IsMember({"lines", "json"}));
  command->add_option("--out", options->out,
                      "write to this file, which appears when it is complete");
  command->footer(
      "Example:\n  penstock buffer export --stream app --out app.jsonl\n"
      "  penstock buffer export --from 2h --format json | jq length");
  command->callback([options, frame] { frame->exit_code = export_to(*frame, *options); });
}

}  // namespace penstock::cli
