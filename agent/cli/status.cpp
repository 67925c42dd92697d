// `penstock status`: one screen about the running agent.
#include <fmt/format.h>
#include <rapidjson/document.h>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include "agent/base/log.hpp"
#include "agent/base/text.hpp"
#include "agent/cli/commands.hpp"
#include "agent/cli/configuration.hpp"
#include "agent/cli/human.hpp"
#include "agent/cli/terminal.hpp"
#include "agent/daemon/control.hpp"
#include "agent/daemon/exit_code.hpp"

namespace penstock::cli {
namespace {

using Json = rapidjson::Value;

constexpr std::chrono::milliseconds patience{5000};
constexpr std::size_t name_columns = 12;

class OneLineSink final : public daemon::LineSink {
 public:
  bool line(std::string_view json) override {
    text = json;
    return true;
  }
  bool progress(std::uint64_t, std::uint64_t) override { return true; }
  std::string text;
};

const Json& member(const Json& object, const char* name) {
  static const Json nothing;
  if (!object.IsObject()) return nothing;
  const auto found = object.FindMember(name);
  return found == object.MemberEnd() ? nothing : found->value;
}

std::uint64_t number(const Json& object, const char* name) {
  const Json& value = member(object, name);
  return value.IsUint64() ? value.GetUint64() : 0;
}

/// Escaped: parts of it come from sources and brokers.
std::string text(const Json& object, const char* name) {
  const Json& value = member(object, name);
  std::string out;
  if (value.IsString()) append_escaped(out, {value.GetString(), value.GetStringLength()});
  return out;
}

class Screen {
 public:
  explicit Screen(bool color) : color_(color) {}

  void show(const Json& status) {
    const std::string state = text(status, "state");
    print(fmt::format("{} {}   running {}   penstock {}   pid {}", dot(state == "ok", state),
                      colored(text(status, "device"), Color::bold, color_),
                      human_duration(std::chrono::seconds(number(status, "uptime_s"))),
                      text(status, "version"), number(status, "pid")));
    show_upstream(member(status, "upstream"), member(status, "buffer"));
    show_buffer(member(status, "buffer"));
    show_writes(member(status, "intake"));
    for (const Json& connector : list(member(status, "connectors"))) show_connector(connector);
    for (const Json& problem : list(member(status, "problems"))) {
      print(colored(fmt::format("  ! {}", problem.GetString()), Color::yellow, color_));
    }
  }

 private:
  static std::vector<std::reference_wrapper<const Json>> list(const Json& array) {
    std::vector<std::reference_wrapper<const Json>> items;
    if (array.IsArray()) items.assign(array.Begin(), array.End());
    return items;
  }

  std::string dot(bool is_good, std::string_view state) const {
    if (is_good) return colored("●", Color::green, color_);
    return colored("○", state == "critical" || state == "failed" ? Color::red : Color::yellow,
                   color_);
  }

  static std::string label(std::string_view name) { return "  " + padded(name, name_columns); }

  void show_upstream(const Json& upstream, const Json& buffer) {
    if (!upstream.IsObject()) {
      print(label("upstream") + "none: collecting and keeping");
    } else {
      const bool is_up = text(upstream, "state") == "connected";
      std::string line = label("upstream") + dot(is_up, "") + " " + text(upstream, "broker");
      if (is_up) {
        line += fmt::format("  MQTT {}", text(upstream, "protocol"));
        const std::uint64_t us = number(upstream, "round_trip_us");
        if (us > 0) line += fmt::format(", {:.1f} ms to PUBACK", static_cast<double>(us) / 1000);
      } else {
        line += "  " + text(upstream, "state");
        if (!text(upstream, "error").empty()) line += ": " + text(upstream, "error");
      }
      print(line);
      print(label("") + fmt::format("{} events acknowledged since start",
                                    human_count(number(upstream, "acknowledged_events"))));
      if (const Json& names = member(upstream, "receivers"); names.IsArray() && !names.Empty()) {
        print(label("") + fmt::format("{} events verified by receivers; {} batches wait for them",
                                      human_count(number(upstream, "verified_events")),
                                      human_count(number(upstream, "unverified_batches"))));
      }
    }
    std::string line = label("backlog") + human_count(number(buffer, "events")) + " events";
    if (number(buffer, "rows") > 0) {
      line += fmt::format(", the oldest {} old",
                          human_duration(std::chrono::seconds(number(buffer, "oldest_age_s"))));
    }
    print(line);
  }

