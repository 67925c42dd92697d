// `penstock buffer stat|list|export|verify`: looks into the store, of a running agent or a closed
// one.
#include <fmt/format.h>
#include <rapidjson/document.h>

#include <CLI/CLI.hpp>

#include "agent/base/log.hpp"
#include "agent/cli/buffer_access.hpp"
#include "agent/cli/commands.hpp"
#include "agent/cli/human.hpp"
#include "agent/cli/terminal.hpp"
#include "agent/daemon/exit_code.hpp"

namespace penstock::cli {
namespace {

using daemon::Answer;
using daemon::ControlRequest;

/// Prints JSON lines as they are, or hands each to a function that prints it for people.
class PrintingSink final : public daemon::LineSink {
 public:
  using Show = void (*)(const rapidjson::Document&);
  PrintingSink(const Globals& globals, std::string_view what, Show show)
      : bar_(globals, what), show_(globals.is_json ? nullptr : show) {}

  bool line(std::string_view json) override {
    if (show_ == nullptr) {
      print(json);
    } else {
      rapidjson::Document document;
      document.Parse(json.data(), json.size());
      if (!document.HasParseError() && document.IsObject()) {
        bar_.clear();
        show_(document);
      }
    }
    return std::ferror(stdout) == 0;
  }
  bool progress(std::uint64_t done, std::uint64_t total) override {
    bar_.update(done, total);
    return true;
  }
  void end() { bar_.clear(); }

 private:
  ProgressBar bar_;
  Show show_;
};

std::string text_of(const rapidjson::Document& line, const char* name) {
  const auto found = line.FindMember(name);
  if (found == line.MemberEnd() || !found->value.IsString()) return {};
  return {found->value.GetString(), found->value.GetStringLength()};
}

std::uint64_t number_of(const rapidjson::Document& line, const char* name) {
  const auto found = line.FindMember(name);
  return found == line.MemberEnd() || !found->value.IsUint64() ? 0 : found->value.GetUint64();
}

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
  if (number_of(line, "rows") > 0) {
    const std::chrono::seconds age(number_of(line, "oldest_age_s"));
    print(fmt::format("oldest   {}", human_duration(age)));
  }
  print(fmt::format("size     {} of {}, file {}", size("live_bytes"), size("max_size"),
                    size("file_bytes")));
  if (is_in_use) print(fmt::format("dropped  {} events since start", count("dropped_events")));
}

void show_list_line(const rapidjson::Document& line) {
  if (line.HasMember("stream")) {
    print(fmt::format("{} {} rows {:>8}   stored from {:>12}   next {:>12}",
                      padded(text_of(line, "stream"), 28), padded(text_of(line, "priority"), 6),
                      number_of(line, "rows"), number_of(line, "first_seq"),
                      number_of(line, "next_seq")));
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

int run_buffer(const Globals& globals, const ControlRequest& request, std::string_view what,
               PrintingSink::Show show) {
  PrintingSink sink(globals, what, show);
  const Answer answer = access_buffer(globals, request, sink);
  sink.end();
  if (!answer.text.empty()) complain(answer.text);
  return finish_output(answer.exit_code);
}

void add_one(CLI::App& parent, const Globals& globals, int& exit_code, std::string_view name,
             std::string_view doc, PrintingSink::Show show) {
  auto request = std::make_shared<ControlRequest>();  // shared with the callback
  request->command = fmt::format("buffer.{}", name);
  CLI::App* command = parent.add_subcommand(std::string(name), std::string(doc));
  if (name == "list") {
    command->add_flag("--positions", request->positions, "where each source stands, instead");
  }
  if (name == "export") {
    command->add_option("--stream", request->stream, "this stream alone");
    command->add_option("--from", request->from, "from this number on");
    command->add_option("-n,--count", request->count_max, "at most so many events");
  }
  command->footer(fmt::format("Example:\n  penstock buffer {} -c penstock.yaml", name));
  command->callback([request, name, show, &globals, &exit_code] {
    exit_code = run_buffer(globals, *request, name, show);
  });
}

}  // namespace

void add_buffer_command(CLI::App& app, const Globals& globals, int& exit_code) {
  CLI::App* command =
      app.add_subcommand("buffer", "Look into the buffer of an agent, running or not");
  command->require_subcommand(1);
  add_one(*command, globals, exit_code, "stat", "Size, backlog and epoch", show_stat);
  add_one(*command, globals, exit_code, "list", "Streams and their numbers", show_list_line);
  add_one(*command, globals, exit_code, "export", "Stored events as JSON lines", nullptr);
  add_one(*command, globals, exit_code, "verify",
          "Read every row and check it; exit code 65 on damage", show_verify);
  command->footer(
      "Example:\n  penstock buffer stat -c penstock.yaml\n"
      "  penstock buffer export --stream app > app.jsonl");
}

}  // namespace penstock::cli
