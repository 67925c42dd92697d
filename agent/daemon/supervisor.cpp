#include "agent/daemon/supervisor.hpp"

#include <pthread.h>

#include <algorithm>
#include <random>

namespace penstock::daemon {
namespace {

/// A run that lasted this long was a success: the next failure counts as the first.
constexpr std::int64_t healthy_run_us = 60'000'000;

void name_this_thread(const std::string& connector) {
  std::string name = "c:" + connector;
  name.resize(std::min<std::size_t>(name.size(), 15));  // pthread_setname_np(3)
  ::pthread_setname_np(::pthread_self(), name.c_str());
}

double chance() {
  thread_local std::minstd_rand generator{std::random_device{}()};
  return std::uniform_real_distribution<double>(0, 1)(generator);
}

}  // namespace

std::string_view to_string(ConnectorState state) {
  switch (state) {
    case ConnectorState::running: return "running";
    case ConnectorState::waiting: return "waiting";
    case ConnectorState::failed: return "failed";
    case ConnectorState::finished: return "finished";
    case ConnectorState::stopped: return "stopped";
  }
  return "unknown";
}

Supervisor::Supervisor(std::vector<SupervisedConnector> connectors, OnChange on_change,
                       Backoff backoff)
    : on_change_(std::move(on_change)), backoff_(backoff), workers_(connectors.size()) {
  for (std::size_t i = 0; i < connectors.size(); ++i) {
    workers_[i].what = std::move(connectors[i]);
    workers_[i].status.name = workers_[i].what.name;
    workers_[i].status.type = workers_[i].what.type;
  }
}

Supervisor::~Supervisor() {
  request_stop();
  for (Worker& worker : workers_) {
    if (worker.thread.joinable()) worker.thread.join();
  }
}

void Supervisor::start() {
  for (Worker& worker : workers_) {
    worker.thread = std::thread([this, &worker] { work(worker); });
  }
}

void Supervisor::request_stop() {
  for (Worker& worker : workers_) worker.what.request_stop();
}

std::vector<std::string> Supervisor::wait(std::chrono::milliseconds grace) {
  std::unique_lock lock(mutex_);
  done_.wait_for(lock, grace, [this] {
    return std::all_of(workers_.begin(), workers_.end(), [](const Worker& w) { return w.is_done; });
  });
  std::vector<std::string> left;
  for (const Worker& worker : workers_) {
    if (!worker.is_done) left.push_back(worker.what.name);
  }
  return left;
}

std::vector<ConnectorStatus> Supervisor::status() const {
  std::vector<ConnectorStatus> all;
  const std::lock_guard lock(mutex_);
  for (const Worker& worker : workers_) all.push_back(worker.status);
  return all;
}

template <typename Change>
void Supervisor::set(Worker& worker, const Change& change) {
  const std::lock_guard order(change_mutex_);
  ConnectorStatus copy;
  {
    const std::lock_guard lock(mutex_);
    worker.status.since_unix_us = worker.what.session->clock().wall_us();
    worker.status.next_try_unix_us = 0;
    change(worker.status);
    copy = worker.status;
  }
  on_change_(copy);
}

void Supervisor::work(Worker& worker) {
  name_this_thread(worker.what.name);
  connectors::Session& session = *worker.what.session;
  std::uint32_t failures = 0;
  while (true) {
    set(worker, [](ConnectorStatus& s) { s.state = ConnectorState::running; });
    const std::int64_t began_us = session.clock().steady_us();
    const Result<void> result = worker.what.connector->run(session);
    if (session.stop_token().stop_requested()) {
      return end(worker, ConnectorState::stopped, nullptr);
    }
    if (result.ok()) return end(worker, ConnectorState::finished, nullptr);
    const Error& error = result.error();
    if (error.code == Errc::invalid || error.code == Errc::corrupt) {
      return end(worker, ConnectorState::failed, &error);
    }
    const bool was_healthy = session.clock().steady_us() - began_us >= healthy_run_us;
    failures = was_healthy ? 1 : failures + 1;
    if (!wait_before_restart(worker, error, failures)) {
      return end(worker, ConnectorState::stopped, nullptr);
    }
  }
}

bool Supervisor::wait_before_restart(Worker& worker, const Error& error, std::uint32_t failures) {
  connectors::Session& session = *worker.what.session;
  const auto delay = backoff_.delay(failures, chance());
  set(worker, [&](ConnectorStatus& s) {
    s.state = ConnectorState::waiting;
    s.last_error = error.text;
    s.last_error_unix_us = s.since_unix_us;
    s.next_try_unix_us = s.since_unix_us + delay.count();
    s.restarts += 1;
    s.failures_in_a_row = failures;
  });
  if (!session.sleep_for(delay)) return false;
  // Until then the last durable position is not known, and run() would read it.
  while (!worker.what.settle().ok()) {
    if (!session.sleep_for(backoff_.first)) return false;
  }
  return !session.stop_token().stop_requested();
}

void Supervisor::end(Worker& worker, ConnectorState state, const Error* error) {
  set(worker, [&](ConnectorStatus& s) {
    s.state = state;
    if (error != nullptr) {
      s.last_error = error->text;
      s.last_error_unix_us = s.since_unix_us;
    }
  });
  const std::lock_guard lock(mutex_);
  worker.is_done = true;
  done_.notify_all();
}

}  // namespace penstock::daemon
