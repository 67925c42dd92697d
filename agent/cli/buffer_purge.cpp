// `penstock buffer purge`: takes stored events out, after showing what would go.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "agent/base/clock.hpp"
#include "agent/base/log.hpp"
#include "agent/cli/buffer_frame.hpp"
#include "agent/cli/human.hpp"
#include "agent/cli/point.hpp"
#include "agent/daemon/exit_code.hpp"

namespace penstock::cli {
namespace {

struct Options {
  daemon::ControlRequest request;
  std::string before;
  std::optional<std::uint64_t> before_seq;
  bool is_all = false;
};

void show_purge(const rapidjson::Document& report) {
  const bool is_dry_run = report.HasMember("dry_run") && report["dry_run"].IsTrue();
  for (const auto& stream : report["streams"].GetArray()) {
    print(fmt::format("{} {:>12} events in {:>8} rows, {:>10}   numbers {} to {}",
                      padded(text_of(stream, "stream"), 28),
                      human_count(number_of(stream, "events")), number_of(stream, "rows"),
                      human_size(number_of(stream, "bytes")), number_of(stream, "first_seq"),
                      number_of(stream, "last_seq")));
  }
  const std::uint64_t kept = number_of(report, "kept_rows");
  print(fmt::format("{} {} events in {} rows, {}", is_dry_run ? "would purge" : "chosen:",
                    human_count(number_of(report, "events")), number_of(report, "rows"),
                    human_size(number_of(report, "bytes"))));
  if (is_dry_run) {
    print("Nothing was changed. Loss records would tell of them: the same with --yes does it.");
    return;
  }
  print(fmt::format("purged {} rows; loss records tell of them in their place",
                    number_of(report, "rows") - kept));
  if (kept > 0) print(fmt::format("kept {} rows that were being sent or had gone already", kept));
}

int purge(BufferFrame& frame, Options& options) {
  daemon::EventChoice& choice = options.request.choice;
  const bool has_choice = !choice.stream.empty() || !options.before.empty();
  if (!has_choice && !options.before_seq && !options.is_all) {
    complain("say what to purge: --stream, --before, --before-seq or --all");
    return daemon::exit_usage;
  }
  if (options.is_all && (has_choice || options.before_seq)) {
    complain("--all leaves nothing to choose: give it alone");
    return daemon::exit_usage;
  }
  if (options.before_seq) {
    if (choice.stream.empty() || *options.before_seq == 0) {
      complain("--before-seq needs a number above 0 and --stream: each stream has its own numbers");
      return daemon::exit_usage;
    }
    choice.to = *options.before_seq - 1;
  }
  if (!options.before.empty()) {
    const auto point = parse_point(options.before, system_clock().wall_us());
    if (!point || !point->time_unix_us) {
      complain(
          fmt::format("--before {} is no time: write 2026-11-23T21:00:00Z, 2026-11-23, or 2h "
                      "for two hours ago",
                      penstock::quoted(options.before)));
      return daemon::exit_usage;
    }
    choice.time_to = *point->time_unix_us - 1;
  }
  run_buffer_request(frame, options.request, "purge", show_purge);
  return frame.exit_code;
}

}  // namespace

void add_buffer_purge(CLI::App& parent, std::shared_ptr<BufferFrame> frame) {
  auto options = std::make_shared<Options>();  // shared with the callback
  options->request.command = "buffer.purge";
  CLI::App* command = parent.add_subcommand(
      "purge", "Take stored events out; without --yes it shows what would go");
  command->add_option("--stream", options->request.choice.stream, "this stream alone");
  command->add_option("--before", options->before,
                      "events from before this time: 2026-11-23T21:00:00Z, 2026-11-23, or 2h for "
                      "two hours ago");
  command->add_option("--before-seq", options->before_seq, "numbers below this one, of --stream");
  command->add_flag("--all", options->is_all, "everything that waits");
  command->add_flag("--yes", options->request.apply, "do it");
  command->footer(
      "Whole batches go, each of them only if all its events are chosen. A loss record with the\n"
      "reason \"purged\" takes their place, so that receivers know. What is just being sent "
      "stays.\n\n"
      "Example:\n  penstock buffer purge --stream app --before 7d\n"
      "  penstock buffer purge --all --yes");
  command->callback([options, frame] { frame->exit_code = purge(*frame, *options); });
}

}  // namespace penstock::cli
