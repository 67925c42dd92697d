#include "agent/daemon/status_report.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "agent/daemon/json_line.hpp"
#include "agent/daemon/machine.hpp"

namespace penstock::daemon {
namespace {

std::string array_of(const std::vector<std::string>& texts) {
  std::string out = "[";
  for (const std::string& text : texts) {
    if (out.size() > 1) out += ',';
    append_json_string(out, text);
  }
  return out + ']';
}

std::string buffer_json(const StatusFacts& facts) {
  JsonLine json;
  json.text("path", facts.buffer_path)
      .text("epoch", facts.store.epoch)
      .number("streams", facts.store.streams)
      .number("events", facts.store.events)
      .number("rows", facts.store.rows)
      .number("live_bytes", facts.store.live_bytes)
      .number("max_size", facts.store.max_size)
      .number("file_bytes", facts.store.file_bytes)
      .number("oldest_age_s", facts.store.oldest_age_s)
      .number("dropped_events", facts.store.dropped_events)
      .number("expired_events", facts.store.expired_events);
  return json.take();
}

std::string intake_json(const pipeline::IntakeStats& stats) {
  JsonLine json;
  json.number("events", stats.events)
      .number("bytes", stats.bytes)
      .number("batches", stats.batches)
      .number("commits", stats.commits)
      .number("commits_stretched", stats.commits_stretched)
      .number("commits_failed", stats.commits_failed)
      .number("written_bytes", stats.written_bytes)
      .number("written_bytes_day", stats.written_bytes_day)
      .number("write_budget_bytes_day", stats.write_budget_bytes_day)
      .number("commit_us_last", stats.commit_us_last)
      .number("commit_us_max", stats.commit_us_max)
      .time("last_commit", stats.last_commit_unix_us)
      .time("retrying_since", stats.retrying_since_unix_us)
      .text("error", stats.last_error)
      .boolean("is_holding_back", stats.is_holding_back);
  return json.take();
}

std::string parked_json(const forward::ForwardStats& stats) {
  std::vector<std::string> streams;
  for (const auto& parked : stats.parked) {
    JsonLine json;
    json.text("stream", parked.stream).text("reason", parked.reason);
    streams.push_back(json.take());
  }
  return fmt::format("[{}]", fmt::join(streams, ","));
}

std::string receivers_json(const forward::ForwardStats& stats) {
  std::vector<std::string> receivers;
  for (const auto& receiver : stats.receivers) {
    JsonLine json;
    json.text("name", receiver.name)
        .time("last_heard", receiver.last_heard_unix_us)
        .number("ignored", receiver.ignored)
        .boolean("is_silent", receiver.is_silent);
    receivers.push_back(json.take());
  }
  return fmt::format("[{}]", fmt::join(receivers, ","));
}

std::string upstream_json(const forward::ForwardStats& stats) {
  JsonLine json;
  json.text("state", to_string(stats.state))
      .text("broker", stats.broker)
      .text("protocol", to_string(stats.protocol))
      .time("connected_since", stats.connected_since_unix_us)
      .number("connections", stats.connections)
      .number("sent_events", stats.sent_events)
      .number("acknowledged_events", stats.acknowledged_events)
      .number("acknowledged_batches", stats.acknowledged_batches)
      .number("refused_events", stats.refused_events)
      .number("damaged_batches", stats.damaged_batches)
      .number("parked_streams", stats.parked_streams)
      .raw("parked", parked_json(stats))
      .number("verified_events", stats.verified_events)
      .number("unverified_batches", stats.unverified_batches)
      .raw("receivers", receivers_json(stats))
      .number("round_trip_us", static_cast<std::uint64_t>(stats.round_trip_us))
      .time("last_acknowledged", stats.last_acknowledged_unix_us)
      .text("error", stats.last_error)
      .time("error_time", stats.last_error_unix_us);
  return json.take();
}

std::string connector_json(const ConnectorReport& report) {
  JsonLine json;
  json.text("name", report.status.name)
      .text("type", report.status.type)
      .text("state", to_string(report.status.state))
      .time("since", report.status.since_unix_us)
      .number("restarts", report.status.restarts)
      .text("error", report.status.last_error)
      .time("error_time", report.status.last_error_unix_us)
      .time("next_try", report.status.next_try_unix_us)
      .number("events", report.stats.events)
      .number("bytes", report.stats.bytes)
      .number("lost", report.stats.lost)
      .number("cut", report.stats.cut)
      .number("streams", report.stats.streams)
      .time("last_event", report.stats.last_event_unix_us)
      .number("queued_bytes", report.stats.queued_bytes)
      .number("stored_rows", report.stored.rows)
      .number("stored_bytes", report.stored.bytes)
      .number("share_bytes_max", report.stored.share_bytes_max)
      .number("dropped_events", report.stored.dropped_events)
      .number("expired_events", report.stored.expired_events)
      .boolean("is_held_back", report.stats.is_waiting);
  return json.take();
}

std::string connectors_json(const std::vector<ConnectorReport>& connectors) {
  std::string out = "[";
  for (const ConnectorReport& report : connectors) {
    if (out.size() > 1) out += ',';
    out += connector_json(report);
  }
  return out + ']';
}

Health judge_connectors(const std::vector<ConnectorReport>& connectors,
                        std::vector<std::string>& problems) {
  std::size_t failed = 0;
  std::size_t waiting = 0;
  for (const auto& [status, stats, stored] : connectors) {
    if (status.state == ConnectorState::failed) {
      ++failed;
      problems.push_back(fmt::format("connector {} is down: {}", status.name, status.last_error));
    } else if (status.state == ConnectorState::waiting) {
      ++waiting;
      problems.push_back(fmt::format("connector {} waits: {}", status.name, status.last_error));
    }
  }
  if (failed > 0 && failed == connectors.size()) return Health::critical;
  return failed + waiting > 0 ? Health::degraded : Health::ok;
}

}  // namespace

std::string_view to_string(Health health) {
  switch (health) {
    case Health::ok: return "ok";
    case Health::degraded: return "degraded";
    case Health::critical: return "critical";
  }
  return "unknown";
}

Health judge(const StatusFacts& facts, std::vector<std::string>& problems) {
  Health worst = judge_connectors(facts.connectors, problems);
  const auto note = [&](Health health, std::string problem) {
    worst = std::max(worst, health);
    problems.push_back(std::move(problem));
  };
  if (facts.intake.retrying_since_unix_us != 0) {
    note(Health::critical, "the buffer cannot be written: " + facts.intake.last_error);
  }
  if (facts.intake.is_slow) {
    note(Health::degraded, "the disk of the buffer is slow: commits take seconds");
  }
  if (facts.store.dropped_events > 0) {
    note(Health::degraded, fmt::format("{} events were dropped since start, for want of room",
                                       facts.store.dropped_events));
  }
  if (facts.intake.is_holding_back) {
    note(Health::degraded, "the buffer is nearly full: sources that wait rather than lose do");
  }
  if (facts.upstream && facts.upstream->parked_streams > 0) {
    const auto& first = facts.upstream->parked.front();
    note(Health::degraded,
         fmt::format("{} {} refused by the broker: {}: {}", facts.upstream->parked_streams,
                     facts.upstream->parked_streams == 1 ? "stream is" : "streams are",
                     first.stream, first.reason));
  }
  if (facts.upstream) {
    for (const auto& receiver : facts.upstream->receivers) {
      if (!receiver.is_silent) continue;
      note(Health::degraded, fmt::format("receiver {} has verified nothing for long: what was sent "
                                         "stays in the buffer",
                                         receiver.name));
    }
  }
  if (facts.upstream && facts.upstream->certificate_days_left) {
    const std::int64_t days = *facts.upstream->certificate_days_left;
    note(Health::degraded, days < 0 ? std::string("our certificate for the broker has ended")
                                    : fmt::format("our certificate for the broker ends in {} {}",
                                                  days, days == 1 ? "day" : "days"));
  }
  if (facts.upstream && facts.upstream->state != forward::ForwardStats::State::connected) {
    note(Health::degraded, "the upstream is not connected");
  }
  return worst;
}

std::string status_json(const StatusFacts& facts) {
  std::vector<std::string> problems;
  const Health health = judge(facts, problems);
  const ProcessFigures process = process_figures();
  JsonLine process_json;
  process_json.number("rss_anon_kib", process.rss_anon_kib)
      .number("rss_kib", process.rss_kib)
      .number("threads", process.threads);
  JsonLine json;
  json.text("device", facts.device)
      .text("version", PENSTOCK_VERSION)
      .text("state", to_string(health))
      .raw("problems", array_of(problems))
      .number("pid", static_cast<std::uint64_t>(::getpid()))
      .number("uptime_s", static_cast<std::uint64_t>(facts.uptime_us / 1'000'000))
      .text("boot", facts.boot)
      .raw("config_files", array_of(facts.config_files))
      .raw("buffer", buffer_json(facts))
      .raw("intake", intake_json(facts.intake))
      .raw("upstream", facts.upstream ? upstream_json(*facts.upstream) : "null")
      .raw("connectors", connectors_json(facts.connectors))
      .raw("process", process_json.take());
  return json.take();
}

}  // namespace penstock::daemon
