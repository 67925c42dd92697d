#include "agent/cli/buffer_access.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "agent/base/log.hpp"
#include "agent/cli/configuration.hpp"
#include "agent/cli/logging.hpp"
#include "agent/daemon/buffer_commands.hpp"
#include "agent/daemon/exit_code.hpp"
#include "agent/daemon/store_opening.hpp"

namespace penstock::cli {
namespace {

using daemon::Answer;
namespace fs = std::filesystem;

/// A running agent may be busy with a long walk before it says the next word.
constexpr std::chrono::milliseconds patience{30'000};

Answer ask_agent(const fs::path& socket, const daemon::ControlRequest& request,
                 daemon::LineSink& sink) {
  const Result<Answer> answer = daemon::ask(socket, request, sink, patience);
  if (answer.ok()) return *answer;
  if (answer.error().code == Errc::stopped) return {};  // stdout was closed: finish_output() tells
  if (answer.error().code == Errc::invalid) return {daemon::exit_permission, answer.error().text};
  return {daemon::exit_unavailable, answer.error().text};
}

Answer open_and_run(const config::BufferSettings& settings, const daemon::ControlRequest& request,
                    daemon::LineSink& sink) {
  const fs::path& path = settings.path;
  buffer::StoreOptions options;  // no device: nothing is made or begun anew
  options.path = path;
  options.max_size = std::max(settings.max_size, buffer::max_size_min);
  options.preallocate = false;
  std::error_code unknown;
  // A buffer that was set aside may be larger than the configured one.
  const std::uintmax_t size = fs::file_size(path / "buffer.mdb", unknown);
  if (request.apply && !unknown) {
    options.max_size = std::max<std::uint64_t>(options.max_size, size);
  }
  buffer::OpenReport report;
  auto store = buffer::Store::open(options, report);
  if (!store.ok()) {
    std::string text = store.error().text;
    if (store.error().code == Errc::corrupt) {
      text = fmt::format("{}: {}; penstock buffer salvage saves what can be read of it",
                         penstock::quoted(path.string()), text);
    }
    return {daemon::exit_code_of_open(path, store.error()), std::move(text)};
  }
  Answer answer =
      daemon::run_buffer_command(request, **store, {path, false, settings.max_size != 0}, sink);
  (*store)->close();
  return answer;
}

std::optional<config::BufferSettings> settings_of(const Globals& globals, const fs::path& dir,
                                                  int& exit_code) {
  set_up_logging_for(globals, "warn");
  Configuration configuration(globals);
  auto settings = configuration.load_buffer();
  // With a directory the configuration only says how large its buffer may be.
  if (!dir.empty()) {
    if (!settings) settings.emplace();
    settings->path = dir;
  }
  if (!settings) {
    configuration.show_findings();
    exit_code = configuration.exit_code();
  }
  return settings;
}

}  // namespace

std::optional<fs::path> buffer_directory(const Globals& globals, const fs::path& dir,
                                         int& exit_code) {
  const auto settings = settings_of(globals, dir, exit_code);
  if (!settings) return std::nullopt;
  return settings->path;
}

Answer access_buffer(const Globals& globals, const fs::path& dir,
                     const daemon::ControlRequest& request, daemon::LineSink& sink) {
  if (dir.empty() && !globals.socket.empty()) {
    set_up_logging_for(globals, "warn");
    return ask_agent(globals.socket, request, sink);
  }
  Answer answer;
  const auto settings = settings_of(globals, dir, answer.exit_code);
  if (!settings) return answer;
  const fs::path& path = settings->path;
  if (daemon::is_buffer_held(path)) {
    answer = ask_agent(daemon::client_socket_path({}, path), request, sink);
    if (answer.exit_code != daemon::exit_unavailable) return answer;
    return {daemon::exit_try_again,
            fmt::format("a process holds the buffer {} and does not answer: {}",
                        penstock::quoted(path.string()), answer.text)};
  }
  std::error_code error;
  const bool is_there = fs::exists(path / "buffer.mdb", error);
  if (error) {
    return {error == std::errc::permission_denied ? daemon::exit_permission : daemon::exit_io,
            fmt::format("{}: {}", penstock::quoted(path.string()), error.message())};
  }
  if (!is_there) {
    return {daemon::exit_unavailable,
            fmt::format("there is no buffer at {}", penstock::quoted(path.string()))};
  }
  return open_and_run(*settings, request, sink);
}

}  // namespace penstock::cli
