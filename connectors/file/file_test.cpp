// The connector as the agent runs it: real waiting, real reports from the kernel.
#include <sys/inotify.h>

#include <catch2/catch.hpp>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>

#include "agent/base/unique_fd.hpp"
#include "connectors/api/connector.hpp"
#include "tests/support/fake_session.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::connectors::file {

extern const ConnectorType type;

namespace {

using tests::append_file;
using tests::FakeSession;
using tests::write_file;
using Lines = std::vector<std::string>;

constexpr const char* kernel_only = "poll_every: 1h\nrescan_every: 1h\nrotated_wait: 0s\n";

std::unique_ptr<Connector> make(const std::string& yaml) {
  config::Diagnostics diagnostics;
  const Result<config::Section> section = config::Section::parse(yaml, type.options, diagnostics);
  INFO(diagnostics.to_text(false));
  REQUIRE(section.ok());
  Result<std::unique_ptr<Connector>> connector = type.make(*section);
  INFO(diagnostics.to_text(false));
  REQUIRE(connector.ok());
  return *std::move(connector);
}

Lines messages(const FakeSession& session) {
  Lines texts;
  for (const auto& event : session.events()) texts.push_back(event.text("message"));
  return texts;
}

/// Ends a run() that does not end by itself, so that a failure is not a hang.
class Watchdog {
 public:
  explicit Watchdog(FakeSession& session)
      : thread_([this, &session](std::stop_token stop) {
          std::unique_lock lock(mutex_);
          const auto never = [] { return false; };
          woken_.wait_for(lock, stop, std::chrono::seconds(20), never);
          session.request_stop();
        }) {}

 private:
  std::mutex mutex_;
  std::condition_variable_any woken_;
  std::jthread thread_;  // last: ends before what it uses
};

/// Runs the connector; `steps[n]` is done when n + 1 events have come, after the last it stops.
Lines run_with(FakeSession& session, const std::string& yaml,
               const std::vector<std::function<void()>>& steps) {
  std::size_t done = 0;
  session.hook = [&](FakeSession& s) {
    for (; done < steps.size() && s.events().size() > done; ++done) steps[done]();
    if (s.events().size() > steps.size()) s.request_stop();
  };
  const std::unique_ptr<Connector> connector = make(yaml);
  const Watchdog watchdog(session);
  CHECK(connector->run(session).ok());
  return messages(session);
}

TEST_CASE("the kernel's reports are enough") {
  const tests::TempDir dir;
  const std::string base = dir.path().string();
  write_file(dir / "a.log", "one\n");
  FakeSession session;
  const std::string yaml =
      "paths: [" + base + "/*.log, " + base + "/*/b.log]\nstart: beginning\n" + kernel_only;
  const Lines lines = run_with(session, yaml,
                               {[&] { append_file(dir / "a.log", "two\n"); },
                                [&] {
                                  std::filesystem::create_directory(dir / "new");
                                  write_file(dir / "new/b.log", "three\n");
                                },
                                [&] {
                                  append_file(dir / "a.log", "four\n");
                                  std::filesystem::rename(dir / "a.log", dir / "a.log.1");
                                },
                                [&] { append_file(dir / "a.log.1", "five\n"); },
                                [&] { write_file(dir / "a.log", "six\n"); }});
  CHECK(lines == Lines{"one", "two", "three", "four", "five", "six"});
}

TEST_CASE("without inotify files are polled") {
  std::vector<UniqueFd> taken;  // all instances that this user may have
  while (taken.size() < 2000) {
    UniqueFd fd(::inotify_init1(IN_CLOEXEC));
    if (!fd.is_open()) break;
    taken.push_back(std::move(fd));
  }
  if (taken.size() == 2000) {
    WARN("skipped: no limit of inotify instances here");
    return;
  }
  const tests::TempDir dir;
  write_file(dir / "a.log", "one\n");
  FakeSession session;
  const Lines lines = run_with(session,
                               "paths: " + (dir / "a.log").string() +
                                   "\nstart: beginning\npoll_every: 10ms\nrescan_every: 1h\n",
                               {[&] { append_file(dir / "a.log", "two\n"); }});
  CHECK(lines == Lines{"one", "two"});
}

TEST_CASE("run() goes on behind the last durable line") {
  const tests::TempDir dir;
  const std::string yaml = "paths: " + (dir / "*.log").string() + "\nstart: beginning\n";
  Lines want;
  std::string content;
  for (int i = 0; i < 5000; ++i) {
    want.push_back("line " + std::to_string(i) + std::string(60, '.'));
    content += want.back() + "\n";
  }
  write_file(dir / "a.log", content);
  FakeSession session;
  session.refuse_from_push = 3;
  const std::unique_ptr<Connector> connector = make(yaml);
  CHECK(connector->run(session).ok());
  CHECK(session.events().size() < want.size());

  FakeSession next;
  next.set_positions(session.positions());
  Lines lines = messages(session);
  next.hook = [&](FakeSession& s) {
    if (s.events().size() + lines.size() >= want.size()) s.request_stop();
  };
  const Watchdog watchdog(next);
  CHECK(connector->run(next).ok());
  const Lines rest = messages(next);
  lines.insert(lines.end(), rest.begin(), rest.end());
  CHECK(lines == want);
}

TEST_CASE("a stop before the start reads nothing") {
  const tests::TempDir dir;
  write_file(dir / "a.log", "one\n");
  FakeSession session;
  session.request_stop();
  CHECK(make("paths: " + (dir / "a.log").string())->run(session).ok());
  CHECK(session.events().empty());
}

TEST_CASE("an idle connector stops at once") {
  const tests::TempDir dir;
  FakeSession session;
  session.hook = [](FakeSession& s) { s.request_stop(); };  // the first start is remembered by push
  const std::unique_ptr<Connector> connector =
      make("paths: " + (dir / "a.log").string() + "\n" + kernel_only);
  CHECK(connector->run(session).ok());
  CHECK(session.positions().size() == 1);
}

TEST_CASE("bad options are refused with their place") {
  struct Row {
    const char* yaml;
    const char* want;
  };
  const Row row = GENERATE(values<Row>({{"paths: [logs/*.log]", "not an absolute path"},
                                        {"paths: [/var/log/]", "names a directory"},
                                        {"paths: []", "no path"}}));
  INFO(row.yaml);
  config::Diagnostics diagnostics;
  const auto section = config::Section::parse(row.yaml, type.options, diagnostics);
  REQUIRE(section.ok());
  CHECK_FALSE(type.make(*section).ok());
  CHECK(diagnostics.to_text(false).find(row.want) != std::string::npos);
}

}  // namespace
}  // namespace penstock::connectors::file
