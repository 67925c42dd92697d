// The connector type `exec`: events from what a command prints.
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "connectors/api/connector.hpp"
#include "connectors/exec/child.hpp"
#include "connectors/exec/protocol.hpp"
#include "connectors/exec/settings.hpp"
#include "connectors/support/bad_input.hpp"
#include "connectors/support/framer.hpp"
#include "connectors/support/token_bucket.hpp"

namespace penstock::connectors::exec {
namespace {

using support::Framer;
using support::Framing;

constexpr std::size_t error_line_bytes_max = 1024;
constexpr double error_lines_per_second = 20;
constexpr int error_reads_max = 16;  // at the end: a pipe's content, not what a grandchild adds
constexpr int without_pidfd_ms = 100;

/// One life of a child: its output becomes events, its errors log lines. Thread: owner only.
class Life {
 public:
  Life(const Settings& settings, Session& session, support::Decoder& decoder,
       support::BadInput& bad, support::TokenBucket& error_rate, Child child)
      : settings_(settings),
        session_(session),
        decoder_(decoder),
        bad_(bad),
        error_rate_(error_rate),
        child_(std::move(child)),
        out_(Framing::newline, settings.line_bytes_max),
        err_(Framing::newline, error_line_bytes_max) {}

  /// How it ended: "" for a good end. stopped: stop was asked for. timeout_us: 0 = none.
  Result<std::string> watch(std::int64_t timeout_us);
  void send(std::string text) { unsent_ = std::move(text); }

 private:
  int wait_ms() const;
  void write_input();
  bool read_errors();
  Result<void> read_output();
  void take_line(std::string_view line, bool is_cut);
  void take_cursor_line(std::string_view line, bool is_cut);
  Result<void> push_rest();
  Result<void> acknowledge();

