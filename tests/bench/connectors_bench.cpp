// What an event costs on its way in: JSON, influx lines and syslog, by the bare parser and through
// socket, syslog and http over loopback, in processor time of the agent's threads. By hand:
// build/release/tests/connectors_bench [--json] [EVENTS]
// --json: one object a line with input, way, events, cpu_us_per_event and events_per_s.
#include <fmt/format.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>

#include <atomic>
#include <cstdlib>
#include <thread>

#include "connectors/support/decoder.hpp"
#include "connectors/syslog/message.hpp"
#include "tests/support/net.hpp"

namespace {

using namespace penstock;
using connectors::Chunk;

/// Counts and drops.
class NullSession final : public connectors::Session {
 public:
  std::optional<std::string> resume_from(std::string_view) const override { return std::nullopt; }
  std::vector<std::string> known_parts() const override { return {}; }
  Result<void> push(Chunk& chunk) override {
    events += chunk.events().size();
    chunk.clear();
    return {};
  }
  Result<void> flush() override { return {}; }
  bool sleep_for(std::chrono::microseconds) override { return !stop_.stop_requested(); }
  std::stop_token stop_token() const override { return stop_.get_token(); }
  int stop_fd() const override { return stop_fd_.get(); }
  const Clock& clock() const override { return system_clock(); }
  Log& log() override { return log_; }
  void request_stop() {
    stop_.request_stop();
    ::eventfd_write(stop_fd_.get(), 1);
  }
  std::atomic<std::uint64_t> events = 0;

