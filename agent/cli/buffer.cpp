// `penstock buffer`: the command itself, and its subcommands without options of their own.
#include <fmt/format.h>
#include <rapidjson/document.h>

#include <CLI/CLI.hpp>

#include "agent/base/log.hpp"
#include "agent/cli/buffer_frame.hpp"
#include "agent/cli/commands.hpp"
#include "agent/cli/human.hpp"
#include "agent/cli/terminal.hpp"

namespace penstock::cli {
namespace {

using daemon::ControlRequest;

void show_stat(const rapidjson::Document& line) {
  const auto size = [&](const char* name) { return human_size(number_of(line, name)); };
  const auto count = [&](const char* name) { return human_count(number_of(line, name)); };
  const bool is_in_use = line.HasMember("in_use") && line["in_use"].IsTrue();
  print(fmt::format("path     {}{}", text_of(line, "path"),
                    is_in_use ? "   (in use by a running agent)" : ""));
  print(fmt::format("epoch    {}   device {}", text_of(line, "epoch"),
                    penstock::quoted(text_of(line, "device"))));
  print(fmt::format("backlog  {} events in {} rows, {} streams", count("events"), count("rows"),
                    count("streams")));
  if (number_of(line, "parked_rows") > 0) {
    print(fmt::format("parked   {} rows, of streams that the broker refuses for now",
                      count("parked_rows")));
  }
  if (number_of(line, "rows") > 0) {
    const std::chrono::seconds age(number_of(line, "oldest_age_s"));
    print(fmt::format("oldest   stored {} of use ago: the time that the buffer was open",
                      human_duration(age)));
  }
  const std::string limit = line.HasMember("max_size") ? " of " + size("max_size") : "";
  print(fmt::format("size     {}{}, file {}", size("live_bytes"), limit, size("file_bytes")));
  if (is_in_use) print(fmt::format("dropped  {} events since start", count("dropped_events")));
}

void show_list_line(const rapidjson::Document& line) {
  if (line.HasMember("stream")) {
    const bool is_parked = line.HasMember("parked") && line["parked"].IsTrue();
    print(fmt::format("{} {} rows {:>8}   stored from {:>12}   next {:>12}{}",
                      padded(text_of(line, "stream"), 28), padded(text_of(line, "priority"), 6),
                      number_of(line, "rows"), number_of(line, "first_seq"),
                      number_of(line, "next_seq"), is_parked ? "   parked" : ""));
    return;
  }
  const bool is_hex = line.HasMember("position_hex");
  const std::string bytes = text_of(line, is_hex ? "position_hex" : "position");
  print(fmt::format("{} {} {}{}", padded(text_of(line, "connector"), 20),
                    padded(penstock::quoted(text_of(line, "part")), 24), is_hex ? "0x" : "",
                    is_hex ? bytes : penstock::quoted(bytes)));
}

void show_verify(const rapidjson::Document& line) {
  for (const auto& problem : line["problems"].GetArray()) {
    print(fmt::format("problem: {}", problem.GetString()));
  }
  print(fmt::format("{} rows read, {} damaged", human_count(number_of(line, "rows")),
                    human_count(number_of(line, "damaged_rows"))));
}

void add_plain(CLI::App& parent, const std::shared_ptr<BufferFrame>& frame, std::string_view name,
               std::string_view doc, PrintingSink::Show show) {
  auto request = std::make_shared<ControlRequest>();  // shared with the callback
  request->command = fmt::format("buffer.{}", name);
  CLI::App* command = parent.add_subcommand(std::string(name), std::string(doc));
  if (name == "list") {
    command->add_flag("--positions", request->positions, "where each source stands, instead");
  }
  command->footer(fmt::format("Example:\n  penstock buffer {} -c penstock.yaml", name));
  command->callback(
      [request, name, show, frame] { run_buffer_request(*frame, *request, name, show); });
}

}  // namespace

void add_buffer_command(CLI::App& app, const Globals& globals, int& exit_code) {
  CLI::App* command =
      app.add_subcommand("buffer", "Look into the buffer of an agent, running or not");
  auto frame = std::make_shared<BufferFrame>(BufferFrame{globals, exit_code});
  command->require_subcommand(1);
  command->add_option("--dir", frame->dir,
                      "the buffer's directory, also one that was set aside, instead of the "
                      "configuration's");
  add_plain(*command, frame, "stat", "Size, backlog and epoch", show_stat);
  add_plain(*command, frame, "list", "Streams and their numbers", show_list_line);
  add_buffer_peek(*command, frame);
  add_buffer_export(*command, frame);
  add_plain(*command, frame, "verify", "Read every row and check it; exit code 65 on damage",
            show_verify);
  add_buffer_salvage(*command, frame);
  add_buffer_purge(*command, frame);
  add_buffer_replay(*command, frame);
  add_buffer_compact(*command, frame);
  add_buffer_new_epoch(*command, frame);
  command->footer(
      "Example:\n  penstock buffer stat -c penstock.yaml\n"
      "  penstock buffer peek app --last 5\n"
      "  penstock buffer export --stream app --out app.jsonl\n"
      "  penstock buffer replay /var/lib/penstock/buffer/previous-9f3c2a7e-1\n"
      "  penstock buffer stat --dir /var/lib/penstock/buffer/previous-9f3c2a7e-1");
}

}  // namespace penstock::cli