  const Settings& settings_;
  Session& session_;
  support::Decoder& decoder_;
  support::BadInput& bad_;
  support::TokenBucket& error_rate_;
  Child child_;
  Framer out_;
  Framer err_;
  Chunk chunk_;
  std::string whole_;
  bool is_whole_cut_ = false;
  std::string unsent_;                 // what the child's input has not taken yet
  std::optional<std::string> to_ack_;  // pushed, not acknowledged
  std::int64_t deadline_us_ = 0;
  std::int64_t next_ack_us_ = 0;
  std::int64_t silent_until_us_ = 0;  // its output is closed: it may run on until then; 0 = open
};

Result<std::string> Life::watch(std::int64_t timeout_us) {
  const Clock& clock = system_clock();
  deadline_us_ = timeout_us > 0 ? clock.steady_us() + timeout_us : 0;
  for (;;) {
    const bool writes = !unsent_.empty() && child_.input() >= 0;
    pollfd waits[] = {{session_.stop_fd(), POLLIN, 0},
                      {child_.output(), POLLIN, 0},
                      {child_.errors(), POLLIN, 0},
                      {child_.process(), POLLIN, 0},
                      {writes ? child_.input() : -1, POLLOUT, 0}};
    ::poll(waits, 5, wait_ms());  // an interruption is only an early look
    if (waits[0].revents != 0 || session_.stop_token().stop_requested()) {
      child_.end(settings_.stop_grace);
      return Error{Errc::stopped, "stop was asked for"};
    }
    if (writes && waits[4].revents != 0) write_input();
    if (waits[2].revents != 0) read_errors();
    const bool has_ended = child_.has_ended();
    if (child_.output() >= 0) PENSTOCK_TRY(read_output());
    PENSTOCK_TRY(acknowledge());
    // What a grandchild still holds open is not waited for.
    if (has_ended) break;
    const std::int64_t now_us = clock.steady_us();
    if (deadline_us_ > 0 && now_us >= deadline_us_) {
      PENSTOCK_TRY(push_rest());
      child_.end(settings_.stop_grace);
      return std::string("it took longer than timeout");
    }
    if (silent_until_us_ > 0 && now_us >= silent_until_us_) break;
  }
  for (int reads = 0; reads < error_reads_max && read_errors(); ++reads) {
  }
  PENSTOCK_TRY(push_rest());
  return child_.end(settings_.stop_grace);
}

int Life::wait_ms() const {
  std::int64_t due_us = deadline_us_;
  if (to_ack_ && (due_us == 0 || next_ack_us_ < due_us)) due_us = next_ack_us_;
  if (silent_until_us_ > 0 && (due_us == 0 || silent_until_us_ < due_us)) due_us = silent_until_us_;
  const int at_most = child_.process() >= 0 ? 60'000 : without_pidfd_ms;
  if (due_us == 0) return at_most;
  const std::int64_t left_us = due_us - system_clock().steady_us();
  return static_cast<int>(std::clamp<std::int64_t>(left_us / 1000 + 1, 0, at_most));
}

void Life::write_input() {
  const ssize_t sent = ::send(child_.input(), unsent_.data(), unsent_.size(), MSG_NOSIGNAL);
  if (sent > 0) unsent_.erase(0, static_cast<std::size_t>(sent));
  if (sent < 0 && errno != EAGAIN && errno != EINTR) child_.close_input();
}

/// false: there is nothing now.
bool Life::read_errors() {
  char buffer[4096];
  const auto log_line = [this](std::string_view line, bool) {
    const std::int64_t now_us = system_clock().steady_us();
    if (error_rate_.wait_us(now_us) > 0) return;
    error_rate_.take(1, now_us);
    session_.log().warn("event=stderr text={}", quoted(line));
  };
  const ssize_t got = ::read(child_.errors(), buffer, sizeof buffer);
  if (got > 0) {
    err_.feed(std::string_view(buffer, static_cast<std::size_t>(got)), log_line);
  } else if (got == 0) {
    err_.finish(log_line);
    child_.close_errors();
  }
  return got > 0;
}

/// Everything that is there now.
Result<void> Life::read_output() {
  char buffer[64 * 1024];
  for (;;) {
    const ssize_t got = ::read(child_.output(), buffer, sizeof buffer);
    if (got < 0) return {};
    if (got == 0) {
      // Most programs close their output a moment before they end: not yet a reason to end them.
      child_.close_output();
      silent_until_us_ = system_clock().steady_us() + settings_.stop_grace.count();
      return {};
    }
    const std::string_view text(buffer, static_cast<std::size_t>(got));
    if (settings_.is_whole) {
      const std::size_t room = settings_.line_bytes_max - whole_.size();
      is_whole_cut_ = is_whole_cut_ || text.size() > room;
      whole_.append(text.substr(0, room));
    } else {
      out_.feed(text, [this](std::string_view line, bool is_cut) { take_line(line, is_cut); });
      if (!chunk_.is_empty()) PENSTOCK_TRY(session_.push(chunk_));
    }
    if (session_.stop_token().stop_requested()) return {};
    if (deadline_us_ > 0 && system_clock().steady_us() >= deadline_us_) return {};
    PENSTOCK_TRY(acknowledge());
  }
}

void Life::take_line(std::string_view line, bool is_cut) {
  if (settings_.has_cursor) return take_cursor_line(line, is_cut);
  if (is_cut && !support::is_of_use_cut(settings_.decode.format)) {
    return bad_.note("longer than line_bytes_max", support::BadInput::excerpt_at(line, 0));
  }
  bad_.note(decoder_.decode(line, {}, chunk_), line);
  if (is_cut) chunk_.mark_cut();
}

void Life::take_cursor_line(std::string_view line, bool is_cut) {
  std::string_view why = "longer than line_bytes_max";
  const auto parsed = is_cut ? std::nullopt : parse_cursor_line(line, why);
  if (!parsed) return bad_.note(why, support::BadInput::excerpt_at(line, 0));
  if (parsed->lost) chunk_.lost("", *parsed->lost);
  if (!parsed->events.empty()) {
    bad_.note(decoder_.decode(parsed->events, {}, chunk_), parsed->events);
  }
  if (!parsed->position) return;
  chunk_.position("", *parsed->position);
  if (!session_.is_trial()) to_ack_ = *parsed->position;
}

/// The last line may lack its newline; of the cursor protocol such a line is not whole.
Result<void> Life::push_rest() {
  if (settings_.is_whole && !whole_.empty()) {
    take_line(settings_.decode.format == support::Format::text
                  ? std::string_view(whole_).substr(0, whole_.find_last_not_of("\r\n") + 1)
                  : std::string_view(whole_),
              is_whole_cut_);
  } else if (!settings_.has_cursor) {
    out_.finish([this](std::string_view line, bool is_cut) { take_line(line, is_cut); });
  }
  return chunk_.is_empty() ? Result<void>() : session_.push(chunk_);
}

Result<void> Life::acknowledge() {
  if (!to_ack_ || !unsent_.empty()) return {};
  const std::int64_t now_us = system_clock().steady_us();
  if (now_us < next_ack_us_) return {};
  next_ack_us_ = now_us + settings_.ack_every.count();
  PENSTOCK_TRY(session_.flush());
  unsent_ = ack_line(*to_ack_);
  to_ack_.reset();
  write_input();
  return {};
}

class Exec final : public Connector {
 public:
  explicit Exec(Settings settings) : settings_(std::move(settings)) {}

