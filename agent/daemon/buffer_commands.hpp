// The buffer commands, the same for a running agent and for a closed buffer.
#pragma once

#include <filesystem>
#include <string>

#include "agent/daemon/control.hpp"
#include "agent/daemon/line_sink.hpp"
#include "buffer/store.hpp"

namespace penstock::daemon {

/// What the store does not say itself.
struct BufferFacts {
  std::filesystem::path path;
  bool is_in_use = false;  ///< by a running agent
  bool has_limit = true;   ///< its max_size is known
};

/// Whether the command walks through the whole buffer.
bool is_long_command(const ControlRequest& request);

/// Runs buffer.stat | list | export | verify | purge | compact | new-epoch and writes JSON lines:
///   stat    one object
///   list    one object per stream, or per position
///   export  one event per line, exactly as it is sent, in the order of storing; loss records in
///           their place
///   verify  one object; exit_data if anything is damaged
///   purge   one object (buffer_purge.hpp)
///   compact one object (buffer_compact.hpp)
///   new-epoch  one object; with request.apply the agent's next start begins it
/// Answers with exit_usage to other commands, and with exit_unavailable where there is no stream of
/// the name in the request. Thread: any, one command at a time.
Answer run_buffer_command(const ControlRequest& request, buffer::Store& store,
                          const BufferFacts& facts, LineSink& sink);

}  // namespace penstock::daemon
