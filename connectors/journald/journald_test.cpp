// The journald connector on journal files: what it takes, and rotation, vacuum and lost positions.
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "connectors/api/connector.hpp"
#include "connectors/journald/journal.hpp"
#include "tests/support/fake_session.hpp"
#include "tests/support/journal_writer.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::connectors::journald {

extern const ConnectorType type;

namespace {

using tests::FakeSession;
using tests::JournalWriter;
using tests::SeenEvent;
using tests::TempDir;

Result<std::unique_ptr<Connector>> make(const std::string& yaml) {
  config::Diagnostics diagnostics;
  auto section = config::Section::parse(yaml, type.options, diagnostics);
  if (!section.ok()) return section.error();
  auto made = type.make(*section);
  if (!made.ok()) REQUIRE(diagnostics.has_errors());
  return made;
}

/// A journal in a folder and one connector after the other that reads it.
class Bench {
 public:
  std::string yaml = "start: beginning\n";
  TempDir folder;
  std::map<std::string, std::string, std::less<>> positions;

  /// A new life of the connector, until there are `count` events or losses; their messages.
  std::vector<std::string> read(std::size_t count,
                                const std::function<void(std::size_t)>& after_push = {}) {
    FakeSession session;
    session.set_positions(positions);
    session.hook = [&](FakeSession& self) {
      if (after_push) after_push(self.pushes());
      if (self.events().size() >= count) self.request_stop();
    };
    const auto connector = make(yaml + fmt::format("directory: \"{}\"\n", folder.path().string()));
    REQUIRE(connector.ok());
    const auto result = (*connector)->run(session);
    INFO((result.ok() ? "" : result.error().text));
    REQUIRE(result.ok());
    positions = session.positions();
    events = session.events();
    std::vector<std::string> out;
    for (const SeenEvent& event : events) {
      CHECK((event.lost == 0 || !event.exact));
      out.push_back(event.lost > 0 ? "<lost>" : event.text("message"));
    }
    return out;
  }
  std::vector<SeenEvent> events;
};

using Texts = std::vector<std::string>;

TEST_CASE("an entry becomes an event with the fields that are wanted") {
  Bench bench;
  JournalWriter file(bench.folder / "system.journal", 1);
  file.append({"MESSAGE=hello\nworld", "PRIORITY=4", "SYSLOG_IDENTIFIER=app",
               "_SYSTEMD_UNIT=app.service", "_PID=17", "_CMDLINE=app --x", "_TRANSPORT=stdout"});
  SECTION("the usual ones") {
    CHECK(bench.read(1) == Texts{"hello\nworld"});
    const SeenEvent& event = bench.events.at(0);
    CHECK(event.time_unix_us == JournalWriter::first_time_us + 1'000'000);
    CHECK(event.number("priority") == 4);
    CHECK(event.text("identifier") == "app");
    CHECK(event.text("unit") == "app.service");
    CHECK(event.number("pid") == 17);
    CHECK(event.fields.size() == 5);
  }
  SECTION("chosen ones, and all") {
    bench.yaml += "fields: {text: MESSAGE, nothing: NO_SUCH}\nall_fields: true\n";
    bench.read(1);
    const SeenEvent& event = bench.events.at(0);
    CHECK(event.text("text") == "hello\nworld");
    CHECK_FALSE(event.has("nothing"));
    CHECK(event.text("cmdline") == "app --x");
    CHECK(event.text("transport") == "stdout");
    CHECK(event.number("priority") == 4);
    CHECK_FALSE(event.has("message"));
  }
  SECTION("cut") {
    bench.yaml += "value_bytes_max: 64B\n";
    file.append({"MESSAGE=" + std::string(100, 'x')});
    CHECK(bench.read(2).at(1) == std::string(64, 'x'));
    CHECK(bench.events.at(1).cut);
    CHECK_FALSE(bench.events.at(0).cut);
  }
}

TEST_CASE("units, priority and matches choose entries") {
  const auto [yaml, wanted] = GENERATE(table<std::string, Texts>(
      {{"units: [web]\n", {"web says", "systemd of web", "last"}},
       {"min_priority: err\n", {"db fails", "last"}},
       {"matches: [_SYSTEMD_UNIT=db.service, _SYSTEMD_UNIT=web.service]\n",
        {"web says", "db fails", "last"}},
       {"units: [web.service, db]\nmin_priority: info\nmatches: [KIND=y]\n",
        {"db fails", "last"}}}));
  CAPTURE(yaml);
  Bench bench;
  bench.yaml += yaml;
  JournalWriter file(bench.folder / "system.journal", 1);
  file.append({"MESSAGE=web says", "_SYSTEMD_UNIT=web.service", "PRIORITY=6", "_PID=9"});
  file.append({"MESSAGE=systemd of web", "UNIT=web.service", "_PID=1", "PRIORITY=6"});
  file.append({"MESSAGE=forged", "UNIT=web.service", "_PID=9", "PRIORITY=6"});
  file.append({"MESSAGE=db fails", "_SYSTEMD_UNIT=db.service", "PRIORITY=3", "_PID=8", "KIND=y"});
  file.append({"MESSAGE=last", "_SYSTEMD_UNIT=web.service", "PRIORITY=0", "KIND=y"});
  CHECK(bench.read(wanted.size()) == wanted);
}

TEST_CASE("boot: current takes only entries since this machine was started") {
  Bench bench;
  std::string boot = tests::read_file("/proc/sys/kernel/random/boot_id");
  boot.erase(std::remove_if(boot.begin(), boot.end(), [](char c) { return c == '-' || c == '\n'; }),
             boot.end());
  JournalWriter file(bench.folder / "system.journal", 1);
  file.append({"MESSAGE=before"});
  file.append({"MESSAGE=since", "_BOOT_ID=" + boot});
  bench.yaml += GENERATE("boot: all\n", "boot: current\n");
  const bool is_all = bench.yaml.find("boot: all") != std::string::npos;
  CHECK(bench.read(is_all ? 2 : 1) == (is_all ? Texts{"before", "since"} : Texts{"since"}));
}

TEST_CASE("it goes on behind the last entry, follows, and reads rotated files once") {
  Bench bench;
  JournalWriter first(bench.folder / "system.journal", 1);
  first.append({"MESSAGE=1"});
  CHECK(bench.read(1) == Texts{"1"});
  first.append({"MESSAGE=2"});
  // Rotation while it runs: the file gets another name, and a new one goes on.
  std::unique_ptr<JournalWriter> second;
  CHECK(bench.read(3, [&](std::size_t pushes) {
    if (pushes == 1) {
      std::filesystem::rename(bench.folder / "system.journal", bench.folder / "system@1.journal");
      second = std::make_unique<JournalWriter>(bench.folder / "system.journal", 3);
      second->append({"MESSAGE=3"});
    }
    if (pushes == 2) second->append({"MESSAGE=4"});
  }) == Texts{"2", "3", "4"});
  second->append({"MESSAGE=5"});
  CHECK(bench.read(1) == Texts{"5"});
}

TEST_CASE("start: end takes only what comes later, also after a restart without any") {
  Bench bench;
  bench.yaml = "start: end\n";
  JournalWriter file(bench.folder / "system.journal", 1);
  file.append({"MESSAGE=old"});
  bench.read(0);  // stops behind the push of the position
  REQUIRE(bench.positions.size() == 1);
  file.append({"MESSAGE=new"});
  CHECK(bench.read(1) == Texts{"new"});
}

TEST_CASE("a vacuum loses nothing of what was read, and tells what was not") {
  Bench bench;
  auto first = std::make_unique<JournalWriter>(bench.folder / "system@1.journal", 1);
  first->append({"MESSAGE=1"});
  first->append({"MESSAGE=2"});
  CHECK(bench.read(2) == Texts{"1", "2"});
  const std::uint64_t next = GENERATE(std::uint64_t{3}, std::uint64_t{5});
  std::filesystem::remove(bench.folder / "system@1.journal");
  JournalWriter second(bench.folder / "system.journal", next);
  second.append({"MESSAGE=later"});
  if (next == 3) {
    CHECK(bench.read(1) == Texts{"later"});
  } else {
    CHECK(bench.read(2) == Texts{"<lost>", "later"});
  }
  second.append({"MESSAGE=more"});
  CHECK(bench.read(1) == Texts{"more"});
}

TEST_CASE("a loss is told once, also when nothing came after it") {
  Bench bench;
  auto first = std::make_unique<JournalWriter>(bench.folder / "system@1.journal", 5);
  first->append({"MESSAGE=1"});
  CHECK(bench.read(1) == Texts{"1"});
  std::filesystem::remove(bench.folder / "system@1.journal");
  CHECK(bench.read(1) == Texts{"<lost>"});
  // Another series and boot, as after a journal in memory: with the clock behind.
  JournalWriter second(bench.folder / "system.journal", 1, 'c', 't');
  second.append({"MESSAGE=new boot"});
  CHECK(bench.read(1) == Texts{"new boot"});
}

TEST_CASE("a damaged position is a loss of unknown size, not a stop") {
  Bench bench;
  JournalWriter file(bench.folder / "system.journal", 1);
  file.append({"MESSAGE=1"});
  bench.positions[""] = GENERATE(as<std::string>{}, "\x01nonsense", "1 nonsense", "7 s=1;i=1;b=2");
  CHECK(bench.read(2) == Texts{"<lost>", "1"});
}

TEST_CASE("what a cursor says") {
  const auto facts = facts_of("s=739ad4;i=4ece7;b=6c7c6013;m=4fc72436e;t=4c508a72423d3;x=d3e5");
  REQUIRE(facts.has_value());
  CHECK(facts->sequence == "739ad4");
  CHECK(facts->number == 0x4ece7);
  CHECK(facts->boot == "6c7c6013");
  CHECK_FALSE(facts_of("").has_value());
  CHECK_FALSE(facts_of("s=1;i=zz;b=2").has_value());
  CHECK_FALSE(facts_of(";;;;i=").has_value());
}

TEST_CASE("bad options name their place") {
  const std::string yaml =
      GENERATE(as<std::string>{}, "matches: [nonsense]\n", "matches: [\"=x\"]\n",
               "matches: [\"lower=x\"]\n", "directory: relative\n", "fields: {seq: MESSAGE}\n",
               "fields: {a: message}\n", "min_priority: loud\n", "units: [\"\"]\n");
  CAPTURE(yaml);
  config::Diagnostics diagnostics;
  const auto section = config::Section::parse(yaml, type.options, diagnostics);
  CHECK_FALSE((section.ok() && type.make(*section).ok()));
  REQUIRE_FALSE(diagnostics.all().empty());
  CHECK(diagnostics.all().at(0).place.line == 1);
}

TEST_CASE("a file that cannot be opened is named, and the others are read") {
  Bench bench;
  JournalWriter(bench.folder.path() / "a.journal", 1).append({"MESSAGE=whole"});
  CHECK(unreadable_files(bench.folder.path().string()).empty());
  std::ofstream(bench.folder.path() / "b.journal") << std::string(3000, 'x');
  std::ofstream(bench.folder.path() / "notes.txt") << "no journal";
  const auto found = unreadable_files(bench.folder.path().string());
  REQUIRE(found.size() == 1);
  CHECK_THAT(found[0].text, Catch::Contains("b.journal"));
  CHECK(bench.read(1) == Texts{"whole"});
}

TEST_CASE("a directory that is not there is unavailable") {
  const auto connector = make("directory: /nonexistent/journal\n");
  REQUIRE(connector.ok());
  FakeSession session;
  const auto result = (*connector)->run(session);
  REQUIRE_FALSE(result.ok());
  CHECK(result.error().code == Errc::unavailable);
}

}  // namespace
}  // namespace penstock::connectors::journald
