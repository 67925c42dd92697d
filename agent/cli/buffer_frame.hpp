// What all `buffer` commands have in common: their options, where they find the buffer, and how
// they print.
#pragma once

#include <rapidjson/document.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "agent/cli/commands.hpp"
#include "agent/cli/terminal.hpp"
#include "agent/daemon/control.hpp"
#include "agent/daemon/line_sink.hpp"

namespace penstock::cli {

/// Shared by the callbacks of all buffer commands; what it refers to outlives the parsing.
struct BufferFrame {
  const Globals& globals;
  int& exit_code;
  std::string dir = {};  ///< --dir; "": the configuration's
};

/// Prints JSON lines as they are, or hands each to a function that prints it for people.
class PrintingSink final : public daemon::LineSink {
 public:
  using Show = void (*)(const rapidjson::Document&);
  /// show: nullptr prints the lines as they are also without --json.
  PrintingSink(const Globals& globals, std::string_view what, Show show)
      : bar_(globals, what), show_(globals.is_json ? nullptr : show) {}

  bool line(std::string_view json) override;
  bool progress(std::uint64_t done, std::uint64_t total) override;
  void end() { bar_.clear(); }

 private:
  ProgressBar bar_;
  Show show_;
};

/// Runs the request where the buffer is, and ends the output; leaves the exit code.
void run_buffer_request(BufferFrame& frame, const daemon::ControlRequest& request,
                        std::string_view what, PrintingSink::Show show);

std::string text_of(const rapidjson::Value& object, const char* name);
std::uint64_t number_of(const rapidjson::Value& object, const char* name);

// The commands with options of their own; each adds itself to `buffer`.
void add_buffer_peek(CLI::App& parent, std::shared_ptr<BufferFrame> frame);
void add_buffer_export(CLI::App& parent, std::shared_ptr<BufferFrame> frame);
void add_buffer_purge(CLI::App& parent, std::shared_ptr<BufferFrame> frame);
void add_buffer_compact(CLI::App& parent, std::shared_ptr<BufferFrame> frame);
void add_buffer_new_epoch(CLI::App& parent, std::shared_ptr<BufferFrame> frame);
void add_buffer_replay(CLI::App& parent, std::shared_ptr<BufferFrame> frame);
void add_buffer_salvage(CLI::App& parent, std::shared_ptr<BufferFrame> frame);

}  // namespace penstock::cli
