#include "agent/daemon/control_server.hpp"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>

#include "agent/daemon/exit_code.hpp"

namespace penstock::daemon {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t long_answer_block_bytes = 64 * 1024;

/// Collects a short answer.
class TextSink final : public LineSink {
 public:
  explicit TextSink(std::string& out) : out_(out) {}
  bool line(std::string_view json) override {
    out_ += json;
    out_ += '\n';
    return true;
  }
  bool progress(std::uint64_t, std::uint64_t) override { return true; }

 private:
  std::string& out_;
};

/// Sends a long answer as it comes; waits for the client, but not for ever and not past a stop.
class SocketSink final : public LineSink {
 public:
  SocketSink(int fd, int stop_fd, std::int64_t wait_us)
      : fd_(fd), stop_fd_(stop_fd), wait_ms_(static_cast<int>(wait_us / 1000)) {}

  bool line(std::string_view json) override {
    pending_ += json;
    pending_ += '\n';
    return pending_.size() < long_answer_block_bytes || flush();
  }
  bool progress(std::uint64_t done, std::uint64_t total) override {
    pending_ += progress_line(done, total);
    return flush();
  }
  bool end(const Answer& answer) {
    pending_ += end_line(answer);
    return flush();
  }

 private:
  bool flush() {
    std::string_view rest = pending_;
    while (!rest.empty()) {
      pollfd waited[] = {{fd_, POLLOUT, 0}, {stop_fd_, POLLIN, 0}};
      const int ready = ::poll(waited, 2, wait_ms_);
      if (ready < 0 && errno == EINTR) continue;
      if (ready <= 0 || waited[1].revents != 0) return false;
      const ssize_t sent = ::send(fd_, rest.data(), rest.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (sent < 0) return false;
      rest.remove_prefix(static_cast<std::size_t>(sent));
    }
    pending_.clear();
    return true;
  }

  const int fd_;
  const int stop_fd_;
  const int wait_ms_;
  std::string pending_;
};

std::int64_t now_us() { return system_clock().steady_us(); }

}  // namespace

struct ControlServer::Connection {
  UniqueFd fd;
  std::string in;
  std::string out;
  bool is_answered = false;
  std::int64_t deadline_us = 0;
};

ControlServer::ControlServer(Handlers handlers, ControlLimits limits)
    : handlers_(std::move(handlers)), limits_(limits) {}

ControlServer::~ControlServer() { stop(); }

Result<void> ControlServer::listen(const fs::path& path, const fs::path& link) {
  stop_fd_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop_fd_.is_open()) return errno_error("eventfd");
  PENSTOCK_TRY_ASSIGN(listener_, listen_control(path));
  path_ = path;
  if (!link.empty() && link != path) {
    std::error_code ignored;
    fs::remove(link, ignored);
    fs::create_symlink(fs::absolute(path), link, ignored);
    if (!ignored) link_ = link;
  }
  return {};
}

void ControlServer::start() {
  thread_ = std::thread([this] { serve(); });
}

void ControlServer::stop() {
  if (stop_fd_.is_open()) ::eventfd_write(stop_fd_.get(), 1);
  if (thread_.joinable()) thread_.join();
  if (long_thread_.joinable()) long_thread_.join();
  std::error_code ignored;
  if (listener_.is_open()) fs::remove(path_, ignored);
  if (!link_.empty()) fs::remove(link_, ignored);
  listener_.reset();
  link_.clear();
}

void ControlServer::serve() {
  ::pthread_setname_np(::pthread_self(), "status");
  // How often deadlines are looked at.
  const int tick_ms =
      static_cast<int>(std::min(limits_.request_wait_us, limits_.answer_wait_us) / 4'000);
  std::vector<pollfd> waited;
  while (true) {
    waited.assign({{stop_fd_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}});
    if (connections_.size() >= limits_.connections_max) waited[1].events = 0;
    for (const Connection& connection : connections_) {
      const short events = connection.out.empty() ? POLLIN : POLLOUT;
      waited.push_back({connection.fd.get(), events, 0});
    }
    const int ready = ::poll(waited.data(), waited.size(), tick_ms);
    if (ready < 0 && errno != EINTR) break;
    if (waited[0].revents != 0) break;
    for (std::size_t i = 0; i < connections_.size(); ++i) {
      serve_connection(connections_[i], ready > 0 ? waited[i + 2].revents : short{0});
    }
    connections_.erase(std::remove_if(connections_.begin(), connections_.end(),
                                      [](const Connection& c) { return !c.fd.is_open(); }),
                       connections_.end());
    if (ready > 0 && waited[1].revents != 0) accept_all();
  }
  connections_.clear();
}

void ControlServer::accept_all() {
  while (connections_.size() < limits_.connections_max) {
    UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd.is_open()) return;
    connections_.push_back({std::move(fd), {}, {}, false, now_us() + limits_.request_wait_us});
  }
}

void ControlServer::serve_connection(Connection& connection, short happened) {
  if (happened != 0 && connection.out.empty()) read_request(connection);
  if (!connection.fd.is_open()) return;
  if (!connection.out.empty()) {
    const ssize_t sent = ::send(connection.fd.get(), connection.out.data(), connection.out.size(),
                                MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) {
      connection.out.erase(0, static_cast<std::size_t>(sent));
      connection.deadline_us = now_us() + limits_.answer_wait_us;
    } else if (sent < 0 && errno != EAGAIN && errno != EINTR) {
      connection.fd.reset();
      return;
    }
  }
  const bool is_done = connection.is_answered && connection.out.empty();
  if (is_done || now_us() > connection.deadline_us) connection.fd.reset();
}

void ControlServer::read_request(Connection& connection) {
  char block[1024];
  const ssize_t got = ::recv(connection.fd.get(), block, sizeof(block), MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) {
    connection.fd.reset();
    return;
  }
  connection.in.append(block, static_cast<std::size_t>(got));
  const std::size_t end = connection.in.find('\n');
  if (end != std::string::npos) {
    answer(connection, std::string_view(connection.in).substr(0, end));
  } else if (connection.in.size() > request_bytes_max) {
    connection.out = end_line({exit_usage, "the request is too long"});
    connection.is_answered = true;
  }
}

void ControlServer::answer(Connection& connection, std::string_view line) {
  connection.is_answered = true;
  const Result<ControlRequest> request = parse_request(line);
  if (!request.ok()) {
    connection.out = end_line({exit_usage, request.error().text});
    return;
  }
  if (handlers_.is_long(*request)) {
    start_long(connection, *request);
    return;
  }
  TextSink sink(connection.out);
  const Answer result = handlers_.handle(*request, sink);
  connection.out += end_line(result);
}

void ControlServer::start_long(Connection& connection, const ControlRequest& request) {
  if (long_is_running_.exchange(true)) {
    connection.out =
        end_line({exit_try_again, "another command is walking through the buffer; try again"});
    return;
  }
  if (long_thread_.joinable()) long_thread_.join();  // at most its last line is left: bounded
  long_thread_ = std::thread([this, request, fd = std::move(connection.fd)] {
    ::pthread_setname_np(::pthread_self(), "status-long");
    SocketSink sink(fd.get(), stop_fd_.get(), limits_.answer_wait_us);
    const Answer result = handlers_.handle(request, sink);
    long_is_running_ = false;  // before the end is told: who has read it may ask again at once
    sink.end(result);
  });
}

}  // namespace penstock::daemon
