#include "agent/cli/configuration.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "agent/base/log.hpp"
#include "agent/cli/broker_trial.hpp"
#include "agent/cli/human.hpp"
#include "agent/cli/terminal.hpp"
#include "agent/daemon/exit_code.hpp"
#include "agent/daemon/machine.hpp"
#include "agent/daemon/room_options.hpp"
#include "agent/forward/tls.hpp"
#include "config/codes.hpp"
#include "connectors/api/connector.hpp"

namespace penstock::cli {
namespace {

constexpr std::string_view first_steps =
    "write one, or name one with -c FILE. A first one that needs no broker:\n"
    "\n"
    "    connectors:\n"
    "      host: {type: host, every: 5s}\n"
    "\n"
    "then: penstock check FILE, penstock run -c FILE";

}  // namespace

std::filesystem::path nearest_existing(std::filesystem::path path) {
  std::error_code error;
  while (!std::filesystem::exists(path, error) && path.has_relative_path()) {
    path = path.parent_path();
  }
  return path;
}

std::vector<config::TypeOptions> known_types() {
  std::vector<config::TypeOptions> types;
  for (const connectors::ConnectorType* type : connectors::builtin_types()) {
    types.push_back({type->name, type->summary, type->options});
  }
  return types;
}

bool Configuration::find_file() {
  const bool was_given = !globals_.config_file.empty();
  file_ = was_given ? std::filesystem::path(globals_.config_file) : config::default_config_file();
  if (::access(file_.c_str(), R_OK) == 0) return true;
  const int err = errno;
  if (err == EACCES) {
    complaint_ =
        fmt::format("the configuration {} may not be read", penstock::quoted(file_.string()));
    exit_code_ = daemon::exit_permission;
  } else if (was_given) {
    complaint_ =
        errno_error(fmt::format("the configuration {}", penstock::quoted(file_.string())), err)
            .text;
    exit_code_ = daemon::exit_config;
  } else {
    complaint_ = fmt::format("there is no configuration at {}; {}",
                             penstock::quoted(file_.string()), first_steps);
    exit_code_ = daemon::exit_config;
  }
  return false;
}

std::optional<config::BufferSettings> Configuration::load_buffer() {
  if (!find_file()) {
    if (exit_code_ != daemon::exit_config || !globals_.config_file.empty()) return std::nullopt;
    config::BufferSettings settings;
    settings.path = config::default_state_dir() / "buffer";
    return settings;
  }
  const std::vector<config::TypeOptions> types = known_types();
  config::LoadRequest request;
  request.file = file_;
  request.types = types;
  Result<config::BufferSettings> loaded = config::load_buffer(request, diagnostics_);
  if (loaded.ok()) return *std::move(loaded);
  if (!diagnostics_.has_errors()) complaint_ = loaded.error().text;
  exit_code_ = daemon::exit_config;
  return std::nullopt;
}

bool Configuration::load() {
  if (!find_file()) return false;
  const std::vector<config::TypeOptions> types = known_types();
  config::LoadRequest request;
  request.file = file_;
  request.types = types;
  // A connector reports its findings through its section; the object itself is not wanted.
  request.check_anyway = [](const config::ConnectorEntry& entry) {
    const connectors::ConnectorType* type = connectors::find_type(entry.type);
    if (type != nullptr) static_cast<void>(type->make(entry.section));
  };
  Result<config::LoadedConfig> loaded = config::load(request, diagnostics_);
  if (loaded.ok()) {
    loaded_ = std::move(loaded).value();
    connectors_ = daemon::build_connectors(loaded_->values);
  } else if (!diagnostics_.has_errors()) {
    complaint_ = loaded.error().text;
  }
  if (loaded_ && !diagnostics_.has_errors()) return true;
  exit_code_ = daemon::exit_config;
  return false;
}

void Configuration::add_advice() {
  if (loaded_->values.connectors.empty()) {
    diagnostics_.add({config::code::without_effect,
                      config::Severity::warning,
                      {file_.string()},
                      "connectors",
                      "there is no connector: nothing will be collected",
                      "write connectors: {host: {type: host, every: 5s}}; penstock list names "
                      "all types",
                      {}});
  }
  advise_of_tls_files();
  advise_of_buffer();
}

void Configuration::advise_of_buffer() {
  const config::BufferSettings& buffer = loaded_->values.buffer;
  const std::filesystem::path existing = nearest_existing(buffer.path);
  std::error_code error;
  std::string problem;
  const auto space = std::filesystem::space(existing, error);
  const std::uintmax_t size = std::filesystem::file_size(buffer.path / "buffer.mdb", error);
  const std::uint64_t own = error ? 0 : size;
  if (!std::filesystem::is_directory(existing, error)) {
    problem = fmt::format("{} is not a directory", penstock::quoted(existing.string()));
  } else if (::access(existing.c_str(), W_OK | X_OK) != 0) {
    problem =
        fmt::format("{} may not be written by this user", penstock::quoted(existing.string()));
  } else if (space.available + own < buffer.max_size + buffer.keep_free) {
    problem = fmt::format("{} and {} to keep free are more than the {} that its disk has",
                          human_size(buffer.max_size), human_size(buffer.keep_free),
                          human_size(space.available + own));
  }
  if (problem.empty()) return;
  diagnostics_.add({config::code::unusable_file,
                    config::Severity::warning,
                    {file_.string()},
                    "buffer.path",
                    "buffer: " + problem,
                    "the agent cannot keep all that it is asked to",
                    {}});
}

void Configuration::advise_of_tls_files() {
  const auto& upstream = loaded_->values.upstream;
  if (!upstream || std::none_of(upstream->brokers.begin(), upstream->brokers.end(),
                                [](const auto& broker) { return broker.uses_tls(); })) {
    return;
  }
  const auto options =
      trial_options(daemon::forward_options(loaded_->values, *upstream, daemon::boot_id()), "");
  const Result<void> usable =
      options ? forward::check_tls_files(options->tls) : Result<void>(options.error());
  if (usable) return;
  diagnostics_.add({config::code::unusable_file,
                    config::Severity::warning,
                    upstream->section->place("tls"),
                    "upstream.tls",
                    usable.error().text,
                    "the agent collects and keeps, and connects once this is mended",
                    {}});
}

void Configuration::show_findings() const {
  if (!complaint_.empty()) complain(complaint_);
  if (!diagnostics_.all().empty()) {
    fmt::print(stderr, "{}", diagnostics_.to_text(use_color(globals_, STDERR_FILENO)));
  }
}

bool Configuration::load_or_complain() {
  const bool is_good = load();
  show_findings();
  return is_good;
}

}  // namespace penstock::cli
