// A file that is read wrongly, twice or not at all is the worst that this connector can do.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "connectors/file/follower.hpp"
#include "tests/support/fake_session.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::connectors::file {
namespace {

using tests::append_file;
using tests::write_file;
using Lines = std::vector<std::string>;

struct Fixture {
  tests::TempDir dir;
  Follower<tests::FakeSession> follower;

  Fixture() : follower({}) { follower.settings.paths = {at("*.log")}; }
  std::string at(std::string_view name) const { return (dir / name).string(); }
};

TEST_CASE("a growing file gives its lines once") {
  Fixture f;
  write_file(f.at("a.log"), "one\ntwo\n");
  CHECK(f.follower.lines() == Lines{"one", "two"});
  append_file(f.at("a.log"), "three\n");
  CHECK(f.follower.lines() == Lines{"one", "two", "three"});
  f.follower.restart();
  append_file(f.at("a.log"), "four\n");
  CHECK(f.follower.lines() == Lines{"one", "two", "three", "four"});
  const tests::SeenEvent event = f.follower.session.events().front();
  CHECK(event.text("path") == f.at("a.log"));
  CHECK(event.part.empty());
  CHECK(event.time_unix_us == 0);
  CHECK(event.fields.size() == 2);
}

TEST_CASE("a line waits for its newline") {
  Fixture f;
  write_file(f.at("a.log"), "one\nhalf");
  CHECK(f.follower.lines() == Lines{"one"});
  f.follower.restart();
  append_file(f.at("a.log"), " whole");
  CHECK(f.follower.lines() == Lines{"one"});
  append_file(f.at("a.log"), "\n");
  CHECK(f.follower.lines() == Lines{"one", "half whole"});
}

TEST_CASE("lines keep what they hold") {
  struct Row {
    const char* name;
    std::string content;
    Lines want;
    bool is_valid;
  };
  const Row row = GENERATE(values<Row>({
      {"CR LF", "a\r\nb\r\r\nc\rd\n", {"a", "b\r", "c\rd"}, true},
      {"empty lines", "\n\r\nx\n", {"", "", "x"}, true},
      {"NUL", std::string("a\0b\n", 4), {std::string("a\0b", 3)}, true},
      {"UTF-8", "grün\n", {"grün"}, true},
      {"invalid UTF-8 is marked", "a\xff\n", {"a\xff"}, false},
  }));
  INFO(row.name);
  Fixture f;
  write_file(f.at("a.log"), row.content);
  CHECK(f.follower.lines() == row.want);
  for (const auto& event : f.follower.session.events()) {
    CHECK(event.has("invalid_utf8") == !row.is_valid);
  }
}

TEST_CASE("only the invalid line is marked") {
  Fixture f;
  write_file(f.at("a.log"), "good\nbad \xc3\ngut: ä\n");
  f.follower.settle();
  const auto events = f.follower.session.events();
  REQUIRE(events.size() == 3);
  CHECK_FALSE(events[0].has("invalid_utf8"));
  CHECK(events[1].has("invalid_utf8"));
  CHECK_FALSE(events[2].has("invalid_utf8"));
}

TEST_CASE("a long line is cut, marked, and its rest skipped, also across a restart") {
  Fixture f;
  f.follower.settings.line_bytes_max = 100;
  const bool with_restart = GENERATE(false, true);
  write_file(f.at("a.log"), "short\n" + std::string(300'000, 'x'));
  f.follower.settle();
  if (with_restart) f.follower.restart();
  append_file(f.at("a.log"), std::string(200, 'y') + "\nnext\n");
  CHECK(f.follower.lines() == Lines{"short", std::string(100, 'x'), "next"});
  const auto events = f.follower.session.events();
  CHECK_FALSE(events[0].cut);
  CHECK(events[1].cut);
  CHECK_FALSE(events[2].cut);
}

TEST_CASE("a line is cut between characters") {
  Fixture f;
  f.follower.settings.line_bytes_max = 64;
  write_file(f.at("a.log"), std::string(63, 'x') + "ü\n");
  CHECK(f.follower.lines() == Lines{std::string(63, 'x')});
  CHECK_FALSE(f.follower.session.events()[0].has("invalid_utf8"));
}

TEST_CASE("a line of exactly the limit is whole") {
  Fixture f;
  f.follower.settings.line_bytes_max = 64;
  const std::string line(64, 'x');
  write_file(f.at("a.log"), line + "\r");
  CHECK(f.follower.lines().empty());
  append_file(f.at("a.log"), "\n");
  CHECK(f.follower.lines() == Lines{line});
  CHECK_FALSE(f.follower.session.events()[0].cut);
}

TEST_CASE("start: end passes over what is there at the first start only") {
  Fixture f;
  f.follower.settings.start = Start::end;
  write_file(f.at("a.log"), "old\nunfinished");
  CHECK(f.follower.lines().empty());
  append_file(f.at("a.log"), " line\n");
  write_file(f.at("b.log"), "later file\n");
  CHECK(f.follower.lines() == Lines{"unfinished line", "later file"});
  f.follower.restart();
  write_file(f.at("c.log"), "came while away\n");
  CHECK(f.follower.lines() == Lines{"unfinished line", "later file", "came while away"});
}

TEST_CASE("the first start is remembered although there was no file") {
  Fixture f;
  f.follower.settings.start = Start::end;
  CHECK(f.follower.lines().empty());
  f.follower.restart();
  write_file(f.at("a.log"), "first\n");
  CHECK(f.follower.lines() == Lines{"first"});
}

TEST_CASE("start: end in a file that ends in an endless line") {
  Fixture f;
  f.follower.settings.start = Start::end;
  f.follower.settings.line_bytes_max = 64;
  write_file(f.at("a.log"), std::string(100'000, 'x'));
  CHECK(f.follower.lines().empty());
  append_file(f.at("a.log"), "xxx\nnext\n");
  CHECK(f.follower.lines() == Lines{"next"});
}

TEST_CASE("each file has its stream if asked") {
  Fixture f;
  f.follower.settings.stream_per_file = true;
  write_file(f.at("a.log"), "one\n");
  f.follower.settle();
  CHECK(f.follower.session.events().at(0).part == f.at("a.log"));
}

TEST_CASE("files in new directories are found, excluded ones are not") {
  Fixture f;
  f.follower.settings.paths = {f.at("*/x.log"), f.at("deep/**/y.log"), f.at("single.log")};
  f.follower.settings.exclude = {f.at("no*"), "secret*"};
  CHECK(f.follower.lines().empty());
  for (const char* name : {"one", "no", "deep/a/b", "deep/a/.hidden"}) {
    std::filesystem::create_directories(f.at(name));
  }
  write_file(f.at("one/x.log"), "one\n");
  write_file(f.at("no/x.log"), "excluded\n");
  write_file(f.at("deep/y.log"), "shallow\n");
  write_file(f.at("deep/a/b/y.log"), "deep\n");
  write_file(f.at("deep/a/.hidden/y.log"), "hidden\n");
  write_file(f.at("single.log"), "single\n");
  Lines lines = f.follower.lines();
  std::sort(lines.begin(), lines.end());
  CHECK(lines == Lines{"deep", "one", "shallow", "single"});
  CHECK(f.follower.tailer->directories().count(f.at("deep/a/b")) == 1);
  CHECK(f.follower.tailer->directories().count(f.dir.path().string()) == 1);
}

TEST_CASE("compressed files are not read as text") {
  Fixture f;
  using namespace std::string_literals;
  write_file(f.at("a.gz.log"), "\x1f\x8b\x08text\n"s);
  write_file(f.at("b.xz.log"),
             "\xfd"
             "7zXZ\0\n"s);
  write_file(f.at("c.zst.log"), "\x28\xb5\x2f\xfd\n"s);
  write_file(f.at("d.bz2.log"), "BZh91AY&SY\n"s);
  write_file(f.at("e.log"), "BZh9 is text\n");
  write_file(f.at("f.log"), "");
  CHECK(f.follower.lines() == Lines{"BZh9 is text"});
  append_file(f.at("f.log"), "\x1f\x8b\x08text\n"s);
  CHECK(f.follower.lines() == Lines{"BZh9 is text"});
  CHECK(f.follower.session.positions().size() == 2);  // e.log, and that the first start is over
}

TEST_CASE("a path that cannot be read leaves the others alone") {
  Fixture f;
  REQUIRE(::symlink(f.at("loop.log").c_str(), f.at("loop.log").c_str()) == 0);
  std::filesystem::create_directory(f.at("dir.log"));
  REQUIRE(::mkfifo(f.at("fifo.log").c_str(), 0600) == 0);
  write_file(f.at("z.log"), "fine\n");
  CHECK(f.follower.lines() == Lines{"fine"});
}

TEST_CASE("an unreadable file is read once it can be") {
  if (::geteuid() == 0) {
    WARN("skipped: permissions do not bind root");
    return;
  }
  Fixture f;
  write_file(f.at("a.log"), "locked\n");
  write_file(f.at("b.log"), "open\n");
  REQUIRE(::chmod(f.at("a.log").c_str(), 0) == 0);
  CHECK(f.follower.lines() == Lines{"open"});
  REQUIRE(::chmod(f.at("a.log").c_str(), 0600) == 0);
  CHECK(f.follower.lines() == Lines{"open", "locked"});
}

TEST_CASE("one large file does not keep the others waiting") {
  Fixture f;
  std::string content;
  for (int i = 0; i < 40'000; ++i) content += "line " + std::to_string(i) + " of the large file\n";
  write_file(f.at("a.log"), content);
  write_file(f.at("b.log"), "small\n");
  CHECK(f.follower.step());
  const auto events = f.follower.session.events();
  CHECK(events.size() < 20'000);
  CHECK(events.back().text("message") == "small");
  CHECK(f.follower.lines().size() == 40'001);
}

TEST_CASE("after a stop in the middle everything comes once") {
  Fixture f;
  Lines want;
  std::string content;
  for (int i = 0; i < 20'000; ++i) {
    want.push_back("line " + std::to_string(i));
    content += want.back() + " \n";
    want.back() += ' ';
  }
  write_file(f.at("a.log"), content);
  const std::size_t stops_at = GENERATE(1, 2, 3);
  f.follower.session.refuse_from_push = stops_at;
  f.follower.settle();
  CHECK(f.follower.is_stopped);
  f.follower.session.refuse_from_push = 0;
  f.follower.restart();
  CHECK(f.follower.lines() == want);
}

TEST_CASE("thousands of files share a few descriptors") {
  Fixture f;
  f.follower.settings.files_open_max = 16;
  constexpr int file_count = 3000;
  for (int i = 0; i < file_count; ++i) {
    write_file(f.at("f" + std::to_string(i) + ".log"), "hello\n");
  }
  std::size_t open_most = 0;
  f.follower.session.hook = [&](tests::FakeSession&) {
    const std::filesystem::directory_iterator fds("/proc/self/fd");
    open_most = std::max<std::size_t>(open_most, std::distance(begin(fds), end(fds)));
  };
  CHECK(f.follower.lines().size() == file_count);
  append_file(f.at("f77.log"), "again\n");
  CHECK(f.follower.lines().back() == "again");
  CHECK(open_most > 0);
  CHECK(open_most < 40);
  CHECK(f.follower.tailer->open_count() <= 16);
}

TEST_CASE("no more than max_files are followed") {
  Fixture f;
  f.follower.settings.files_max = 2;
  for (const char* name : {"a.log", "b.log", "c.log"})
    write_file(f.at(name), std::string(name) + "\n");
  CHECK(f.follower.lines() == Lines{"a.log", "b.log"});
}

TEST_CASE("without reports from the kernel files are looked at each poll_every") {
  Fixture f;
  write_file(f.at("a.log"), "one\n");
  f.follower.settle();
  f.follower.tailer->set_polling(true);
  append_file(f.at("a.log"), "two\n");
  f.follower.now_us += f.follower.settings.poll_every.count();
  REQUIRE(f.follower.tailer->step(f.follower.now_us).ok());
  CHECK(f.follower.session.events().back().text("message") == "two");
}

TEST_CASE("a file taken out of the configuration is not forgotten") {
  Fixture f;
  write_file(f.at("a.log"), "one\n");
  f.follower.settle();
  f.follower.settings.paths = {f.at("other.log")};
  f.follower.restart();
  append_file(f.at("a.log"), "two\n");
  CHECK(f.follower.lines() == Lines{"one"});
  f.follower.settings.paths = {f.at("*.log")};
  f.follower.restart();
  CHECK(f.follower.lines() == Lines{"one", "two"});
}

TEST_CASE("an unreadable position is told as a loss, and forgotten") {
  Fixture f;
  f.follower.session.set_positions({{"", "\x01"}, {"1:2", "rubbish"}});
  CHECK(f.follower.lines() == Lines{"<lost>"});
  CHECK(f.follower.session.positions().size() == 1);
}

TEST_CASE("positions of deleted files are forgotten") {
  Fixture f;
  f.follower.settings.files_open_max = 1;
  write_file(f.at("a.log"), "a\n");
  write_file(f.at("b.log"), "b\n");
  f.follower.settle();
  CHECK(f.follower.session.positions().size() == 3);
  std::filesystem::remove(f.at("a.log"));
  std::filesystem::remove(f.at("b.log"));
  f.follower.settle();
  CHECK(f.follower.session.positions().size() == 1);
  CHECK(f.follower.tailer->file_count() == 0);
  CHECK(f.follower.tailer->open_count() == 0);
}

}  // namespace
}  // namespace penstock::connectors::file
