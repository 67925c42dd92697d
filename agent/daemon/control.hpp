// The control socket's two ends: where it is, how to listen on it, how to ask through it.
// Protocol: one line {"cmd":…} from the client; lines of JSON back, the last one {"end":{…}}.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "agent/base/result.hpp"
#include "agent/base/unique_fd.hpp"
#include "agent/daemon/event_choice.hpp"
#include "agent/daemon/line_sink.hpp"

namespace penstock::daemon {

inline constexpr std::size_t request_bytes_max = 4096;

/// One request of a client.
struct ControlRequest {
  std::string command;     ///< status | buffer.stat | buffer.list | buffer.export | buffer.verify |
                           ///< buffer.purge | buffer.compact | buffer.new-epoch
  bool positions = false;  ///< buffer.list: the sources' positions instead of the streams
  EventChoice choice;      ///< buffer.export, buffer.purge
  bool apply = false;      ///< buffer.purge, compact, new-epoch: do it, not only count
};
std::string to_json(const ControlRequest& request);
/// invalid: not a JSON object of the known members, or over request_bytes_max.
Result<ControlRequest> parse_request(std::string_view line);

std::string end_line(const Answer& answer);
std::string progress_line(std::uint64_t done, std::uint64_t total);

/// `given` (--socket), else control.sock in the first directory of $RUNTIME_DIRECTORY, else
/// control.sock in the buffer's directory.
std::filesystem::path server_socket_path(const std::filesystem::path& given,
                                         const std::filesystem::path& buffer_dir);
/// `given`, else control.sock in the buffer's directory: a server elsewhere leaves a link there.
std::filesystem::path client_socket_path(const std::filesystem::path& given,
                                         const std::filesystem::path& buffer_dir);

/// A listening socket of mode 0600; one that a dead agent left is replaced. Paths of any length
/// work. full: another agent answers there. unavailable: the system refused.
Result<UniqueFd> listen_control(const std::filesystem::path& path);
/// unavailable: nobody listens there. invalid: the rights forbid it.
Result<UniqueFd> connect_control(const std::filesystem::path& path);

/// Sends the request and hands the answer's lines to `sink`; blocks. silence_max: the longest wait
/// for the next bytes. unavailable: no agent there, or it fell silent. invalid: no right to ask.
/// stopped: the sink refused a line.
Result<Answer> ask(const std::filesystem::path& path, const ControlRequest& request, LineSink& sink,
                   std::chrono::milliseconds silence_max);

}  // namespace penstock::daemon
