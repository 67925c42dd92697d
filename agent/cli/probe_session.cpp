#include "agent/cli/probe_session.hpp"

#include <fmt/format.h>
#include <sys/eventfd.h>

#include "agent/base/text.hpp"

namespace penstock::cli {
namespace {

using connectors::Chunk;
using connectors::Field;

std::string as_json(const connectors::Value& value) {
  struct Visitor {
    std::string out;
    void operator()(std::monostate) { out = "null"; }
    void operator()(bool v) { out = v ? "true" : "false"; }
    void operator()(std::int64_t v) { out = std::to_string(v); }
    void operator()(std::uint64_t v) { out = std::to_string(v); }
    void operator()(double v) { append_json_double(out, v); }
    void operator()(std::string_view v) { append_json_string(out, v); }
    void operator()(Bytes v) {
      for (const char byte : v.data) {
        out += fmt::format("{:02x}", static_cast<unsigned>(static_cast<unsigned char>(byte)));
      }
      out = '"' + out + '"';
    }
  };
  Visitor visitor;
  std::visit(visitor, value);
  return std::move(visitor.out);
}

std::string as_text(const connectors::Value& value) {
  const auto* text = std::get_if<std::string_view>(&value);
  if (text == nullptr) return as_json(value);
  std::string out;
  append_escaped(out, *text);
  return out;
}

std::string time_of(const Chunk::Event& event) {
  const std::int64_t time_us =
      event.time_unix_us != 0 ? event.time_unix_us : system_clock().wall_us();
  std::string out;
  append_time(out, time_us);
  return out;
}

}  // namespace

std::string event_for_people(const Chunk& chunk, const Chunk::Event& event) {
  std::string out = time_of(event).substr(11, 12);
  if (!event.part.empty()) {
    out += "  ";
    append_escaped(out, event.part);
  }
  if (event.lost > 0) {
    return out + fmt::format("  lost {} ({})", event.exact ? std::to_string(event.lost) : "some",
                             to_string(event.reason));
  }
  for (const Field& field : chunk.fields(event)) {
    out += "  ";
    append_escaped(out, field.name);
    out += ' ';
    out += as_text(field.value);
  }
  if (event.cut) out += "  (cut)";
  return out;
}

std::string event_for_programs(const Chunk& chunk, const Chunk::Event& event) {
  std::string out = fmt::format("{{\"time\":\"{}\"", time_of(event));
  const auto add_text = [&out](std::string_view name, std::string_view text) {
    out += fmt::format(",\"{}\":", name);
    append_json_string(out, text);
  };
  if (!event.part.empty()) add_text("part", event.part);
  if (event.lost > 0) {
    out += fmt::format(",\"lost\":{}{}", event.lost, event.exact ? "" : ",\"exact\":false");
    add_text("reason", to_string(event.reason));
  }
  for (const Field& field : chunk.fields(event)) {
    out += ',';
    append_json_string(out, field.name);
    out += ':';
    out += as_json(field.value);
  }
  if (event.cut) out += ",\"cut\":true";
  return out + '}';
}

ProbeSession::ProbeSession(std::string name, std::uint64_t count_max, Show show)
    : count_max_(count_max),
      show_(std::move(show)),
      log_("conn." + name),
      stop_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Result<void> ProbeSession::push(Chunk& chunk) {
  if (stop_.stop_requested()) return Error{Errc::stopped, "stop was asked for"};
  bool is_enough = false;
  for (const Chunk::Event& event : chunk.events()) {
    show_(chunk, event);
    const std::lock_guard lock(mutex_);
    shown_count_ += 1;
    is_enough = shown_count_ >= count_max_;
    if (is_enough) break;
  }
  chunk.clear();
  if (is_enough) request_stop();
  return {};
}

bool ProbeSession::sleep_for(std::chrono::microseconds time) {
  std::unique_lock lock(mutex_);
  stopped_.wait_for(lock, stop_.get_token(), time, [] { return false; });
  return !stop_.stop_requested();
}

void ProbeSession::request_stop() {
  stop_.request_stop();
  ::eventfd_write(stop_fd_.get(), 1);
}

std::uint64_t ProbeSession::shown_count() const {
  const std::lock_guard lock(mutex_);
  return shown_count_;
}

}  // namespace penstock::cli
