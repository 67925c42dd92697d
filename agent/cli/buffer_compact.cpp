// `penstock buffer compact`: gives the free space in the buffer's file back to the disk.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "agent/cli/buffer_frame.hpp"
#include "agent/cli/human.hpp"

namespace penstock::cli {
namespace {

void show_compact(const rapidjson::Document& report) {
  const bool is_dry_run = report.HasMember("dry_run") && report["dry_run"].IsTrue();
  const std::string before = human_size(number_of(report, "bytes_before"));
  const std::string after = human_size(number_of(report, "bytes_after"));
  print(is_dry_run ? fmt::format("would shrink the file from {} to at most {}", before, after)
                   : fmt::format("the file had {} and has {}", before, after));
}

}  // namespace

void add_buffer_compact(CLI::App& parent, std::shared_ptr<BufferFrame> frame) {
  struct Options {
    daemon::ControlRequest request;
    bool is_dry_run = false;
  };
  auto options = std::make_shared<Options>();  // shared with the callback
  options->request.command = "buffer.compact";
  CLI::App* command =
      parent.add_subcommand("compact", "Give free space in the file back to the disk");
  command->add_flag("--dry-run", options->is_dry_run, "only say how much that would be");
  command->footer(
      "Nothing stored is lost or changed, also if it is interrupted; beside the file there must be "
      "room\nfor a copy of what is in it. The agent has to be stopped: while it runs it does this "
      "by itself when\na long backlog has been sent. With buffer.preallocate it takes its space "
      "again at the next start.\n\n"
      "Example:\n  penstock buffer compact --dry-run\n"
      "  penstock buffer compact --dir /var/lib/penstock/buffer/previous-9f3c2a7e-1");
  command->callback([options, frame] {
    options->request.apply = !options->is_dry_run;
    run_buffer_request(*frame, options->request, "compact", show_compact);
  });
}

}  // namespace penstock::cli