 private:
  std::stop_source stop_;
  UniqueFd stop_fd_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  Log log_{"conn.bench"};
};

struct Input {
  const char* name;
  std::string (*message)(std::size_t index);
  const char* socket_options;
  const char* content_type;
  const char* path;
};

std::string json(std::size_t i) {
  return fmt::format(R"({{"time":"2026-11-23T21:39:15.{:06}Z","sensor":"boiler","temp":21.{},)"
                     R"("pressure":{{"bar":3.25,"ok":true}},"count":{}}})",
                     i % 1000000, i % 100, i);
}
std::string influx(std::size_t i) {
  return fmt::format("boiler,site=plant-7,line=a temp=21.{},bar=3.25,ok=t,count={}i {}", i % 100, i,
                     1795633100000000000 + i * 1000);
}
std::string syslog(std::size_t i) {
  return fmt::format(
      "<30>1 2026-11-23T21:39:15.{:06}Z gw-7 pump 77 ID1 [m@1 tank=\"4\"] level is "
      "now {} of 100",
      i % 1000000, i % 100);
}
std::string old_syslog(std::size_t i) {
  return fmt::format("<30>Nov 23 21:39:{:02} gw-7 pump[77]: level is now {} of 100", i % 60,
                     i % 100);
}

double cpu_s(int who) {
  rusage usage{};
  ::getrusage(who, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

bool is_json_wanted = false;

void report(const char* input, const char* way, std::size_t events, double cpu) {
  if (is_json_wanted) {
    fmt::print(R"({{"input":"{}","way":"{}","events":{},"cpu_us_per_event":{:.4f},)"
               R"("events_per_s":{:.0f}}})"
               "\n",
               input, way, events, cpu / static_cast<double>(events) * 1e6,
               static_cast<double>(events) / cpu);
    return;
  }
  fmt::print("{:<12} {:<32} {:>8.3f} µs of CPU an event {:>10.0f} events/s on one core\n", input,
             way, cpu / static_cast<double>(events) * 1e6, static_cast<double>(events) / cpu);
}

void bare(const Input& input, const std::vector<std::string>& messages, std::size_t events) {
  Chunk chunk;
  connectors::support::DecodeOptions options{.format = connectors::support::Format::json,
                                             .time_key = "time"};
  if (std::string_view(input.name) == "influx")
    options.format = connectors::support::Format::influx;
  const auto decoder = connectors::support::make_decoder(options);
  connectors::syslog::SyslogParser parser(system_clock(), connectors::syslog::Zone::local);
  const bool is_syslog = std::string_view(input.name).starts_with("syslog");
  const double before = cpu_s(RUSAGE_THREAD);
  std::size_t parsed = 0;
  for (std::size_t i = 0; i < events; ++i) {
    const std::string& message = messages[i % messages.size()];
    if (is_syslog) {
      parsed += !parser.parse(message, false).text.empty();
    } else {
      parsed += decoder->decode(message, {}, chunk).events;
      if (i % 1000 == 999) chunk.clear();
    }
  }
  if (parsed != events) std::abort();
  report(input.name, is_syslog ? "bare parser" : "bare parser into a chunk", events,
         cpu_s(RUSAGE_THREAD) - before);
}

/// `send` runs here; what the other threads of the process use meanwhile is the agent's.
template <typename Send>
void through(const Input& input, const char* way, const char* type, const std::string& yaml,
             std::size_t events, const Send& send) {
  config::Diagnostics diagnostics;
  const auto* found = connectors::find_type(type);
  auto section = config::Section::parse(yaml, found->options, diagnostics);
  if (!section.ok()) std::abort();
  auto connector = found->make(*section);
  NullSession session;
  std::thread running([&] { static_cast<void>((*connector)->run(session)); });
  const double before = cpu_s(RUSAGE_SELF);
  const double before_here = cpu_s(RUSAGE_THREAD);
  send();
  while (session.events < events) ::usleep(1000);
  const double cpu = cpu_s(RUSAGE_SELF) - before - (cpu_s(RUSAGE_THREAD) - before_here);
  session.request_stop();
  running.join();
  report(input.name, way, events, cpu);
}

void by_stream(const Input& input, const std::vector<std::string>& messages, std::size_t events) {
  const auto port = tests::free_port();
  const bool is_syslog = std::string_view(input.name).starts_with("syslog");
  std::string block;
  for (const std::string& message : messages) block += message + "\n";
  through(input, is_syslog ? "syslog, TCP" : "socket, TCP", is_syslog ? "syslog" : "socket",
          fmt::format("listen: tcp://127.0.0.1:{}\n{}", port, input.socket_options), events, [&] {
            const UniqueFd fd = tests::connected(port);
            for (std::size_t sent = 0; sent < events; sent += messages.size()) {
              if (!tests::send_all(fd.get(), block)) std::abort();
            }
          });
}

void by_datagram(const Input& input, const std::vector<std::string>& messages, std::size_t events) {
  const std::string path = fmt::format("/tmp/penstock-bench-{}", ::getpid());
  const bool is_syslog = std::string_view(input.name).starts_with("syslog");
  through(input, is_syslog ? "syslog, Unix datagrams" : "socket, Unix datagrams",
          is_syslog ? "syslog" : "socket",
          fmt::format("listen: unix-datagram://{}\n{}", path, input.socket_options), events, [&] {
            UniqueFd fd;
            tests::wait_for([&] { return (fd = tests::connect_unix(path, SOCK_DGRAM)).is_open(); });
            for (std::size_t i = 0; i < events; ++i) {
              if (!tests::send_one(fd.get(), messages[i % messages.size()])) std::abort();
            }
          });
}

/// Each of the connections sends its next request when all have their answers.
void by_request(const Input& input, const std::vector<std::string>& messages, std::size_t events,
                std::size_t per_request, std::size_t connections) {
  const auto port = tests::free_port();
  std::string body;
  for (std::size_t i = 0; i < per_request; ++i) body += messages[i] + "\n";
  const std::string request =
      fmt::format("POST {} HTTP/1.1\r\nHost: x\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n{}",
                  input.path, input.content_type, body.size(), body);
  const std::string way = fmt::format("http, {} a request, {} at once", per_request, connections);
  through(input, way.c_str(), "http",
          fmt::format("listen: tcp://127.0.0.1:{}\ntime_key: time\n", port), events, [&] {
            std::vector<UniqueFd> fds;
            while (fds.size() < connections) fds.push_back(tests::connected(port));
            char answer[1024];
            for (std::size_t sent = 0; sent < events; sent += per_request * connections) {
              for (const UniqueFd& fd : fds) {
                if (!tests::send_all(fd.get(), request)) std::abort();
              }
              for (const UniqueFd& fd : fds) {
                const ssize_t bytes = ::recv(fd.get(), answer, sizeof(answer), 0);
                if (bytes < 12 || std::string_view(answer).substr(9, 3) != "204") std::abort();
              }
            }
          });
}

}  // namespace

int main(int argc, char** argv) {
  is_json_wanted = argc > 1 && std::string_view(argv[1]) == "--json";
  const int count_at = is_json_wanted ? 2 : 1;
  const std::size_t events =
      argc > count_at ? std::strtoull(argv[count_at], nullptr, 10) : 1'000'000;
  set_up_logging(LogLevel::error, LogStyle::plain);
  const Input inputs[] = {
      {"json", json, "format: json\ntime_key: time\n", "application/x-ndjson", "/"},
      {"influx", influx, "format: influx\n", "text/plain", "/write"},
      {"syslog 5424", syslog, "", nullptr, nullptr},
      {"syslog 3164", old_syslog, "", nullptr, nullptr},
  };
  for (const Input& input : inputs) {
    std::vector<std::string> messages;
    for (std::size_t i = 0; i < 1000; ++i) messages.push_back(input.message(i));
    bare(input, messages, events);
    by_stream(input, messages, events);
    by_datagram(input, messages, events);
    if (input.path == nullptr) continue;
    for (const std::size_t connections : {1, 8}) {
      for (const std::size_t per_request : {1000, 100, 50, 20, 10}) {
        by_request(input, messages, per_request < 100 ? events / 5 : events, per_request,
                   connections);
      }
    }
  }
  return 0;
}
