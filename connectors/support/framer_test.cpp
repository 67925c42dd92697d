// The framer: whatever the pieces in which a stream arrives, the messages are the same.
#include "connectors/support/framer.hpp"

#include <catch2/catch.hpp>
#include <vector>

namespace penstock::connectors::support {
namespace {

using namespace std::string_literals;

struct Outcome {
  std::vector<std::string> messages;  // a cut one ends with "…"
  bool is_good = true;
  std::size_t lost = 0;
};

Outcome framed(Framing framing, std::string_view data, std::size_t piece, std::size_t max) {
  Framer framer(framing, max);
  Outcome outcome;
  const auto take = [&](std::string_view text, bool is_cut) {
    outcome.messages.push_back(std::string(text) + (is_cut ? "…" : ""));
  };
  while (!data.empty() && outcome.is_good) {
    outcome.is_good = framer.feed(data.substr(0, piece), take);
    data.remove_prefix(std::min(piece, data.size()));
  }
  outcome.lost = framer.finish(take);
  CHECK_FALSE(framer.is_inside());
  return outcome;
}

struct Row {
  std::string name;
  Framing framing;
  std::string data;
  std::vector<std::string> want;
  bool is_good = true;
  std::size_t lost = 0;
};

TEST_CASE("messages are the same in whatever pieces they come") {
  const auto row = GENERATE(values<Row>({
      {"lines", Framing::newline, "a\nbc\r\n\n\r\nd", {"a", "bc", "d"}},
      {"a long line is cut, the next is whole",
       Framing::newline,
       "0123456789abc\nx\n",
       {"01234567…", "x"}},
      {"a line that just fits", Framing::newline, "01234567\r\nx", {"01234567", "x"}},
      {"cut at a character", Framing::newline, "0123456\u00e9\nx", {"0123456…", "x"}},
      {"NUL", Framing::nul, "a\r\n\0b\0"s, {"a\r\n", "b"}},
      {"u8", Framing::u8, "\1a\0\3abc"s, {"a", "abc"}},
      {"u16 big", Framing::u16_be, "\0\1a\0\2bc"s, {"a", "bc"}},
      {"u16 little", Framing::u16_le, "\1\0a\2\0bc"s, {"a", "bc"}},
      {"u32 big", Framing::u32_be, "\0\0\0\1a"s, {"a"}},
      {"u32 little", Framing::u32_le, "\1\0\0\0a"s, {"a"}},
      {"u32 too long to be true", Framing::u32_be, "\0\0\0\1a\xff\0\0\0zzz"s, {"a"}, false, 0},
      {"a long counted one is cut", Framing::u8, "\12"s + "0123456789\1x", {"01234567…", "x"}},
      {"the end comes too early", Framing::u8, "\1a\5bc"s, {"a"}, true, 3},
      {"octet counting", Framing::octet_counted, "3 a\nb1 c", {"a\nb", "c"}},
      {"octet counting, cut", Framing::octet_counted, "10 01234567891 x", {"01234567…", "x"}},
      {"octet counting, no number", Framing::octet_counted, "1 axyz", {"a"}, false, 0},
      {"both",
       Framing::automatic,
       "<1>ab\n4 <2>c<3>d\n6 <4>e\nf5 abc\n",
       {"<1>ab", "<2>c", "<3>d", "<4>e\nf", "5 abc"}},
      {"a line that begins with digits",
       Framing::automatic,
       "2026-11\n12\n0 <x\n",
       {"2026-11", "12", "0 <x"}},
      {"digits without an end", Framing::automatic, "12345678901 <x\n12", {"12345678…", "12"}},
      {"a newline behind a counted message",
       Framing::automatic,
       "4 <2>c\n4 <3>d\n",
       {"<2>c", "<3>d"}},
  }));
  const auto piece =
      GENERATE(std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{5}, std::size_t{1000});
  CAPTURE(row.name, piece);
  const Outcome outcome = framed(row.framing, row.data, piece, 8);
  CHECK(outcome.messages == row.want);
  CHECK(outcome.is_good == row.is_good);
  if (row.is_good) CHECK(outcome.lost == row.lost);
}

TEST_CASE("what is held of an endless message is bounded") {
  const auto framing = GENERATE(Framing::newline, Framing::u32_be, Framing::automatic);
  Framer framer(framing, 100);
  std::size_t messages = 0;
  const std::string head = framing == Framing::u32_be ? "\2\0\0\0"s : ""s;
  const auto count = [&](std::string_view, bool) { ++messages; };
  CHECK(framer.feed(head, count));
  for (int i = 0; i < 1000; ++i) CHECK(framer.feed("xxxxxxxxxx", count));
  CHECK(messages == 1);
  CHECK(framer.pending().size() <= 110);
  CHECK(framer.is_inside());
}

}  // namespace
}  // namespace penstock::connectors::support
