// The connector type `file`: a Tailer, and the waiting around it.
#include <poll.h>

#include <algorithm>

#include "connectors/api/connector.hpp"
#include "connectors/file/directory_watcher.hpp"
#include "connectors/file/settings.hpp"
#include "connectors/file/tailer.hpp"

namespace penstock::connectors::file {
namespace {

/// Between two looks at growing files, so that many small writes become one chunk: short after a
/// rest, since a single line should not wait for others, and longer while lines keep coming.
constexpr std::int64_t pause_min_us = 1'000;
constexpr std::int64_t pause_max_us = 20'000;

class FileConnector final : public Connector {
 public:
  explicit FileConnector(Settings settings) : settings_(std::move(settings)) {}

  Result<void> run(Session& session) override {
    const Result<void> result = follow(session);
    return !result.ok() && result.error().code == Errc::stopped ? Result<void>() : result;
  }

 private:
  Result<void> follow(Session& session) {
    // The kernel wakes us in real time, so real time is what is counted here.
    const Clock& clock = system_clock();
    Tailer tailer(settings_, session);
    DirectoryWatcher watcher(session.log());
    PENSTOCK_TRY(tailer.load(clock.steady_us()));
    std::uint64_t searches = 0;
    std::int64_t pause_us = pause_min_us;
    Wake woken_by = Wake::change;
    while (!session.stop_token().stop_requested()) {
      const DirectoryWatcher::Changes changes = watcher.drain();
      for (const std::string& path : changes.paths) tailer.changed(path);
      if (changes.is_rescan_due) tailer.rescan();
      const std::int64_t now_us = clock.steady_us();
      PENSTOCK_TRY_ASSIGN(const bool has_more, tailer.step(now_us));
      if (tailer.search_count() != searches) {
        searches = tailer.search_count();
        if (watcher.watch(tailer.directories())) tailer.rescan();
        tailer.set_polling(!watcher.is_complete());
      }
      if (has_more) continue;
      if (woken_by == Wake::change) {
        const std::int64_t left_us = now_us + pause_us - clock.steady_us();
        if (wait(session.stop_fd(), -1, left_us) == Wake::stop) return {};
        if (wait(session.stop_fd(), watcher.fd(), 0) == Wake::change) {
          pause_us = std::min(2 * pause_us, pause_max_us);
          continue;
        }
        pause_us = pause_min_us;
      }
      const std::int64_t wait_us = tailer.next_due_us() - clock.steady_us();
      woken_by = wait(session.stop_fd(), watcher.fd(), wait_us);
      if (woken_by == Wake::stop) return {};
    }
    return {};
  }

  enum class Wake { stop, change, time };
  static Wake wait(int stop_fd, int changes_fd, std::int64_t time_us) {
    pollfd waits[] = {{stop_fd, POLLIN, 0}, {changes_fd, POLLIN, 0}};
    const std::int64_t time_ms = std::clamp<std::int64_t>((time_us + 999) / 1000, 0, 60'000);
    ::poll(waits, 2, static_cast<int>(time_ms));  // an interruption is only an early look
    if (waits[0].revents != 0) return Wake::stop;
    return waits[1].revents != 0 ? Wake::change : Wake::time;
  }

  Settings settings_;
};

Result<std::unique_ptr<Connector>> make(const config::Section& section) {
  PENSTOCK_TRY_ASSIGN(Settings settings, read_settings(section));
  return std::unique_ptr<Connector>(std::make_unique<FileConnector>(std::move(settings)));
}

}  // namespace

extern const ConnectorType type;
const ConnectorType type{
    .name = "file",
    .summary = "lines of growing log files, through rotation and truncation",
    .is_rereadable = true,
    .options = options(),
    .make = make,
};

}  // namespace penstock::connectors::file