  void show_buffer(const Json& buffer) {
    const std::uint64_t used = number(buffer, "live_bytes");
    const std::uint64_t size = number(buffer, "max_size");
    const std::size_t tenths = size == 0 ? 0 : std::min<std::uint64_t>(10, used * 10 / size);
    std::string bar;
    for (std::size_t i = 0; i < 10; ++i) bar += i < tenths ? "▇" : "▁";
    const std::uint64_t dropped = number(buffer, "dropped_events");
    print(label("buffer") + fmt::format("{}  {} of {}   {}   epoch {}", bar, human_size(used),
                                        human_size(size),
                                        colored(human_count(dropped) + " dropped",
                                                dropped > 0 ? Color::red : Color::none, color_),
                                        text(buffer, "epoch")));
  }

  void show_writes(const Json& intake) {
    const std::uint64_t budget = number(intake, "write_budget_bytes_day");
    print(label("written") + fmt::format("{} in the last day{}, {} since start for {} of events",
                                         human_size(number(intake, "written_bytes_day")),
                                         budget == 0 ? std::string(" (no budget)")
                                                     : fmt::format(" of {}", human_size(budget)),
                                         human_size(number(intake, "written_bytes")),
                                         human_size(number(intake, "bytes"))));
  }

  void show_connector(const Json& connector) {
    const std::string state = text(connector, "state");
    std::string line = label(text(connector, "name")) + dot(state == "running", state) + " " +
                       padded(text(connector, "type"), 10) + " " + state;
    if (state != "running") {
      line += fmt::format(" since {}", text(connector, "since"));
      if (!text(connector, "error").empty()) line += ": " + text(connector, "error");
    } else if (number(connector, "restarts") > 0) {
      line += fmt::format(", {} restarts", number(connector, "restarts"));
    }
    print(line);
    const std::uint64_t share = number(connector, "share_bytes_max");
    const std::uint64_t dropped = number(connector, "dropped_events");
    const std::uint64_t expired = number(connector, "expired_events");
    if (share + dropped + expired == 0) return;
    std::string kept = human_size(number(connector, "stored_bytes"));
    if (share > 0) kept += " of its " + human_size(share);
    print(label("") +
          fmt::format("stored {}; {}", kept,
                      colored(fmt::format("{} dropped, {} expired", human_count(dropped),
                                          human_count(expired)),
                              dropped + expired > 0 ? Color::red : Color::none, color_)));
  }

  const bool color_;
};

int exit_code_of(const Json& status) {
  const std::string state = text(status, "state");
  if (state == "ok") return daemon::exit_ok;
  return state == "critical" ? daemon::exit_critical : daemon::exit_finding;
}

int not_answered(const Error& error, const std::filesystem::path& path) {
  if (error.code == Errc::invalid) {
    complain(error.text);
    return daemon::exit_permission;
  }
  complain(fmt::format("no agent answers at {}: {}", penstock::quoted(path.string()), error.text));
  return daemon::exit_unavailable;
}

int status(const Globals& globals) {
  std::filesystem::path buffer;
  if (globals.socket.empty()) {
    Configuration configuration(globals);
    const auto settings = configuration.load_buffer();
    if (!settings) {
      configuration.show_findings();
      return configuration.exit_code();
    }
    buffer = settings->path;
  }
  const auto path = daemon::client_socket_path(globals.socket, buffer);
  daemon::ControlRequest request;
  request.command = "status";
  OneLineSink sink;
  const Result<daemon::Answer> answer = daemon::ask(path, request, sink, patience);
  if (!answer.ok()) return not_answered(answer.error(), path);
  if (answer->exit_code != 0) {
    complain(answer->text);
    return answer->exit_code;
  }
  rapidjson::Document document;
  document.Parse(sink.text.data(), sink.text.size());
  if (document.HasParseError() || !document.IsObject()) {
    complain("the agent's answer is not understood");
    return daemon::exit_internal;
  }
  if (globals.is_json) {
    print(sink.text);
  } else {
    Screen(use_color(globals, STDOUT_FILENO)).show(document);
  }
  return finish_output(exit_code_of(document));
}

}  // namespace

void add_status_command(CLI::App& app, const Globals& globals, int& exit_code) {
  CLI::App* command = app.add_subcommand("status", "How the running agent is, on one screen");
  command->footer(
      "Exit codes: 0 all is well, 1 degraded, 2 critical, 69 no agent runs.\n"
      "\nExample:\n  penstock status -c penstock.yaml\n  penstock status --json | jq .buffer");
  command->callback([&globals, &exit_code] { exit_code = status(globals); });
}

}  // namespace penstock::cli
