// What receivers have: read from their topics, judged, handed to the brain, told.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "agent/forward/forwarder.hpp"

namespace penstock::forward {
namespace {

constexpr std::size_t ended_runs_max = 8;

std::string ack_topic(const ForwardOptions& options, const std::string& receiver) {
  return fmt::format("{}/{}/ack/{}", options.prefix, options.device, receiver);
}

}  // namespace

void Forwarder::subscribe_to_receivers() {
  if (options_.receivers.empty()) return;
  std::vector<std::string> topics;
  for (const std::string& name : options_.receivers) topics.push_back(ack_topic(options_, name));
  const auto subscribed = link_.subscribe(topics);
  if (!subscribed) set_error(subscribed.error().text);
}

/// Counted, and told once for each reason.
void Forwarder::ignore(std::size_t receiver, std::string_view what, std::string_view why) {
  {
    const std::lock_guard lock(stats_mutex_);
    ++stats_.receivers[receiver].ignored;
  }
  if (!runs_[receiver].said.emplace(what).second) return;
  log_.warn("event=receiver_ignored receiver={} reason={} text={}", options_.receivers[receiver],
            what, penstock::quoted(why));
}

void Forwarder::take_receiver_ack(const LinkEvent& event) {
  const auto at = std::find_if(
      options_.receivers.begin(), options_.receivers.end(),
      [&](const std::string& name) { return event.topic == ack_topic(options_, name); });
  if (at == options_.receivers.end()) return;
  const auto i = static_cast<std::size_t>(at - options_.receivers.begin());
  if (event.is_too_long) return ignore(i, "too_long", event.text);
  const auto ack = parse_receiver_ack(event.text);
  if (!ack) return ignore(i, "unreadable", ack.error().text);
  if (ack->epoch != store_.epoch()) {
    return ignore(i, "other_epoch", "it is about another buffer: " + ack->epoch);
  }
  ReceiverRuns& runs = runs_[i];
  const bool is_new_run = ack->run != runs.current;
  if (is_new_run) {
    if (std::find(runs.ended.begin(), runs.ended.end(), ack->run) != runs.ended.end()) {
      return ignore(i, "ended_run", "another run followed it: do two receivers have this name?");
    }
    // What a broker has kept may be older than a run that is known to be alive.
    if (runs.is_live && !event.is_retained) runs.ended.push_back(runs.current);
    if (runs.ended.size() > ended_runs_max) runs.ended.pop_front();
    runs.current = ack->run;
    runs.is_live = false;
  }
  runs.is_live = runs.is_live || !event.is_retained;
  const std::vector<StreamRanges> ranges = ranges_of(*ack, i);
  if (store_.generation() != generation_) return;  // these may be streams of another store
  {
    const std::lock_guard lock(stats_mutex_);
    stats_.receivers[i].last_heard_unix_us = clock_.wall_us();
  }
  step(ReceiverVerified{generation_, i, is_new_run, ranges});
}

/// A number that is not stored yet cannot have been received.
std::vector<StreamRanges> Forwarder::ranges_of(const ReceiverAck& ack, std::size_t receiver) {
  std::vector<StreamRanges> ranges;
  const auto streams = store_.stream_stats();
  if (!streams) return ranges;
  for (const buffer::StreamStats& stream : *streams) {
    const auto told = std::lower_bound(
        ack.streams.begin(), ack.streams.end(), stream.name,
        [](const ReceiverAck::Stream& one, const std::string& name) { return one.name < name; });
    if (told == ack.streams.end() || told->name != stream.name) continue;
    if (told->bounds.back() <= stream.state.next_seq) {
      ranges.push_back({stream.state.id, told->bounds});
    } else {
      ignore(receiver, "impossible",
             fmt::format("it claims numbers of {} up to {}; {} is the next one", stream.name,
                         told->bounds.back(), stream.state.next_seq));
    }
  }
  return ranges;
}

void Forwarder::report_receivers(const Report& report) {
  const auto waiting = static_cast<std::uint64_t>(std::max<std::int64_t>(0, report.value));
  if (report.kind == Report::Kind::went_back) {
    log_.debug("event=sending_again");
  } else if (report.kind != Report::Kind::verified) {
    report_silence(report);
  }
  if (report.kind == Report::Kind::went_back) return;  // what waits is the same as before
  const std::lock_guard lock(stats_mutex_);
  if (report.kind == Report::Kind::verified) stats_.verified_events += report.events;
  stats_.unverified_batches = waiting;
}

void Forwarder::report_silence(const Report& report) {
  const bool is_silent = report.kind == Report::Kind::receiver_silent;
  if (is_silent) silent_receiver_ = report.receiver;
  const std::string& name = options_.receivers[silent_receiver_];
  if (is_silent) {
    log_.warn(
        "event=receiver_silent receiver={} unverified_batches={} text=\"it has verified nothing "
        "for long: what was sent stays in the buffer and is sent again\"",
        name, report.value);
  } else {
    log_.info("event=receiver_back receiver={}", name);
  }
  {
    const std::lock_guard lock(stats_mutex_);
    for (ForwardStats::Receiver& receiver : stats_.receivers) {
      receiver.is_silent = is_silent && receiver.name == name;
    }
  }
  if (!on_change_) return;
  UpstreamChange change;
  change.kind =
      is_silent ? UpstreamChange::Kind::receiver_silent : UpstreamChange::Kind::receiver_back;
  change.broker = options_.brokers[report.broker].url;
  change.receiver = name;
  on_change_(change);
}

}  // namespace penstock::forward
