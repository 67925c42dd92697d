// Follower: steps a Tailer by hand, for tests; the session is the test's.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "connectors/file/tailer.hpp"

namespace penstock::connectors::file {

template <typename FakeSession>
class Follower {
 public:
  explicit Follower(std::vector<std::string> paths) {
    settings.paths = std::move(paths);
    settings.start = Start::beginning;
  }

  /// As a restart of the agent: only what is durable is left. The first call starts it.
  void restart() {
    tailer = std::make_unique<Tailer>(settings, session);
    is_stopped = !tailer->load(now_us).ok();
  }
  /// One pass a second later, with a search. true: there is more to read.
  bool step() {
    if (!tailer) restart();
    now_us += 1'000'000;
    tailer->rescan();
    const Result<bool> more = tailer->step(now_us);
    is_stopped = !more.ok();
    return more.ok() && *more;
  }
  /// Passes until nothing is left to read.
  void settle() {
    for (int quiet = 0; quiet < 3 && !is_stopped;) quiet = step() ? 0 : quiet + 1;
  }
  /// settle(), then the messages of all events so far; losses as "<lost>".
  std::vector<std::string> lines() {
    settle();
    std::vector<std::string> texts;
    for (const auto& event : session.events()) {
      texts.push_back(event.lost > 0 ? "<lost>" : event.text("message"));
    }
    return texts;
  }

  Settings settings;
  FakeSession session;
  std::unique_ptr<Tailer> tailer;
  std::int64_t now_us = 1'000'000'000;
  bool is_stopped = false;
};

}  // namespace penstock::connectors::file
