// Damages a buffer in one place after the other, and has a process use each.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>

#include "tests/damage/life.hpp"

namespace penstock::tests::damage {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t page_bytes = 4096;
constexpr int lives_max = 6;
constexpr rlim_t life_seconds_max = 30;
constexpr rlim_t check_seconds = 120;  // the check of a file has a limit of its own
constexpr rlim_t memory_max = rlim_t{1} << 30;

struct Case {
  std::string kind;
  std::size_t at = 0;
  unsigned bit = 0;
};

std::string read_file(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void damage(std::string& bytes, const Case& what) {
  if (what.kind == "flip") {
    bytes[what.at] = static_cast<char>(static_cast<unsigned char>(bytes[what.at]) ^ 1U << what.bit);
  } else if (what.kind == "zero") {
    std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(what.at / page_bytes * page_bytes),
                page_bytes, '\0');
  } else {
    bytes.resize(what.at);
  }
}

/// How the process ended: its outcome, or 128 and its signal.
int live_apart(const fs::path& directory, const Scene& scene, Use use) {
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit no_core = {0, 0};
    const rlimit processor = {life_seconds_max + check_seconds, life_seconds_max + check_seconds};
    const rlimit memory = {memory_max, memory_max};
    ::setrlimit(RLIMIT_CORE, &no_core);
    ::setrlimit(RLIMIT_CPU, &processor);
    ::setrlimit(RLIMIT_DATA, &memory);
    ::_exit(static_cast<int>(live(directory, scene, use)));
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

class Driver {
 public:
  Driver(fs::path folder, unsigned rounds, bool is_clean, Use use)
      : folder_(std::move(folder)), use_(use) {
    fs::remove_all(folder_);
    scene_ = make_scene(folder_ / "made", rounds, is_clean);
    sound_ = read_file(folder_ / "made" / "buffer.mdb");
  }

  std::size_t size() const { return sound_.size(); }
  bool try_case(const Case& what) {
    const fs::path used = folder_ / "used";
    fs::remove_all(used);
    fs::create_directories(used);
    std::string bytes = sound_;
    damage(bytes, what);
    std::ofstream(used / "buffer.mdb", std::ios::binary) << bytes;
    int end = 0;
    int crashes = 0;
    for (int life = 0; life < lives_max; ++life) {
      end = live_apart(used, scene_, use_);
      if (end < 128 && end != static_cast<int>(Outcome::again)) break;
      if (end >= 128) ++crashes;
    }
    return judge(what, end, crashes);
  }
  void print() const {
    std::printf(
        "%u cases: %u whole, %u told as lost, %u set aside, %u crashes survived, %u wrong\n",
        cases_, count(Outcome::whole), count(Outcome::told), count(Outcome::renewed), crashes_,
        wrong_);
  }

 private:
  unsigned count(Outcome outcome) const { return outcomes_[static_cast<std::size_t>(outcome)]; }

  bool judge(const Case& what, int end, int crashes) {
    ++cases_;
    crashes_ += static_cast<unsigned>(crashes);
    const bool is_right = end < static_cast<int>(Outcome::unsound) && crashes <= 2;
    if (is_right) {
      ++outcomes_[static_cast<std::size_t>(end)];
    } else {
      ++wrong_;
      std::printf("wrong: %s at %zu bit %u: ended with %d after %d crashes\n", what.kind.c_str(),
                  what.at, what.bit, end, crashes);
      std::fflush(stdout);
    }
    return is_right;
  }

  fs::path folder_;
  Use use_;
  Scene scene_;
  std::string sound_;
  std::array<unsigned, 32> outcomes_ = {};
  unsigned cases_ = 0;
  unsigned crashes_ = 0;
  unsigned wrong_ = 0;
};

std::size_t number(const char* text) {
  std::size_t value = 0;
  std::from_chars(text, text + std::strlen(text), value);
  return value;
}

int run(char** arguments) {
  std::string kind = arguments[2];
  const bool has_bit = kind.size() == 5 && kind.substr(0, 4) == "flip";
  const unsigned own_bit = has_bit ? static_cast<unsigned>(kind[4] - '0') : 0;
  if (has_bit) kind.resize(4);
  Driver driver(arguments[1], static_cast<unsigned>(number(arguments[3])),
                std::string_view(arguments[4]) == "clean",
                std::string_view(arguments[5]) == "limit" ? Use::limit : Use::read);
  const std::size_t seed = number(arguments[6]);
  const std::size_t cases = number(arguments[7]);
  const std::size_t step = number(arguments[8]);  // 0: at random
  std::mt19937_64 random(seed);
  bool is_right = true;
  for (std::size_t i = 0; i < cases; ++i) {
    const std::size_t at = step != 0 ? seed + i * step : random() % driver.size();
    if (at >= driver.size()) break;
    is_right &=
        driver.try_case({kind, at, has_bit ? own_bit : static_cast<unsigned>(random() % 8)});
  }
  driver.print();
  return is_right ? 0 : 1;
}

}  // namespace
}  // namespace penstock::tests::damage

int main(int count, char** arguments) {
  if (count != 9) {
    std::fprintf(stderr,
                 "usage: damage_driver FOLDER flip[BIT]|zero|cut ROUNDS clean|unclean read|limit "
                 "SEED|FROM CASES STEP\n");
    return 64;
  }
  return penstock::tests::damage::run(arguments);
}
