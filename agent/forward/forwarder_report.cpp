// What the forwarder says: log lines once per change, statistics, changes for `_agent` events.
#include <fmt/format.h>

#include <utility>

#include "agent/forward/forwarder.hpp"

namespace penstock::forward {

std::string_view to_string(ForwardStats::State state) {
  switch (state) {
    case ForwardStats::State::waiting: return "waiting";
    case ForwardStats::State::connecting: return "connecting";
    case ForwardStats::State::connected: return "connected";
    case ForwardStats::State::stopped: return "stopped";
  }
  return "unknown";
}

void Forwarder::set_error(std::string text) {
  const std::lock_guard lock(stats_mutex_);
  stats_.last_error = std::move(text);
  stats_.last_error_unix_us = clock_.wall_us();
}

void Forwarder::clear_error() {
  const std::lock_guard lock(stats_mutex_);
  stats_.last_error.clear();
}

void Forwarder::watch_certificate() {
  const bool is_time = clock_.steady_us() >= certificate_watch_.wake_at_us();
  if (!is_time) return;
  const std::optional<std::int64_t> days = certificate_watch_.take_days_left();
  {
    const std::lock_guard lock(stats_mutex_);
    stats_.certificate_days_left = days;
  }
  if (!days) return;
  log_.warn("event=certificate_ends file={} days_left={} text={}",
            penstock::quoted(options_.tls.cert), *days,
            *days < 0 ? "\"our certificate has ended\"" : "\"our certificate ends soon\"");
  if (!on_change_) return;
  UpstreamChange change;
  change.kind = UpstreamChange::Kind::certificate_ends;
  change.days_left = *days;
  on_change_(change);
}

void Forwarder::perform(const Report& action) {
  const std::string& broker = options_.brokers[action.broker].url;
  switch (action.kind) {
    case Report::Kind::up: report_up(action); break;
    case Report::Kind::lost:
    case Report::Kind::failed: report_trouble(action); break;
    case Report::Kind::protocol_guessed:
      if (std::exchange(guessed_broker_, action.broker) != action.broker) {
        log_.warn(
            "event=protocol_fallback broker={} protocol=3.1.1 text=\"it closes connections of MQTT "
            "5 "
            "without an answer; each new connection tries MQTT 5 first, and protocol: 5 keeps to "
            "it\"",
            penstock::quoted(broker));
      }
      break;
    case Report::Kind::retry: {
      const std::int64_t ms = action.value / 1'000;
      if (std::exchange(logs_retry_, false)) {
        log_.info("event=backing_off broker={} retry_in_ms={}", penstock::quoted(broker), ms);
      } else {
        log_.debug("event=backing_off broker={} retry_in_ms={}", penstock::quoted(broker), ms);
      }
      break;
    }
    case Report::Kind::no_ack:
      trouble_ = fmt::format("no acknowledgement for {} s of a message of {} bytes",
                             action.value / 1'000'000, action.bytes);
      break;
    case Report::Kind::batch_refused:
      trouble_ = fmt::format("the broker refuses a batch: {} (0x{:02x})",
                             reason_text(action.reason_code), action.reason_code);
      is_refused_again_ = action.value > 1;
      if (!is_refused_again_) {
        log_.warn("event=batch_refused broker={} reason={} code=0x{:02x} stream={}",
                  penstock::quoted(broker), penstock::quoted(reason_text(action.reason_code)),
                  action.reason_code, penstock::quoted(stream_name(action.stream_id)));
      }
      break;
    case Report::Kind::smaller:
      log_.warn(
          "event=batches_made_smaller broker={} bytes={} text=\"connections end with a batch, or "
          "it "
          "is not acknowledged in time: it may be too large for the broker or the line\"",
          penstock::quoted(broker), action.value);
      break;
    case Report::Kind::batch_lost:
    case Report::Kind::stream_parked:
    case Report::Kind::stream_returned: report_refusal(action); break;
    case Report::Kind::status_refused:
      log_.warn("event=status_refused broker={} topic={} reason={} code=0x{:02x}",
                penstock::quoted(broker), penstock::quoted(encoder_.status_topic()),
                penstock::quoted(reason_text(action.reason_code)), action.reason_code);
      break;
    case Report::Kind::acknowledged: report_acknowledged(action); break;
    case Report::Kind::unheard:
      trouble_ = "nothing new is heard of a receiver: a new connection subscribes again";
      break;
    case Report::Kind::back_to_first:
      trouble_ = "going back to the first broker";
      log_.info("event=back_to_first broker={}", penstock::quoted(options_.brokers.front().url));
      break;
    case Report::Kind::verified:
    case Report::Kind::receiver_silent:
    case Report::Kind::receiver_back:
    case Report::Kind::went_back: report_receivers(action); break;
    case Report::Kind::finished:
      log_.info("event=stopped unacknowledged_messages={}", action.value);
      break;
  }
}

void Forwarder::count_parked() {
  constexpr std::size_t shown_max = 20;
  const std::lock_guard lock(stats_mutex_);
  stats_.parked_streams = parked_.size();
  stats_.parked.clear();
  for (const auto& [stream, reason] : parked_) {
    if (stats_.parked.size() == shown_max) break;
    stats_.parked.push_back({stream_name(stream), reason});
  }
}

void Forwarder::report_refusal(const Report& report) {
  const std::string& broker = options_.brokers[report.broker].url;
  const std::string stream = stream_name(report.stream_id);
  const std::string reason =
      report.reason_code == 0
          ? std::string("the broker ends the connection whenever it gets a batch of it")
          : fmt::format("{} (0x{:02x})", reason_text(report.reason_code), report.reason_code);
  if (report.kind == Report::Kind::batch_lost) {
    log_.error(
        "event=batch_lost broker={} stream={} events={} reason={} text=\"the broker will "
        "never take it: a loss record goes in its place\"",
        penstock::quoted(broker), penstock::quoted(stream), report.events,
        penstock::quoted(reason));
    const std::lock_guard lock(stats_mutex_);
    stats_.refused_events += report.events;
    return;
  }
  const bool is_parked = report.kind == Report::Kind::stream_parked;
  if (is_parked) {
    log_.warn(
        "event=stream_parked broker={} stream={} reason={} text=\"its batches wait and are "
        "tried again; other streams go on\"",
        penstock::quoted(broker), penstock::quoted(stream), penstock::quoted(reason));
    parked_[report.stream_id] = reason;
  } else {
    log_.info("event=stream_returned broker={} stream={}", penstock::quoted(broker),
              penstock::quoted(stream));
    parked_.erase(report.stream_id);
  }
  count_parked();
  if (!on_change_) return;
  const auto kind =
      is_parked ? UpstreamChange::Kind::stream_parked : UpstreamChange::Kind::stream_returned;
  on_change_({kind, broker, limits_.protocol, is_parked ? reason : std::string(), stream, 0});
}

void Forwarder::report_up(const Report& report) {
  const std::string& broker = options_.brokers[report.broker].url;
  const std::string line = fmt::format(
      "event=connected broker={} protocol={} receive_max={} packet_bytes_max={} conn={}",
      penstock::quoted(broker), to_string(limits_.protocol), limits_.receive_max,
      limits_.packet_bytes_max, report.connection);
  if (is_refused_again_) {
    log_.debug("{}", line);
  } else {
    log_.info("{}", line);
  }
  if (limits_.protocol == Protocol::v3_1_1) {
    log_.warn(
        "event=refusals_invisible broker={} text=\"an MQTT 3.1.1 broker may acknowledge what "
        "it throws away\"",
        penstock::quoted(broker));
  }
  if (!limits_.retains && options_.tells_status && !is_refused_again_) {
    log_.warn(
        "event=status_not_retained broker={} text=\"the broker keeps no messages: only who is "
        "subscribed at the time gets the status\"",
        penstock::quoted(broker));
  }
  if (!is_refused_again_) logged_trouble_.clear();
  trouble_.clear();
  said_acknowledged_ = false;
  {
    const std::lock_guard lock(stats_mutex_);
    stats_.state = ForwardStats::State::connected;
    stats_.protocol = limits_.protocol;
    stats_.connected_since_unix_us = clock_.wall_us();
  }
  if (on_change_) {
    on_change_({UpstreamChange::Kind::connected, broker, limits_.protocol, {}, {}, 0});
  }
}

void Forwarder::report_trouble(const Report& report) {
  const bool was_up = report.kind == Report::Kind::lost;
  const std::string& broker = options_.brokers[report.broker].url;
  // Frees the client at once, not only at the next connection.
  link_.close(std::chrono::milliseconds(500), false);
  if (trouble_.empty()) trouble_ = was_up ? "the connection was dropped" : "no answer in time";
  if (was_up && report.value >= short_lives_told) {
    trouble_ += fmt::format(", soon after it began, as those before; has another client the id {}?",
                            penstock::quoted(options_.client_id));
  }
  const std::string line = broker + ' ' + trouble_;
  const bool is_news = line != logged_trouble_ || (was_up && !is_refused_again_);
  logged_trouble_ = line;
  logs_retry_ = is_news;
  const std::string_view event = was_up ? "connection_lost" : "connection_failed";
  if (is_news) {
    log_.warn("event={} broker={} reason={}", event, penstock::quoted(broker),
              penstock::quoted(trouble_));
  } else {
    log_.debug("event={} broker={} reason={}", event, penstock::quoted(broker),
               penstock::quoted(trouble_));
  }
  set_error(trouble_);
  {
    const std::lock_guard lock(stats_mutex_);
    stats_.state = ForwardStats::State::waiting;
    stats_.connected_since_unix_us = 0;
  }
  if (was_up && on_change_) {
    on_change_({UpstreamChange::Kind::lost, broker, limits_.protocol, trouble_, {}, 0});
  }
  trouble_.clear();
}

void Forwarder::report_acknowledged(const Report& report) {
  is_refused_again_ = false;
  if (!std::exchange(said_acknowledged_, true)) {
    log_.info("event=first_acknowledged broker={} round_trip_ms={:.1f}",
              penstock::quoted(options_.brokers[report.broker].url),
              static_cast<double>(report.value) / 1'000.0);
  }
  const std::lock_guard lock(stats_mutex_);
  stats_.acknowledged_events += report.events;
  ++stats_.acknowledged_batches;
  stats_.round_trip_us = report.value;
  stats_.last_acknowledged_unix_us = clock_.wall_us();
  stats_.last_error.clear();
}

}  // namespace penstock::forward
