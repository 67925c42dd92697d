// Random writers, rotations and restarts: every line must come once and in order.
#include <catch2/catch.hpp>
#include <filesystem>
#include <random>

#include "connectors/file/follower.hpp"
#include "connectors/file/lines.hpp"
#include "connectors/file/position.hpp"
#include "tests/support/fake_session.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::connectors::file {
namespace {

using Random = std::mt19937_64;

std::uint64_t new_seed() {
  const char* given = std::getenv("PENSTOCK_SEED");
  return given ? std::strtoull(given, nullptr, 10) : std::random_device()();
}

/// Writes numbered lines into app.log and rotates it as logrotate does.
class Writer {
 public:
  Writer(const tests::TempDir& dir, Random& random) : dir_(dir), random_(random) {}

  void append() {
    std::string text;
    for (std::size_t count = random_() % 20; count > 0; --count) text += next_line();
    append_to_target(text);
  }
  /// Half a line now; the rest comes with the next operation, wherever the file is by then.
  void append_half() {
    const std::string line = next_line();
    // Seven bytes tell one line from the others; by fewer no copy can be recognised.
    const std::size_t cut = 7 + random_() % (line.size() - 7);
    append_to_target(line.substr(0, cut));
    rest_ = line.substr(cut);
  }
  void finish_line() {
    append_to_target(rest_);
    rest_.clear();
    target_ = path(0);
  }
  /// A program's logs are rotated in one way or the other.
  void rotate(bool by_renaming) { by_renaming ? rename() : copy_and_truncate(); }
  bool has_file() const { return std::filesystem::exists(path(0)); }
  bool has_half_line() const { return !rest_.empty(); }
  std::vector<std::string> written;

 private:
  /// One second passes with each change: the file system's clock is too coarse for a test.
  void stamp(const std::filesystem::path& file) {
    time_ += std::chrono::seconds(1);
    std::filesystem::last_write_time(file, time_);
  }
  void append_to_target(const std::string& text) {
    tests::append_file(target_, text);
    stamp(target_);
  }
  void rename() {
    shift();
    std::filesystem::rename(path(0), path(1));
    target_ = rest_.empty() ? path(0) : path(1);
    if (random_() % 2 == 0) {
      tests::write_file(path(0), "");
      stamp(path(0));
    }
  }
  void copy_and_truncate() {
    shift();
    std::filesystem::copy_file(path(0), path(1));
    stamp(path(1));
    std::filesystem::resize_file(path(0), 0);
    stamp(path(0));
  }
  std::filesystem::path path(int age) const {
    return dir_ / (age == 0 ? "app.log" : "app.log." + std::to_string(age));
  }
  void shift() {
    int last = 1;
    while (std::filesystem::exists(path(last))) ++last;
    for (; last > 1; --last) std::filesystem::rename(path(last - 1), path(last));
  }
  std::string next_line() {
    const std::string number = std::to_string(1'000'000 + written.size());
    written.push_back(number + std::string(random_() % 40, '.'));
    return written.back() + "\n";
  }

