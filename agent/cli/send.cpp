// `penstock send`: one test batch on the way that the agent's batches take, without its buffer.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <iostream>
#include <random>

#include "agent/base/log.hpp"
#include "agent/cli/broker_trial.hpp"
#include "agent/cli/commands.hpp"
#include "agent/cli/configuration.hpp"
#include "agent/cli/human.hpp"
#include "agent/cli/terminal.hpp"
#include "agent/daemon/exit_code.hpp"
#include "agent/daemon/machine.hpp"
#include "agent/daemon/room_options.hpp"
#include "agent/pipeline/batcher.hpp"
#include "agent/pipeline/encoder.hpp"
#include "buffer/content.hpp"

namespace penstock::cli {
namespace {

constexpr std::size_t input_bytes_max = std::size_t{1} << 20;

struct SendOptions {
  std::string text = "a test by penstock send";
  std::string stream = "_test";
  std::string timeout = "10s";
  std::string client_id;  // "": the agent's and "-send"
};

/// "<connector>" or "<connector>/<part>", as they stand in a topic.
bool is_stream_name(std::string_view name) {
  const auto is_taken = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-' || c == '%' ||
           c == '/';
  };
  return !name.empty() && name.front() != '/' && name.back() != '/' && name.size() <= 192 &&
         std::count(name.begin(), name.end(), '/') <= 1 &&
         std::all_of(name.begin(), name.end(), is_taken);
}

/// Eight hexadecimal digits, as the buffer would choose for a new life.
std::string new_epoch() { return fmt::format("{:08x}", std::random_device{}()); }

/// An event for each text, numbered from 0 on: encoded and cut into rows as the intake would.
std::vector<buffer::Row> rows_of(const std::vector<std::string>& texts,
                                 const config::AgentConfig& config, const std::string& stream,
                                 const std::string& epoch) {
  const pipeline::IntakeOptions intake = daemon::intake_options(config, daemon::boot_id());
  const EventHead head(intake.device, stream, epoch);
  pipeline::Encoder encoder(intake.boot, intake.event_bytes_max);
  pipeline::EventFormat format(config.agent.tags);
  pipeline::Batcher batcher({intake.batch_events_max, intake.batch_bytes_max});
  const auto index = batcher.add_stream({1, 0, buffer::Priority::normal}, head);
  for (const std::string& text : texts) {
    const connectors::Field field{"message", std::string_view(text)};
    pipeline::EventView event;
    event.time_unix_us = system_clock().wall_us();
    event.seq = batcher.next_seq(index);
    event.fields = {&field, 1};
    encoder.append(batcher.begin_event(index), head, format, event);
    batcher.end_event(index);
  }
  std::vector<buffer::Row> rows;
  buffer::Compressor compressor;
  for (const buffer::NewRow& sealed : batcher.seal_all()) {
    buffer::Row row;
    row.key = {rows.size() + 1, sealed.stream_id, sealed.seq, sealed.count};
    row.raw_size = static_cast<std::uint32_t>(sealed.value.size());
    compressor.append(row.stored, sealed.value);
    rows.push_back(std::move(row));
  }
  return rows;
}

/// One call of the command.
class Sending {
 public:
  Sending(const config::AgentConfig& config, const SendOptions& options, const Globals& globals)
      : config_(config), options_(options), globals_(globals) {}

  int run(const std::vector<std::string>& texts, std::chrono::seconds timeout) {
    forward::ForwardOptions forward =
        daemon::forward_options(config_, *config_.upstream, daemon::boot_id());
    for (const auto& [name, value] : config_.agent.tags) {
      forward.tags[options_.stream.substr(0, options_.stream.find('/'))].insert(name);
    }
    Result<forward::ConnectOptions> connect = trial_options(forward, "-send", options_.client_id);
    auto encoder =
        forward::MessageEncoder::make({forward.prefix, forward.device, epoch_, forward.topic,
                                       forward.compression, forward.format, forward.tags});
    if (!connect || !encoder) {
      complain(connect ? encoder.error().text : connect.error().text);
      return daemon::exit_config;
    }
    connect->timeout = timeout;
    const std::vector<buffer::Row> rows = rows_of(texts, config_, options_.stream, epoch_);
    int exit_code = daemon::exit_unavailable;
    for (const config::BrokerAddress& broker : forward.brokers) {
      connect->broker = broker;
      BrokerTrial trial(*connect, forward.client_id);
      const bool is_in = trial.log_in(forward.protocol);
      exit_code = is_in ? publish(trial, *encoder, rows) : trial.report().exit_code();
      tell(trial.report(), exit_code);
      if (is_in) break;  // as the agent: the next broker is for when this one is away
    }
    return exit_code;
  }