  std::optional<bool> is_rereadable() const override { return settings_.has_cursor; }

  Result<void> run(Session& session) override {
    const auto decoder = support::make_decoder(settings_.decode);
    support::BadInput bad(session.log(), system_clock());
    support::TokenBucket error_rate(error_lines_per_second);
    const auto life = [&](std::int64_t timeout_us) -> Result<std::string> {
      PENSTOCK_TRY_ASSIGN(Child child, Child::start(settings_));
      Life watched(settings_, session, *decoder, bad, error_rate, std::move(child));
      if (settings_.has_cursor) watched.send(position_line(session.resume_from("")));
      return watched.watch(timeout_us);
    };
    const Result<void> result =
        settings_.every.count() > 0 ? repeat(session, life) : run_on(session, life);
    return !result.ok() && result.error().code == Errc::stopped ? Result<void>() : result;
  }

 private:
  template <typename RunLife>
  Result<void> run_on(Session& session, const RunLife& life) {
    if (session.stop_token().stop_requested()) return {};
    PENSTOCK_TRY_ASSIGN(const std::string end, life(0));
    return Error{Errc::unavailable,
                 quoted(settings_.command[0]) + " ended" + (end.empty() ? "" : ": " + end)};
  }

  /// A run that fails is told once, until one succeeds again; the next one is tried in its time.
  template <typename RunLife>
  Result<void> repeat(Session& session, const RunLife& life) {
    std::string told;
    std::int64_t due_us = session.clock().steady_us();
    while (!session.stop_token().stop_requested()) {
      Result<std::string> end = life(settings_.timeout.count());
      if (!end.ok() && end.error().code == Errc::stopped) return end.error();
      const std::string why = end.ok() ? *end : end.error().text;
      if (!why.empty() && why != told) {
        session.log().warn("event=command_failed error={}", quoted(why));
      } else if (why.empty() && !told.empty()) {
        session.log().info("event=command_works");
      }
      told = why;
      const std::int64_t now_us = session.clock().steady_us();
      due_us += ((now_us - due_us) / settings_.every.count() + 1) * settings_.every.count();
      if (!session.sleep_for(std::chrono::microseconds(due_us - now_us))) return {};
    }
    return {};
  }

  Settings settings_;
};

Result<std::unique_ptr<Connector>> make(const config::Section& section) {
  PENSTOCK_TRY_ASSIGN(Settings settings, read_settings(section));
  return std::unique_ptr<Connector>(std::make_unique<Exec>(std::move(settings)));
}

}  // namespace

extern const ConnectorType type;
const ConnectorType type{
    .name = "exec",
    .summary =
        "what a command prints, run at an interval or all the time; once, if it tells where "
        "it stands",
    .is_rereadable = true,  // with the cursor protocol
    .options = options(),
    .make = make,
};

}  // namespace penstock::connectors::exec
