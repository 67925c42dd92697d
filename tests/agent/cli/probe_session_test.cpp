// A probe must end by itself after as many events as were asked for, and print what a source says
// without letting it touch the terminal.
#include "agent/cli/probe_session.hpp"

#include <poll.h>

#include <catch2/catch.hpp>

namespace penstock::cli {
namespace {

using connectors::Chunk;

TEST_CASE("a probe shows as many events as asked for, then stops") {
  std::vector<std::string> shown;
  ProbeSession session("host", 3, [&](const Chunk& chunk, const Chunk::Event& event) {
    shown.push_back(event_for_people(chunk, event));
  });
  Chunk chunk;
  chunk.add(1'764'000'000'276'000, "", {{"a", std::int64_t{1}}});
  chunk.add(1'764'000'001'000'000, "", {{"a", std::int64_t{2}}});
  CHECK(session.push(chunk).ok());
  CHECK(chunk.is_empty());
  CHECK_FALSE(session.stop_token().stop_requested());
  chunk.add(1'764'000'002'000'000, "", {{"a", std::int64_t{3}}});
  chunk.add(1'764'000'003'000'000, "", {{"a", std::int64_t{4}}});
  CHECK(session.push(chunk).ok());
  CHECK(session.shown_count() == 3);
  CHECK(shown ==
        std::vector<std::string>{"16:00:00.276  a 1", "16:00:01.000  a 2", "16:00:02.000  a 3"});
  CHECK(session.stop_token().stop_requested());
  pollfd waited{session.stop_fd(), POLLIN, 0};
  CHECK(::poll(&waited, 1, 0) == 1);
  CHECK_FALSE(session.sleep_for(std::chrono::hours(1)));
  chunk.add(0, "", {{"a", std::int64_t{5}}});
  CHECK(session.push(chunk).error().code == Errc::stopped);
  CHECK(session.shown_count() == 3);
}

TEST_CASE("an event is shown for people and for programs") {
  Chunk chunk;
  chunk.add(1'764'000'000'276'000, "bo/iler",
            {{"text", std::string_view("a\x1b[31m\"b")},
             {"double", 21.0},
             {"flag", true},
             {"none", std::monostate{}},
             {"raw", Bytes{std::string_view("\x01\xff", 2)}}});
  chunk.mark_cut();
  const auto& event = chunk.events().front();
  CHECK(event_for_people(chunk, event) ==
        "16:00:00.276  bo/iler  text a\\x1b[31m\\\"b  double 21.0  flag true  none null  "
        "raw \"01ff\"  (cut)");
  CHECK(event_for_programs(chunk, event) ==
        "{\"time\":\"2025-11-24T16:00:00.276000Z\",\"part\":\"bo/iler\","
        "\"text\":\"a\\u001b[31m\\\"b\",\"double\":21.0,\"flag\":true,\"none\":null,"
        "\"raw\":\"01ff\",\"cut\":true}");
}

TEST_CASE("a loss is shown with its size and reason") {
  Chunk chunk;
  chunk.lost("", 7);
  chunk.lost("", 0);
  const auto known = event_for_people(chunk, chunk.events()[0]);
  const auto unknown = event_for_people(chunk, chunk.events()[1]);
  CHECK(known.substr(12) == "  lost 7 (source)");
  CHECK(unknown.substr(12) == "  lost some (source)");
  CHECK(event_for_programs(chunk, chunk.events()[1]).find("\"exact\":false") != std::string::npos);
}

}  // namespace
}  // namespace penstock::cli