 private:
  int publish(BrokerTrial& trial, const forward::MessageEncoder& encoder,
              const std::vector<buffer::Row>& rows) {
    const forward::Limits& limits = trial.report().limits;
    for (const buffer::Row& row : rows) {
      forward::EncodedRow encoded =
          encoder.encode(row, options_.stream, limits, system_clock().wall_us());
      if (encoded.refused_events != 0) {
        trial.give_up_too_large();
        return trial.report().exit_code();
      }
      for (forward::OutgoingMessage& message : encoded.messages) {
        const std::uint64_t events = message.events;
        if (!trial.publish(std::move(message))) return trial.report().exit_code();
        events_ += events;
      }
    }
    return daemon::exit_ok;
  }

  void tell(const TrialReport& report, int exit_code) const {
    if (globals_.is_json) {
      daemon::JsonLine line;
      report.write(line);
      line.text("stream", options_.stream).text("epoch", epoch_).number("events", events_);
      print(line.take());
      return;
    }
    const bool color = use_color(globals_, STDOUT_FILENO);
    print(report.broker);
    for (const TrialReport::Step& step : report.steps) {
      print((step.is_good ? colored("  ok   ", Color::green, color)
                          : colored("  fail ", Color::red, color)) +
            fmt::format("{:<9}{:>9.1f} ms{}{}", step.name, static_cast<double>(step.took_us) / 1e3,
                        step.note.empty() ? "" : "   ", step.note));
    }
    if (exit_code != daemon::exit_ok) return;
    print(fmt::format("Acknowledged: {} event{} of stream {}, epoch {}{}.", events_,
                      events_ == 1 ? "" : "s", options_.stream, epoch_,
                      report.limits.protocol == forward::Protocol::v3_1_1
                          ? " (with MQTT 3.1.1 a broker cannot say that it refused them)"
                          : ""));
  }

  const config::AgentConfig& config_;
  const SendOptions& options_;
  const Globals& globals_;
  const std::string epoch_ = new_epoch();
  std::uint64_t events_ = 0;
};

/// Each line of the standard input; false: too much of it.
bool read_lines(std::vector<std::string>& out) {
  std::size_t bytes = 0;
  for (std::string line; std::getline(std::cin, line);) {
    bytes += line.size();
    if (bytes > input_bytes_max) return false;
    out.push_back(std::move(line));
  }
  return !out.empty();
}

int send(const Globals& globals, const SendOptions& options) {
  const auto timeout = parse_duration(options.timeout);
  if (!timeout || *timeout < std::chrono::seconds(1)) {
    complain(fmt::format("--timeout {} is no duration of a second or more",
                         penstock::quoted(options.timeout)));
    return daemon::exit_usage;
  }
  if (!is_stream_name(options.stream)) {
    complain(fmt::format("--stream {} is no name of a stream", penstock::quoted(options.stream)));
    return daemon::exit_usage;
  }
  std::vector<std::string> texts{options.text};
  if (options.text == "-") {
    texts.clear();
    if (!read_lines(texts)) {
      complain("standard input must hold at least one line, and at most 1 MiB");
      return daemon::exit_usage;
    }
  }
  Configuration configuration(globals);
  if (!configuration.load_or_complain()) return configuration.exit_code();
  const config::AgentConfig& config = configuration.loaded().values;
  if (!config.upstream) {
    complain("there is no upstream to send to");
    return daemon::exit_config;
  }
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(*timeout);
  return finish_output(Sending(config, options, globals).run(texts, seconds));
}

}  // namespace

void add_send_command(CLI::App& app, const Globals& globals, int& exit_code) {
  auto options = std::make_shared<SendOptions>();  // shared with the callback
  CLI::App* command = app.add_subcommand(
      "send", "Send a test event the way the agent's events go; report each step");
  command->add_option("TEXT", options->text, "its message; -: an event for each line of stdin");
  command->add_option("--stream", options->stream, "its stream")->capture_default_str();
  command->add_option("--timeout", options->timeout, "for the login, and for the acknowledgement")
      ->capture_default_str();
  add_client_id_option(*command, options->client_id, "-send");
  command->footer(
      "The event has an epoch of its own, so the numbers of a running agent stay what they are.\n"
      "Exit codes: 0 acknowledged, 65 too large for the broker, 69 not reached, 75 no answer in\n"
      "time, 76 refused.\n\n"
      "Example:\n  penstock send -c penstock.yaml\n  penstock send --json hello");
  command->callback([options, &globals, &exit_code] { exit_code = send(globals, *options); });
}

}  // namespace penstock::cli