  const tests::TempDir& dir_;
  Random& random_;
  std::string rest_;
  std::filesystem::file_time_type time_ = std::filesystem::file_time_type::clock::now();
  std::filesystem::path target_{path(0)};
};

/// Returns what went wrong, "" if nothing did.
std::string run_seed(std::uint64_t seed, bool names_rotated) {
  Random random(seed);
  const tests::TempDir dir;
  Follower<tests::FakeSession> follower(
      {(dir / (names_rotated ? "app.log*" : "app.log")).string()});
  follower.settings.rotated_wait = std::chrono::hours(1000);
  follower.settings.files_open_max = 1 + random() % 4;
  const bool by_renaming = random() % 2 == 0;
  Writer writer(dir, random);
  writer.append();
  follower.settle();
  for (int operations = 0; operations < 60; ++operations) {
    if (writer.has_half_line() && random() % 2 == 0) writer.finish_line();
    switch (random() % 8) {
      case 0:
      case 1:
        if (!writer.has_half_line()) writer.append();
        break;
      case 2:
        if (!writer.has_half_line()) writer.append_half();
        break;
      case 3:
      case 4:
        if (writer.has_file() && !writer.has_half_line()) writer.rotate(by_renaming);
        break;
      case 5: follower.restart(); break;
      case 6: follower.settle(); break;
      default: follower.step(); break;
    }
  }
  if (writer.has_half_line()) writer.finish_line();
  writer.append();
  const std::vector<std::string> lines = follower.lines();
  if (lines == writer.written) return {};
  std::size_t same = 0;
  while (same < lines.size() && same < writer.written.size() &&
         lines[same] == writer.written[same]) {
    ++same;
  }
  return "seed " + std::to_string(seed) + ", line " + std::to_string(same) + ": read " +
         (same < lines.size() ? lines[same] : "nothing") + ", " + std::to_string(lines.size()) +
         " lines for " + std::to_string(writer.written.size());
}

TEST_CASE("random rotations and restarts lose, repeat and reorder nothing") {
  const bool names_rotated = GENERATE(false, true);
  const std::uint64_t first_seed = new_seed();
  for (std::uint64_t i = 0; i < 12; ++i) {
    const std::string wrong = run_seed(first_seed + i, names_rotated);
    INFO((names_rotated ? "app.log*: " : "app.log: ") << wrong);
    REQUIRE(wrong.empty());
  }
}

TEST_CASE("random blocks split like whole text") {
  const std::uint64_t seed = new_seed();
  INFO("seed " << seed);
  Random random(seed);
  for (int round = 0; round < 300; ++round) {
    std::string text;
    for (std::size_t i = random() % 400; i > 0; --i) text += "ab\r\n\n"[random() % 5];
    const std::size_t bytes_max = 4 + random() % 8;
    std::vector<std::string> whole;
    bool is_skipping = false;
    split_lines(text, bytes_max, true, is_skipping,
                [&](std::string_view line, bool) { whole.emplace_back(line); });
    CHECK_FALSE(is_skipping);

    std::vector<std::string> pieces;
    std::size_t begin = 0;
    for (std::size_t end = 0; end < text.size() || begin < text.size();) {
      end = std::min(text.size(), end + 1 + random() % 30);
      const std::string_view block = std::string_view(text).substr(begin, end - begin);
      begin += split_lines(block, bytes_max, end == text.size(), is_skipping,
                           [&](std::string_view line, bool) { pieces.emplace_back(line); })
                   .consumed;
    }
    CHECK(pieces == whole);
  }
}

Position some_position() {
  Position position;
  position.id = {0xfd01, 123'456'789};
  position.offset = 5'000'000'000;
  position.size_seen = 5'000'000'100;
  position.mtime_ns = 1'764'000'000'123'456'789;
  position.head = mark_of("the first bytes");
  position.tail = mark_of("the last bytes\n");
  position.generation = 7;
  position.is_skipping = true;
  position.path = "/var/log/app.log";
  return position;
}

TEST_CASE("a position reads back as it was written") {
  Position position = some_position();
  CHECK(decode(encode(position, position.path)) == position);
  position.is_skipping = false;
  position.is_copy = true;
  position.head = position.tail = {};
  position.path = "/" + std::string(path_bytes_max - 1, 'x');
  CHECK(decode(encode(position, position.path)) == position);
  CHECK(encode(position, position.path).size() <= Chunk::position_bytes_max);
}

TEST_CASE("damaged positions are refused or at least sound") {
  const Position position = some_position();
  const std::string good = encode(position, position.path);
  for (std::size_t size = 0; size < good.size(); ++size) {
    CHECK_FALSE(decode(std::string_view(good).substr(0, size)).has_value());
  }
  CHECK_FALSE(decode(good + "x").has_value());
  CHECK_FALSE(decode("\x02" + good.substr(1)).has_value());
  const std::uint64_t seed = new_seed();
  INFO("seed " << seed);
  Random random(seed);
  for (int round = 0; round < 20'000; ++round) {
    std::string bad = good;
    for (std::size_t count = 1 + random() % 4; count > 0; --count) {
      bad[random() % bad.size()] = static_cast<char>(random());
    }
    if (random() % 4 == 0) bad.resize(random() % (2 * good.size()), static_cast<char>(random()));
    const std::optional<Position> decoded = decode(bad);
    if (!decoded) continue;
    const bool is_sound = decoded->path.front() == '/' &&
                          decoded->tail.length <= std::min<std::uint64_t>(decoded->offset, 64) &&
                          decoded->head.length <= head_bytes_max &&
                          encode(*decoded, decoded->path) == bad;
    if (!is_sound) FAIL("unsound position");
  }
}

}  // namespace
}  // namespace penstock::connectors::file
