// `penstock buffer new-epoch`: lets numbering begin again, for a disk image that was restored.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "agent/cli/buffer_frame.hpp"
#include "agent/cli/human.hpp"

namespace penstock::cli {
namespace {

void show_new_epoch(const rapidjson::Document& report) {
  const bool is_dry_run = report.HasMember("dry_run") && report["dry_run"].IsTrue();
  print(fmt::format("{} begins a new epoch in place of {} at the next start of its agent",
                    text_of(report, "path"), text_of(report, "epoch")));
  if (const std::uint64_t events = number_of(report, "events"); events > 0) {
    print(fmt::format("{} events wait: what is not sent by then is set aside in previous-{}-*",
                      human_count(events), text_of(report, "epoch")));
  }
  if (is_dry_run) print("Nothing was changed: the same with --yes asks for it.");
}

}  // namespace

void add_buffer_new_epoch(CLI::App& parent, std::shared_ptr<BufferFrame> frame) {
  auto request = std::make_shared<daemon::ControlRequest>();  // shared with the callback
  request->command = "buffer.new-epoch";
  CLI::App* command = parent.add_subcommand(
      "new-epoch", "Number from 0 under a new epoch, after an image was restored");
  command->add_flag("--yes", request->apply, "do it");
  command->footer(
      "An image of this machine that was restored would use numbers again that receivers already "
      "know.\nUnder a new epoch they do not meet. Sources go on where the image left them, so "
      "receivers get what\ncame since then once more, under the new epoch. Without --yes nothing "
      "is changed. Another agent.id\nor another machine begins a new epoch by itself.\n\n"
      "Example:\n  penstock buffer new-epoch --yes -c penstock.yaml");
  command->callback(
      [request, frame] { run_buffer_request(*frame, *request, "new-epoch", show_new_epoch); });
}

}  // namespace penstock::cli
