// The control socket must be private, survive a dead predecessor, and not be held up by a slow or
// rude client.
#include "agent/daemon/control.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <future>

#include "agent/daemon/control_server.hpp"
#include "agent/daemon/exit_code.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::daemon {
namespace {

using namespace std::chrono_literals;
using tests::TempDir;

class CollectingSink final : public LineSink {
 public:
  bool line(std::string_view json) override {
    lines.emplace_back(json);
    return lines.size() < lines_max;
  }
  bool progress(std::uint64_t done, std::uint64_t total) override {
    progress_seen.emplace_back(done, total);
    return true;
  }
  std::vector<std::string> lines;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> progress_seen;
  std::size_t lines_max = 1'000'000;
};

ControlRequest request_of(std::string command) {
  ControlRequest request;
  request.command = std::move(command);
  return request;
}

ControlServer::Handlers echo_handlers() {
  return {[](const ControlRequest& request, LineSink& sink) -> Answer {
            if (request.command == "big") {
              for (int i = 0; i < 20'000; ++i) sink.line("{\"i\":" + std::to_string(i) + "}");
              return {};
            }
            sink.line("{\"is\":\"" + request.command + "\"}");
            sink.progress(1, 2);
            return {3, "told so"};
          },
          [](const ControlRequest& request) {
            return request.command.substr(0, 3) == "big" || request.command == "long";
          }};
}

TEST_CASE("a request survives the way there and back") {
  ControlRequest request;
  request.command = "buffer.export";
  request.choice.stream = "a\"b";
  request.choice.from = 7;
  request.choice.time_from = -5;
  request.choice.is_last = true;
  request.choice.count_max = 18'446'744'073'709'551'615U;
  request.positions = true;
  const auto parsed = parse_request(to_json(request));
  REQUIRE(parsed.ok());
  CHECK(parsed->command == request.command);
  CHECK(parsed->choice.stream == request.choice.stream);
  CHECK(parsed->choice.from == 7);
  CHECK(parsed->choice.count_max == request.choice.count_max);
  CHECK(parsed->choice.to == request.choice.to);
  CHECK(parsed->choice.time_from == -5);
  CHECK(parsed->choice.is_last);
  CHECK(parsed->positions);
}

TEST_CASE("a bad request is refused with a reason") {
  const auto text = GENERATE(as<std::string>{}, "", "no json", "[]", "{}", "{\"cmd\":1}",
                             "{\"cmd\":\"status\",\"more\":1}", "{\"cmd\":\"x\",\"from\":-1}",
                             "{\"cmd\":\"x\",\"positions\":2}", std::string(5000, ' '));
  CAPTURE(text);
  const auto parsed = parse_request(text);
  REQUIRE_FALSE(parsed.ok());
  CHECK(parsed.error().code == Errc::invalid);
  CHECK_FALSE(parsed.error().text.empty());
}

TEST_CASE("short and long commands are answered with lines, an exit code and a text") {
  const auto command = GENERATE(as<std::string>{}, "short", "long");
  TempDir dir;
  ControlServer server(echo_handlers());
  REQUIRE(server.listen(dir / "control.sock", {}).ok());
  server.start();
  struct stat found {};
  REQUIRE(::stat((dir / "control.sock").c_str(), &found) == 0);
  CHECK((found.st_mode & 0777) == 0600);
  CollectingSink sink;
  const auto answer = ask(dir / "control.sock", request_of(command), sink, 10s);
  REQUIRE(answer.ok());
  CHECK(answer->exit_code == 3);
  CHECK(answer->text == "told so");
  CHECK(sink.lines == std::vector<std::string>{"{\"is\":\"" + command + "\"}"});
  CHECK(sink.progress_seen.size() == (command == "long" ? 1U : 0U));
  server.stop();
  CHECK_FALSE(std::filesystem::exists(dir / "control.sock"));
}

TEST_CASE("an answer larger than any socket buffer arrives whole") {
  TempDir dir;
  ControlServer server(echo_handlers());
  REQUIRE(server.listen(dir / "control.sock", {}).ok());
  server.start();
  CollectingSink sink;
  const auto answer = ask(dir / "control.sock", request_of("big"), sink, 10s);
  REQUIRE(answer.ok());
  CHECK(sink.lines.size() == 20'000);
  CHECK(sink.lines.back() == "{\"i\":19999}");
  CollectingSink impatient;
  impatient.lines_max = 2;
  const auto refused = ask(dir / "control.sock", request_of("big"), impatient, 10s);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code == Errc::stopped);
}

TEST_CASE("who has the end of an answer may ask for the next at once") {
  TempDir dir;
  ControlServer server(echo_handlers());
  REQUIRE(server.listen(dir / "control.sock", {}).ok());
  server.start();
  for (int i = 0; i < 2'000; ++i) {
    CollectingSink sink;
    const auto answer = ask(dir / "control.sock", request_of("long"), sink, 10s);
    REQUIRE(answer.ok());
    REQUIRE(answer->text == "told so");
  }
}

TEST_CASE("a path longer than a socket address works, and a link leads to a socket elsewhere") {
  TempDir dir;
  const auto deep = dir / std::string(120, 'd');
  std::filesystem::create_directory(deep);
  ControlServer server(echo_handlers());
  REQUIRE(server.listen(deep / "control.sock", dir / "link.sock").ok());
  server.start();
  for (const auto& path : {deep / "control.sock", dir / "link.sock"}) {
    CollectingSink sink;
    CHECK(ask(path, request_of("x"), sink, 10s).ok());
  }
  server.stop();
  CHECK_FALSE(std::filesystem::is_symlink(dir / "link.sock"));
}

TEST_CASE("the socket of a dead agent is replaced, that of a living one is not") {
  TempDir dir;
  const auto path = dir / "control.sock";
  {
    auto left_behind = listen_control(path);
    REQUIRE(left_behind.ok());
  }
  REQUIRE(std::filesystem::exists(path));
  auto second = listen_control(path);
  REQUIRE(second.ok());
  const auto third = listen_control(path);
  REQUIRE_FALSE(third.ok());
  CHECK(third.error().code == Errc::full);
}

TEST_CASE("a file in the way is left alone") {
  TempDir dir;
  tests::write_file(dir / "control.sock", "precious");
  const auto listening = listen_control(dir / "control.sock");
  REQUIRE_FALSE(listening.ok());
  CHECK(listening.error().code == Errc::invalid);
  CHECK(tests::read_file(dir / "control.sock") == "precious");
}

TEST_CASE("nobody there is unavailable") {
  TempDir dir;
  CollectingSink sink;
  const auto answer = ask(dir / "control.sock", request_of("x"), sink, 1s);
  REQUIRE_FALSE(answer.ok());
  CHECK(answer.error().code == Errc::unavailable);
}

/// Everything that comes until the other side closes.
std::string read_all(int fd) {
  std::string all;
  char block[1024];
  for (ssize_t got; (got = ::recv(fd, block, sizeof(block), 0)) > 0;) {
    all.append(block, static_cast<std::size_t>(got));
  }
  return all;
}

TEST_CASE("rude clients are shown out and others are still served") {
  TempDir dir;
  ControlServer server(echo_handlers(), {2, 300'000, 300'000});
  REQUIRE(server.listen(dir / "control.sock", {}).ok());
  server.start();
  auto endless = connect_control(dir / "control.sock");
  REQUIRE(endless.ok());
  const std::string flood(request_bytes_max + 1, 'x');
  ::send(endless->get(), flood.data(), flood.size(), MSG_NOSIGNAL);
  CHECK(read_all(endless->get()).find("too long") != std::string::npos);
  auto silent = connect_control(dir / "control.sock");
  auto silent_too = connect_control(dir / "control.sock");
  REQUIRE((silent.ok() && silent_too.ok()));
  CHECK(read_all(silent->get()).empty());  // closed at its deadline
  CollectingSink sink;
  CHECK(ask(dir / "control.sock", request_of("x"), sink, 10s).ok());
}

TEST_CASE("one long command at a time, while short ones are answered") {
  TempDir dir;
  std::promise<void> entered;
  std::promise<void> release;
  std::shared_future<void> released = release.get_future().share();
  ControlServer server({[&](const ControlRequest& request, LineSink&) -> Answer {
                          if (request.command == "long") {
                            entered.set_value();
                            released.wait();
                          }
                          return {};
                        },
                        [](const ControlRequest& request) { return request.command == "long"; }});
  REQUIRE(server.listen(dir / "control.sock", {}).ok());
  server.start();
  auto first = std::async(std::launch::async, [&] {
    CollectingSink sink;
    return ask(dir / "control.sock", request_of("long"), sink, 10s).ok();
  });
  entered.get_future().wait();
  CollectingSink sink;
  CHECK(ask(dir / "control.sock", request_of("short"), sink, 10s).ok());
  const auto second = ask(dir / "control.sock", request_of("long"), sink, 10s);
  REQUIRE(second.ok());
  CHECK(second->exit_code == exit_try_again);
  release.set_value();
  CHECK(first.get());
}

}  // namespace
}  // namespace penstock::daemon
