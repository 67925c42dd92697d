// Rotation is where tailers lose lines or read them twice.
#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "connectors/file/follower.hpp"
#include "connectors/file/names.hpp"
#include "tests/support/fake_session.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::connectors::file {
namespace {

using std::filesystem::copy_file;
using std::filesystem::remove;
using std::filesystem::rename;
using std::filesystem::resize_file;
using tests::append_file;
using tests::write_file;
using Lines = std::vector<std::string>;

struct Fixture {
  tests::TempDir dir;
  Follower<tests::FakeSession> follower;

  /// Whether the pattern names the rotated files too must make no difference.
  explicit Fixture(const char* pattern = "app.log") : follower({}) {
    follower.settings.paths = {at(pattern)};
  }
  std::string at(std::string_view name) const { return (dir / name).string(); }
  std::string log() const { return at("app.log"); }
};

TEST_CASE("the rest of a renamed file comes before its successor") {
  const char* pattern = GENERATE("app.log", "app.log*");
  const bool with_restart = GENERATE(false, true);
  INFO(pattern << (with_restart ? ", restart" : ""));
  Fixture f(pattern);
  write_file(f.log(), "one\n");
  f.follower.settle();
  append_file(f.log(), "two\nthree\n");
  rename(f.log(), f.at("app.log.1"));
  write_file(f.log(), "four\n");
  if (with_restart) f.follower.restart();
  CHECK(f.follower.lines() == Lines{"one", "two", "three", "four"});
  append_file(f.at("app.log.1"), "late\n");
  append_file(f.log(), "five\n");
  CHECK(f.follower.lines() == Lines{"one", "two", "three", "four", "late", "five"});
  for (const auto& event : f.follower.session.events()) CHECK(event.text("path") == f.log());
}

TEST_CASE("an unfinished line of a renamed file is an event once the file is quiet") {
  Fixture f;
  write_file(f.log(), "one\nunfin");
  f.follower.settle();
  rename(f.log(), f.at("app.log.1"));
  write_file(f.log(), "next\n");
  f.follower.settings.rotated_wait = std::chrono::hours(1);
  CHECK(f.follower.lines() == Lines{"one"});
  append_file(f.at("app.log.1"), "ished\nlast");
  CHECK(f.follower.lines() == Lines{"one", "unfinished"});
  f.follower.now_us += 3'600'000'000;
  CHECK(f.follower.lines() == Lines{"one", "unfinished", "last", "next"});
}

TEST_CASE("files rotated twice while nobody looked are read in order") {
  const char* pattern = GENERATE("app.log", "app.log*");
  const bool with_restart = GENERATE(false, true);
  Fixture f(pattern);
  write_file(f.at("app.log.9"), "ancient\n");  // rotated long before the first start
  f.follower.settings.start = Start::end;
  write_file(f.log(), "");
  f.follower.settle();
  f.follower.settings.start = Start::beginning;
  append_file(f.log(), "one\n");
  rename(f.log(), f.at("app.log.2"));
  write_file(f.at("app.log.1"), "two\n");
  write_file(f.at("app.log.1.gz"), "\x1f\x8b\x08");
  write_file(f.log(), "three\n");
  if (with_restart) f.follower.restart();
  CHECK(f.follower.lines() == Lines{"one", "two", "three"});
  f.follower.restart();
  CHECK(f.follower.lines() == Lines{"one", "two", "three"});
}

TEST_CASE("many rotations leave no rubbish behind") {
  Fixture f;
  Lines want;
  for (int i = 0; i < 30; ++i) {
    for (int k = 3; k > 0; --k) {
      const std::string from = k == 1 ? f.log() : f.at("app.log." + std::to_string(k - 1));
      if (std::filesystem::exists(from)) rename(from, f.at("app.log." + std::to_string(k)));
    }
    write_file(f.log(), "line " + std::to_string(i) + "\n");
    want.push_back("line " + std::to_string(i));
    if (i % 7 == 3) f.follower.restart();
    CHECK(f.follower.lines() == want);
  }
  CHECK(f.follower.session.positions().size() <= 5);
  CHECK(f.follower.tailer->file_count() <= 4);
}

TEST_CASE("a deleted file is read to its end through the open descriptor") {
  Fixture f;
  write_file(f.log(), "one\n");
  f.follower.settle();
  append_file(f.log(), "two\nlast");
  remove(f.log());
  CHECK(f.follower.lines() == Lines{"one", "two", "last"});
  CHECK(f.follower.tailer->open_count() == 0);
  write_file(f.log(), "one\n");
  CHECK(f.follower.lines() == Lines{"one", "two", "last", "one"});
}

TEST_CASE("what was seen but not read of a deleted file is told as lost") {
  Fixture f;
  write_file(f.log(), "one\nhalf");
  f.follower.settle();
  f.follower.restart();
  remove(f.log());
  CHECK(f.follower.lines() == Lines{"one", "<lost>"});
  CHECK_FALSE(f.follower.session.events().back().exact);
}

TEST_CASE("a truncated file is read from its beginning") {
  const bool with_restart = GENERATE(false, true);
  Fixture f;
  write_file(f.log(), "one\ntwo\n");
  f.follower.settle();
  resize_file(f.log(), 0);
  if (with_restart) f.follower.restart();
  append_file(f.log(), "three\n");
  CHECK(f.follower.lines() == Lines{"one", "two", "three"});
}

TEST_CASE("truncated and grown beyond the old size between two looks") {
  const bool with_restart = GENERATE(false, true);
  Fixture f;
  const std::string banner(400, '#');
  write_file(f.log(), banner + "\none\n");
  f.follower.settle();
  resize_file(f.log(), 0);
  append_file(f.log(), banner + "\nsomething else\nmore\n");
  if (with_restart) f.follower.restart();
  CHECK(f.follower.lines() == Lines{banner, "one", banner, "something else", "more"});
}

TEST_CASE("the same inode with other content is another file") {
  Fixture f;
  write_file(f.log(), "one\ntwo\n");
  f.follower.settle();
  f.follower.restart();
  write_file(f.log(), "uno\ndos\n");  // as long as before
  CHECK(f.follower.lines() == Lines{"one", "two", "uno", "dos"});
}

TEST_CASE("an unread end that was truncated away is told as lost") {
  Fixture f;
  write_file(f.log(), "one\nunfinished");
  f.follower.settle();
  resize_file(f.log(), 0);
  CHECK(f.follower.lines() == Lines{"one", "<lost>"});
  append_file(f.log(), "two\n");
  CHECK(f.follower.lines() == Lines{"one", "<lost>", "two"});
}

TEST_CASE("copytruncate: the unread rest is found in the copy") {
  const char* pattern = GENERATE("app.log", "app.log*");
  const bool with_restart = GENERATE(false, true);
  const bool with_look_between = GENERATE(false, true);
  INFO(pattern << (with_restart ? ", restart" : "") << (with_look_between ? ", look between" : ""));
  Fixture f(pattern);
  write_file(f.log(), "one\n");
  f.follower.settle();
  append_file(f.log(), "two\nthree");
  copy_file(f.log(), f.at("app.log.1"));
  if (with_look_between) f.follower.settle();
  if (with_restart) f.follower.restart();
  resize_file(f.log(), 0);
  append_file(f.log(), "four\n");
  CHECK(f.follower.lines() == Lines{"one", "two", "three", "four"});
  f.follower.restart();
  append_file(f.log(), "five\n");
  CHECK(f.follower.lines() == Lines{"one", "two", "three", "four", "five"});
}

TEST_CASE("copytruncate twice while the agent was down") {
  const char* pattern = GENERATE("app.log", "app.log*");
  Fixture f(pattern);
  write_file(f.log(), "one\n");
  f.follower.settle();
  f.follower.tailer.reset();
  append_file(f.log(), "two\n");
  copy_file(f.log(), f.at("app.log.2"));
  resize_file(f.log(), 0);
  append_file(f.log(), "three\n");
  copy_file(f.log(), f.at("app.log.1"));
  resize_file(f.log(), 0);
  append_file(f.log(), "four\n");
  CHECK(f.follower.lines() == Lines{"one", "two", "three", "four"});
}

TEST_CASE("a copy is not read twice, a file that only begins alike is") {
  Fixture f("app*");
  write_file(f.log(), "same\nold\n");
  f.follower.settle();
  copy_file(f.log(), f.at("app.log.bak"));
  write_file(f.at("app-2.log"), "same\nold\n");  // another process: no name of a rotation
  write_file(f.at("app.log.2026-01-01"), "same\nother\n");
  CHECK(f.follower.lines() == Lines{"same", "old", "same", "old", "same", "other"});
}

TEST_CASE("a writer without O_APPEND leaves a hole after copytruncate") {
  Fixture f;
  const int fd = ::open(f.log().c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  REQUIRE(fd >= 0);
  const std::string block(10'000, 'x');
  REQUIRE(::write(fd, (block + "\n").data(), block.size() + 1) > 0);
  f.follower.settle();
  resize_file(f.log(), 0);
  const bool with_look_between = GENERATE(false, true);
  if (with_look_between) f.follower.settle();
  REQUIRE(::write(fd, "after\n", 6) == 6);
  ::close(fd);
  CHECK(f.follower.lines() == Lines{block, "after"});
}

TEST_CASE("a link that is pointed at another file is a rotation") {
  Fixture f("current");
  write_file(f.at("20260101.txt"), "one\n");
  std::filesystem::create_symlink("20260101.txt", f.at("current"));
  f.follower.settle();
  append_file(f.at("20260101.txt"), "two\n");
  write_file(f.at("20260102.txt"), "three\n");
  remove(f.at("current"));
  std::filesystem::create_symlink("20260102.txt", f.at("current"));
  CHECK(f.follower.lines() == Lines{"one", "two", "three"});
}

TEST_CASE("a device that has another number after a restart holds the same files") {
  Fixture f;
  write_file(f.log(), "one\n");
  f.follower.settle();
  auto positions = f.follower.session.positions();
  for (auto next = positions.begin(); next != positions.end();) {
    auto entry = positions.extract(next++);
    if (entry.key().empty()) {
      positions.insert(std::move(entry));
      continue;
    }
    Position position = decode(entry.mapped()).value();
    position.id.device += 1;
    positions[part_of(position.id)] = encode(position, position.path);
    break;
  }
  positions[std::string(started_part)] = "\x01";
  f.follower.session.set_positions(positions);
  f.follower.restart();
  append_file(f.log(), "two\n");
  CHECK(f.follower.lines() == Lines{"one", "two"});
  CHECK(f.follower.session.positions().size() == 2);
}

TEST_CASE("a directory that is not mounted now makes nothing forgotten") {
  Fixture f("logs/app.log");
  std::filesystem::create_directory(f.at("logs"));
  write_file(f.at("logs/app.log"), "one\n");
  f.follower.settle();
  f.follower.tailer.reset();
  rename(f.at("logs"), f.at("elsewhere"));
  f.follower.restart();
  CHECK(f.follower.lines() == Lines{"one"});
  f.follower.restart();
  f.follower.settle();
  rename(f.at("elsewhere"), f.at("logs"));
  append_file(f.at("logs/app.log"), "two\n");
  CHECK(f.follower.lines() == Lines{"one", "two"});
}

TEST_CASE("names of rotated files") {
  struct Row {
    const char* base;
    const char* name;
    bool want;
  };
  const Row row = GENERATE(values<Row>({{"app.log", "app.log.1", true},
                                        {"app.log", "app.log-20260101", true},
                                        {"app.log", "app.log.2026-01-01T10:00:00", true},
                                        {"app.log", "app.log.old", true},
                                        {"app.log", "app-20260101.log", true},
                                        {"app.log", "app.2026-01-01.log", true},
                                        {"app", "app.1", true},
                                        {"app.log", "app.log", false},
                                        {"app.log", "app.log.1.gz", false},
                                        {"app.log", "app.log.", false},
                                        {"app.log", "app-2.log", false},
                                        {"app.log", "app-error.log", false},
                                        {"app.log", "app.log1", false},
                                        {".log", ".-20260101.log", false}}));
  INFO(row.base << " " << row.name);
  CHECK(is_rotated_name(row.base, row.name) == row.want);
  const std::vector<std::string> bases = rotation_bases(row.name);
  CHECK((std::count(bases.begin(), bases.end(), row.base) > 0) == row.want);
}

TEST_CASE("age of rotated files by name") {
  CHECK(is_older_name("app.log.2", "app.log.1"));
  CHECK(is_older_name("app.log.10", "app.log.9"));
  CHECK_FALSE(is_older_name("app.log.1", "app.log.2"));
  CHECK(is_older_name("app-20251231.log", "app-20260101.log"));
  CHECK_FALSE(is_older_name("app.log", "app.log"));
}

}  // namespace
}  // namespace penstock::connectors::file
