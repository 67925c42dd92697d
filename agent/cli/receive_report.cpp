#include "agent/cli/receive_report.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>

#include "agent/base/log.hpp"
#include "agent/daemon/json_line.hpp"

namespace penstock::cli {
namespace {

constexpr std::size_t gathered_max = 256 * 1024;
constexpr std::uint64_t told_max = 100;

Result<void> write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EPIPE) {
      return Error{Errc::stopped, "nobody reads the output any more"};
    } else if (errno != EINTR) {
      return errno_error("write the output");
    }
  }
  return {};
}

/// One write a line, so that lines of several programs on one terminal stay whole. A stderr that
/// cannot be written leaves nobody to tell.
void tell(std::string line) {
  line += '\n';
  static_cast<void>(write_all(STDERR_FILENO, line));
}

std::string named(std::string_view device, std::string_view stream, std::string_view epoch) {
  return fmt::format("device={} stream={} epoch={}", penstock::quoted(device),
                     penstock::quoted(stream), penstock::quoted(epoch));
}

daemon::JsonLine& add_names(daemon::JsonLine& line, std::string_view device,
                            std::string_view stream, std::string_view epoch) {
  // The names are JSON text already: escapes and all as they came.
  const auto as_json = [](std::string_view name) { return fmt::format("\"{}\"", name); };
  return line.raw("device", as_json(device))
      .raw("stream", as_json(stream))
      .raw("epoch", as_json(epoch));
}

std::string_view plural(std::uint64_t count) { return count == 1 ? "" : "s"; }

daemon::JsonLine& add_sums(daemon::JsonLine& line, const Reporter::Sums& sums) {
  const ReceiverCounts& counts = sums.counts;
  return line.number("streams", counts.streams)
      .number("events", counts.events)
      .number("repeats", counts.repeats)
      .number("late", counts.late)
      .number("gaps", counts.gaps)
      .number("missing", counts.missing)
      .number("conflicts", counts.conflicts)
      .number("loss_records", counts.loss_records)
      .number("lost", counts.lost)
      .number("undecodable", sums.undecodable)
      .number("untracked", counts.untracked)
      .number("other", sums.other)
      .decimal("seconds", sums.seconds);
}

std::string sums_as_text(const Reporter::Sums& sums) {
  const ReceiverCounts& counts = sums.counts;
  std::string text = fmt::format(
      "{} event{} in {} stream{}, {} repeat{} removed, {} late, {} gap{}, {} conflict{}, "
      "{} loss record{}",
      counts.events, plural(counts.events), counts.streams, plural(counts.streams), counts.repeats,
      plural(counts.repeats), counts.late, counts.gaps, plural(counts.gaps), counts.conflicts,
      plural(counts.conflicts), counts.loss_records, plural(counts.loss_records));
  const auto add = [&text](std::uint64_t count, std::string_view what) {
    if (count != 0) text += fmt::format(", {} {}", count, what);
  };
  add(counts.missing, "missing");
  add(counts.lost, "told as lost");
  add(sums.undecodable, "undecodable");
  add(counts.untracked, "not checked");
  add(sums.other, "other messages");
  return text;
}

}  // namespace

Result<void> LineWriter::line(std::string_view text) {
  if (!state_.ok()) return state_;
  waiting_.append(text).append(1, '\n');
  return waiting_.size() < gathered_max ? Result<void>() : flush();
}

Result<void> LineWriter::flush() {
  if (!state_.ok() || waiting_.empty()) return state_;
  state_ = write_all(fd_, waiting_);
  waiting_.clear();
  return state_;
}

void Reporter::note(std::string_view text) {
  if (style_.is_quiet) return;
  tell(style_.is_json ? daemon::JsonLine().text("event", "note").text("text", text).take()
                      : std::string(text));
}

void Reporter::failure(std::string_view text) {
  tell(style_.is_json ? daemon::JsonLine().text("event", "failure").text("text", text).take()
                      : fmt::format("penstock receive: {}", text));
}

/// After told_max of a kind one last line says that the rest is only counted.
bool Reporter::may_tell(Limited& kind) {
  if (kind.told > told_max) return false;
  if (++kind.told <= told_max) return true;
  note("more of this kind are only counted");
  return false;
}

void Reporter::gap(const Gap& gap) {
  if (!may_tell(gaps_)) return;
  if (style_.is_json) {
    daemon::JsonLine line;
    line.text("event", "gap");
    add_names(line, gap.device, gap.stream, gap.epoch);
    tell(line.number("first", gap.first).number("count", gap.count).take());
    return;
  }
  tell(fmt::format("gap: {} first={} last={} count={}", named(gap.device, gap.stream, gap.epoch),
                   gap.first, gap.first + gap.count - 1, gap.count));
}

void Reporter::event_finding(Limited& kind, std::string_view name, const EventIdentity& event,
                             std::string_view why) {
  if (!may_tell(kind)) return;
  if (style_.is_json) {
    daemon::JsonLine line;
    line.text("event", name);
    add_names(line, event.device, event.stream, event.epoch);
    tell(line.number("seq", event.seq).take());
    return;
  }
  tell(fmt::format("{}: {} seq={} ({})", name, named(event.device, event.stream, event.epoch),
                   event.seq, why));
}

void Reporter::conflict(const EventIdentity& event) {
  event_finding(conflicts_, "conflict", event, "this number came before with other content");
}

void Reporter::late(const EventIdentity& event) {
  event_finding(late_, "late", event, "higher numbers came before");
}

void Reporter::untracked(const EventIdentity& event) {
  event_finding(untracked_, "untracked", event, "too many streams; this one is not checked");
}

void Reporter::undecodable(std::string_view topic, std::size_t size, std::string_view why) {
  if (!may_tell(undecodable_)) return;
  if (style_.is_json) {
    tell(daemon::JsonLine()
             .text("event", "undecodable")
             .text("topic", topic)
             .number("size", size)
             .text("text", why)
             .take());
    return;
  }
  tell(fmt::format("undecodable: topic={} size={} ({})", penstock::quoted(topic), size, why));
}

void Reporter::progress(const Sums& sums) {
  const std::uint64_t seen = sums.counts.events + sums.counts.repeats + sums.counts.loss_records;
  if (style_.is_quiet || seen == seen_before_) return;
  seen_before_ = seen;
  const double seconds = sums.seconds - seconds_before_;
  const auto more = static_cast<double>(sums.counts.events - events_before_);
  const double rate = seconds > 0 ? more / seconds : 0;
  seconds_before_ = sums.seconds;
  events_before_ = sums.counts.events;
  if (style_.is_json) {
    daemon::JsonLine line;
    tell(add_sums(line.text("event", "progress"), sums).decimal("events_per_s", rate).take());
    return;
  }
  tell(fmt::format("{} ({:.0f} events/s)", sums_as_text(sums), rate));
}

void Reporter::summary(const Sums& sums, int exit_code) {
  if (style_.is_quiet) return;
  if (style_.is_json) {
    daemon::JsonLine line;
    add_sums(line.text("event", "summary"), sums);
    tell(line.number("exit_code", static_cast<std::uint64_t>(exit_code)).take());
    return;
  }
  tell(fmt::format("summary: {}", sums_as_text(sums)));
}

}  // namespace penstock::cli
