#include "agent/pipeline/collector.hpp"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "agent/base/text.hpp"
#include "agent/pipeline/stream_name.hpp"

namespace penstock::pipeline {
namespace {

using connectors::Chunk;
using connectors::Field;

/// What a position costs besides its text, so that commits of positions alone are bounded too.
constexpr std::size_t position_row_bytes = 64;

SourceOptions agent_source_options() {
  SourceOptions options;
  options.name = AgentEvents::stream;
  options.type = "agent";
  // What tells why others are late or lost comes before them, and goes last from a full buffer.
  options.priority = buffer::Priority::high;
  return options;
}

Loss to_loss(const Chunk::Event& event, std::int64_t now_us) {
  // A row covers at most 2^31-1 numbers; a source that tells of more does not know.
  constexpr std::uint64_t count_max = std::numeric_limits<std::int32_t>::max();
  Loss loss;
  loss.count = static_cast<std::uint32_t>(std::min(event.lost, count_max));
  loss.reason = event.reason;
  loss.is_exact = event.exact && event.lost <= count_max;
  loss.time_unix_us = event.time_unix_us == 0 ? now_us : event.time_unix_us;
  return loss;
}

Waiting waiting_of(const Source& source) {
  if (!source.waits()) return Waiting::no;
  return source.options.is_rereadable ? Waiting::rereadable : Waiting::pushed;
}

/// Under which a part is remembered: itself, or for a long one its name, longer than any of those.
std::string long_part_key(std::string_view part) {
  std::string key = part_name(part);
  key.resize(part_name_bytes_max + 1, '\0');
  return key;
}

}  // namespace

Collector::Collector(const IntakeOptions& options, buffer::Store& store, Inbox& inbox,
                     const Clock& clock)
    : options_(options),
      store_(store),
      inbox_(inbox),
      clock_(clock),
      agent_events_(clock, options.clock, [&inbox] { inbox.wake(); }),
      clock_watch_(clock, options.clock.waits_for_sync),
      encoder_(options.boot, std::min(options.event_bytes_max, options.batch_bytes_max - 2)),
      batcher_({options.batch_events_max, options.batch_bytes_max}),
      pace_({options.commit_every, options.commit_max_delay, options.write_budget_bytes_per_s},
            clock.steady_us()),
      agent_source_(agent_source_options()) {}

Collector::Lane& Collector::lane_of(Source& source) {
  std::unique_ptr<Lane>& lane = lanes_[&source];
  if (lane == nullptr) {
    Tags tags = source.options.tags;
    tags.insert(options_.tags.begin(), options_.tags.end());  // the source's own win
    lane = std::make_unique<Lane>(source, tags);
    count_streams(*lane);
  }
  return *lane;
}

/// Takes chunks until there are none, or enough for a commit. An error leaves the chunk queued.
Result<void> Collector::collect(Taking taking) {
  PENSTOCK_TRY(collect_own());
  while (!is_full() && (taking != Taking::running || !is_flush_ready())) {
    if (!inbox_.take(is_holding_back_, taking, taken_)) break;
    if (auto added = add(lane_of(*taken_.source), taken_.chunk, ClockMembers::none); !added.ok()) {
      inbox_.put_back(taken_);
      return added;
    }
    inbox_.recycle(taken_);
  }
  return {};
}

/// The agent's own events; before all others, since a clock step explains the times after it.
Result<void> Collector::collect_own() {
  clock_watch_.check(clock_changes_);
  while (!clock_changes_.empty()) {
    PENSTOCK_TRY(add_clock_change(clock_changes_.front()));
    clock_changes_.erase(clock_changes_.begin());
  }
  if (own_chunk_.is_empty() && !agent_events_.take(own_chunk_)) return {};
  PENSTOCK_TRY(add(lane_of(agent_source_), own_chunk_, ClockMembers::none));
  own_chunk_.clear();
  return {};
}

Result<void> Collector::add_clock_change(const ClockChange& change) {
  std::string before;
  std::string after;
  append_time(before, change.before_us);
  append_time(after, change.after_us);
  Chunk chunk;
  const bool is_step = change.kind == ClockChange::Kind::step;
  chunk.add(change.after_us, "",
            {{"event", std::string_view(is_step ? "clock_step" : "clock_sync")},
             {"before", std::string_view(before)},
             {"after", std::string_view(after)}});
  return add(lane_of(agent_source_), chunk, ClockMembers::boot);
}

/// An error changes nothing: no event of the chunk was numbered.
Result<void> Collector::add(Lane& lane, const Chunk& chunk, ClockMembers clock) {
  PENSTOCK_TRY(find_routes(lane, chunk));
  encode(lane, chunk, clock);
  add_positions(lane, chunk);
  ++(lane.source->waits() ? waiting_chunks_ : chunks_);
  const std::int64_t now_us = clock_.steady_us();
  if (chunk.events().empty()) {
    pace_.note_idle_work(now_us);
  } else {
    pace_.note_rows(now_us);
  }
  return {};
}

Result<void> Collector::find_routes(Lane& lane, const Chunk& chunk) {
  routes_.clear();
  std::string_view part_before;
  for (const Chunk::Event& event : chunk.events()) {
    if (!routes_.empty() && event.part == part_before) {
      routes_.push_back(routes_.back());
      continue;
    }
    PENSTOCK_TRY_ASSIGN(const Route route, route_of(lane, event.part));
    routes_.push_back(route);
    part_before = event.part;
  }
  return {};
}

Result<Collector::Route> Collector::route_of(Lane& lane, std::string_view part) {
  if (!part.empty()) {
    std::string long_key;
    if (part.size() > part_name_bytes_max) long_key = long_part_key(part);
    const std::string_view key = long_key.empty() ? part : std::string_view(long_key);
    if (const auto known = lane.parts.find(key); known != lane.parts.end()) {
      return Route{known->second, false};
    }
    if (may_open(lane, part)) {
      PENSTOCK_TRY_ASSIGN(const Batcher::StreamIndex stream, open_stream(lane, part));
      lane.parts.emplace(key, stream);
      return Route{stream, false};
    }
  }
  if (!lane.has_own_stream) {
    PENSTOCK_TRY_ASSIGN(lane.own_stream, open_stream(lane, ""));
    lane.has_own_stream = true;
  }
  return Route{lane.own_stream, !part.empty()};
}

void Collector::count_streams(Lane& lane) {
  const std::string& name = lane.source->options.name;
  stream_count_ = 0;
  for (const buffer::GroupStats& group : store_.group_stats()) {
    stream_count_ += group.streams;
    if (group.name == name) lane.part_streams = group.streams;
  }
  if (store_.has_stream(name)) --lane.part_streams;
}

/// A stream's record stays in the buffer for ever, so those of earlier runs count: names without
/// end would fill it.
bool Collector::may_open(Lane& lane, std::string_view part) {
  const SourceOptions& source = lane.source->options;
  if (store_.has_stream(stream_name(source.name, part))) return true;
  const bool is_own_limit = lane.part_streams >= source.streams_max;
  const bool is_total_limit = options_.streams_max != 0 && stream_count_ >= options_.streams_max;
  if (!is_own_limit && !is_total_limit) return true;
  if (std::exchange(lane.has_told_full, true)) return false;
  log_.warn(
      "event=streams_full connector={} streams={} limit={} effect=\"further names share the stream "
      "{}, in the member part\" remedy=\"{}; or, where names of the past fill it, let penstock "
      "buffer new-epoch begin anew\"",
      source.name, lane.part_streams, is_own_limit ? "max_streams" : "buffer.max_size", source.name,
      is_own_limit ? "raise max_streams" : "raise buffer.max_size");
  return false;
}

Result<Batcher::StreamIndex> Collector::open_stream(Lane& lane, std::string_view part) {
  const SourceOptions& source = lane.source->options;
  const std::string name = stream_name(source.name, part);
  const bool is_new = !store_.has_stream(name);
  PENSTOCK_TRY_ASSIGN(const buffer::StreamState state,
                      store_.open_stream(name, source.priority, source.when_full));
  ++lane.source->streams;
  if (is_new) {
    ++stream_count_;
    if (!part.empty()) ++lane.part_streams;
  }
  // A stream of an earlier session may have numbers that are given but not yet durable.
  if (const auto known = streams_.find(name); known != streams_.end()) {
    batcher_.set_waiting(known->second, waiting_of(*lane.source));
    return known->second;
  }
  const Batcher::StreamIndex stream = batcher_.add_stream(
      state, EventHead(options_.device, name, store_.epoch()), waiting_of(*lane.source));
  streams_.emplace(name, stream);
  return stream;
}

void Collector::encode(Lane& lane, const Chunk& chunk, ClockMembers clock) {
  const std::int64_t now_us = clock_.wall_us();
  const bool is_clock_set = options_.clock.takes(clock_);
  EventView view;
  view.up_us = clock_.boot_us();
  std::uint64_t events = 0;
  std::uint64_t lost = 0;
  std::uint64_t cut = 0;
  const std::size_t bytes_before = batcher_.bytes();
  const auto chunk_events = chunk.events();
  for (std::size_t i = 0; i < chunk_events.size(); ++i) {
    const Chunk::Event& event = chunk_events[i];
    const Route route = routes_[i];
    if (event.lost > 0) {
      const Loss loss = to_loss(event, now_us);
      batcher_.add_loss(route.stream, loss);
      lost += loss.count;
      continue;
    }
    const bool is_stamped = event.time_unix_us == 0;
    view.time_unix_us = is_stamped ? now_us : event.time_unix_us;
    view.clock = is_stamped && !is_clock_set ? ClockMembers::unsynced : clock;
    view.seq = batcher_.next_seq(route.stream);
    view.part = route.is_shared ? event.part : std::string_view();
    view.is_cut = event.cut;
    view.fields = chunk.fields(event);
    cut += encoder_.append(batcher_.begin_event(route.stream), batcher_.head(route.stream),
                           lane.format, view);
    batcher_.end_event(route.stream);
    ++events;
  }
  Source& source = *lane.source;
  source.events += events;
  source.bytes += batcher_.bytes() - bytes_before;
  source.taken_bytes += batcher_.bytes() - bytes_before;
  source.lost += lost;
  source.cut += cut;
  if (events > 0) source.last_event_unix_us = now_us;
}

void Collector::add_positions(Lane& lane, const Chunk& chunk) {
  for (const Chunk::Position& position : chunk.positions()) {
    auto found = lane.positions.find(position.part);
    if (found == lane.positions.end()) {
      found = lane.positions.emplace(position.part, std::string()).first;
    }
    found->second = position.bytes;
    position_bytes_ += position.part.size() + position.bytes.size() + position_row_bytes;
  }
}

}  // namespace penstock::pipeline
