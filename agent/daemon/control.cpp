#include "agent/daemon/control.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <rapidjson/document.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "agent/base/log.hpp"
#include "agent/daemon/json_line.hpp"

namespace penstock::daemon {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view end_start = "{\"end\":";
constexpr std::string_view progress_start = "{\"progress\":";
constexpr std::size_t answer_line_bytes_max = 16 * 1024 * 1024;

/// An address of any path: sun_path has 108 bytes, so longer ones go through the open directory.
class SocketAddress {
 public:
  static Result<SocketAddress> of(const fs::path& path) {
    SocketAddress result;
    std::string text = path.string();
    if (text.size() >= sizeof(result.address_.sun_path)) {
      result.directory_.reset(::open(path.parent_path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
      if (!result.directory_.is_open())
        return errno_error(fmt::format("open {}", penstock::quoted(text)));
      text = fmt::format("/proc/self/fd/{}/{}", result.directory_.get(), path.filename().string());
    }
    if (text.size() >= sizeof(result.address_.sun_path)) {
      return Error{Errc::invalid,
                   fmt::format("the socket's name {} is too long", penstock::quoted(text))};
    }
    result.address_.sun_family = AF_UNIX;
    std::memcpy(result.address_.sun_path, text.data(), text.size());
    return result;
  }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address_); }
  socklen_t size() const { return sizeof(address_); }

 private:
  UniqueFd directory_;
  sockaddr_un address_{};
};

UniqueFd new_socket(int extra_flags) {
  return UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | extra_flags, 0));
}

bool is_socket_or_link(const fs::path& path) {
  struct stat found {};
  return ::lstat(path.c_str(), &found) == 0 && (S_ISSOCK(found.st_mode) || S_ISLNK(found.st_mode));
}

Error type_error(std::string_view name, std::string_view wanted) {
  return Error{Errc::invalid, fmt::format("\"{}\" is not {}", name, wanted)};
}

/// Where a member's value goes; one pointer is set.
struct Target {
  std::string_view name;
  std::string* text = nullptr;
  bool* flag = nullptr;
  std::uint64_t* number = nullptr;
  std::int64_t* time = nullptr;
};

std::vector<Target> members_of(ControlRequest& request) {
  EventChoice& choice = request.choice;
  return {{"cmd", &request.command},
          {"stream", &choice.stream},
          {"positions", nullptr, &request.positions},
          {"last", nullptr, &choice.is_last},
          {"apply", nullptr, &request.apply},
          {"from", nullptr, nullptr, &choice.from},
          {"to", nullptr, nullptr, &choice.to},
          {"count_max", nullptr, nullptr, &choice.count_max},
          {"time_from", nullptr, nullptr, nullptr, &choice.time_from},
          {"time_to", nullptr, nullptr, nullptr, &choice.time_to}};
}

Result<void> read_value(const Target& target, const rapidjson::Value& value) {
  if (target.text != nullptr) {
    if (!value.IsString()) return type_error(target.name, "a string");
    target.text->assign(value.GetString(), value.GetStringLength());
  } else if (target.flag != nullptr) {
    if (!value.IsBool()) return type_error(target.name, "true or false");
    *target.flag = value.GetBool();
  } else if (target.number != nullptr) {
    if (!value.IsUint64()) return type_error(target.name, "a number of 0 or more");
    *target.number = value.GetUint64();
  } else {
    if (!value.IsInt64()) return type_error(target.name, "a number");
    *target.time = value.GetInt64();
  }
  return {};
}

Result<void> read_member(std::string_view name, const rapidjson::Value& value,
                         ControlRequest& out) {
  for (const Target& target : members_of(out)) {
    if (target.name == name) return read_value(target, value);
  }
  return Error{Errc::invalid, fmt::format("unknown member {}", penstock::quoted(name))};
}

Result<Answer> parse_end(std::string_view line) {
  rapidjson::Document document;
  document.Parse(line.data(), line.size());
  if (document.HasParseError() || !document["end"].IsObject()) {
    return Error{Errc::unavailable, "the agent's answer is not understood"};
  }
  const auto& end = document["end"];
  Answer answer;
  if (end.HasMember("exit") && end["exit"].IsInt()) answer.exit_code = end["exit"].GetInt();
  if (end.HasMember("text") && end["text"].IsString()) answer.text = end["text"].GetString();
  return answer;
}

bool hand_over_progress(std::string_view line, LineSink& sink) {
  rapidjson::Document document;
  document.Parse(line.data(), line.size());
  if (document.HasParseError() || !document["progress"].IsArray()) return true;
  const auto& numbers = document["progress"];
  if (numbers.Size() != 2 || !numbers[0].IsUint64() || !numbers[1].IsUint64()) return true;
  return sink.progress(numbers[0].GetUint64(), numbers[1].GetUint64());
}

/// The complete lines at the front of `buffer` go to the sink. An Answer once the end is there.
Result<std::optional<Answer>> take_lines(std::string& buffer, LineSink& sink) {
  std::size_t start = 0;
  for (std::size_t end; (end = buffer.find('\n', start)) != std::string::npos; start = end + 1) {
    const std::string_view line = std::string_view(buffer).substr(start, end - start);
    if (line.substr(0, end_start.size()) == end_start) {
      PENSTOCK_TRY_ASSIGN(Answer answer, parse_end(line));
      return std::optional<Answer>(std::move(answer));
    }
    const bool goes_on = line.substr(0, progress_start.size()) == progress_start
                             ? hand_over_progress(line, sink)
                             : sink.line(line);
    if (!goes_on) return Error{Errc::stopped, "the output was closed"};
  }
  buffer.erase(0, start);
  return std::optional<Answer>();
}

Result<void> send_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return errno_error("the agent does not take the request");
    text.remove_prefix(static_cast<std::size_t>(sent));
  }
  return {};
}

}  // namespace

std::string to_json(const ControlRequest& request) {
  // What an older agent does not know is left out where it says nothing.
  ControlRequest wanted = request;
  ControlRequest plain;
  const std::vector<Target> values = members_of(wanted);
  const std::vector<Target> defaults = members_of(plain);
  JsonLine json;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Target& value = values[i];
    if (value.text != nullptr && *value.text != *defaults[i].text) {
      json.text(value.name, *value.text);
    } else if (value.flag != nullptr && *value.flag) {
      json.boolean(value.name, true);
    } else if (value.number != nullptr && *value.number != *defaults[i].number) {
      json.number(value.name, *value.number);
    } else if (value.time != nullptr && *value.time != *defaults[i].time) {
      json.raw(value.name, std::to_string(*value.time));
    }
  }
  return json.take();
}

Result<ControlRequest> parse_request(std::string_view line) {
  if (line.size() > request_bytes_max) return Error{Errc::invalid, "the request is too long"};
  rapidjson::Document document;
  document.Parse<rapidjson::kParseIterativeFlag>(line.data(), line.size());
  if (document.HasParseError() || !document.IsObject()) {
    return Error{Errc::invalid, "the request is not a JSON object"};
  }
  ControlRequest request;
  for (const auto& member : std::as_const(document).GetObject()) {
    PENSTOCK_TRY(read_member({member.name.GetString(), member.name.GetStringLength()}, member.value,
                             request));
  }
  if (request.command.empty()) return Error{Errc::invalid, "the request has no \"cmd\""};
  return request;
}

std::string end_line(const Answer& answer) {
  JsonLine inner;
  inner.number("exit", static_cast<std::uint64_t>(answer.exit_code));
  if (!answer.text.empty()) inner.text("text", answer.text);
  return fmt::format("{}{}}}\n", end_start, inner.take());
}

std::string progress_line(std::uint64_t done, std::uint64_t total) {
  return fmt::format("{}[{},{}]}}\n", progress_start, done, total);
}

fs::path server_socket_path(const fs::path& given, const fs::path& buffer_dir) {
  if (!given.empty()) return given;
  if (const char* runtime = std::getenv("RUNTIME_DIRECTORY"); runtime != nullptr && *runtime) {
    const std::string_view all = runtime;
    return fs::path(all.substr(0, all.find(':'))) / "control.sock";
  }
  return buffer_dir / "control.sock";
}

fs::path client_socket_path(const fs::path& given, const fs::path& buffer_dir) {
  return given.empty() ? buffer_dir / "control.sock" : given;
}

Result<UniqueFd> listen_control(const fs::path& path) {
  PENSTOCK_TRY_ASSIGN(const SocketAddress address, SocketAddress::of(path));
  UniqueFd fd = new_socket(SOCK_NONBLOCK);
  // The file gets the mode that the socket has when it is bound: nobody can slip in between.
  if (!fd.is_open() || ::fchmod(fd.get(), 0600) != 0) return errno_error("socket");
  if (::bind(fd.get(), address.get(), address.size()) != 0) {
    if (errno != EADDRINUSE)
      return errno_error(fmt::format("bind {}", penstock::quoted(path.string())));
    if (connect_control(path).ok()) {
      return Error{Errc::full,
                   fmt::format("another agent answers at {}", penstock::quoted(path.string()))};
    }
    if (!is_socket_or_link(path)) {
      return Error{Errc::invalid, fmt::format("{} is in the way and is no socket",
                                              penstock::quoted(path.string()))};
    }
    ::unlink(path.c_str());
    if (::bind(fd.get(), address.get(), address.size()) != 0) {
      return errno_error(fmt::format("bind {}", penstock::quoted(path.string())));
    }
  }
  if (::listen(fd.get(), 8) != 0) return errno_error("listen");
  return fd;
}

Result<UniqueFd> connect_control(const fs::path& path) {
  PENSTOCK_TRY_ASSIGN(const SocketAddress address, SocketAddress::of(path));
  UniqueFd fd = new_socket(0);
  if (!fd.is_open()) return errno_error("socket");
  if (::connect(fd.get(), address.get(), address.size()) != 0) {
    const int err = errno;
    Error error = errno_error(fmt::format("connect {}", penstock::quoted(path.string())), err);
    if (err == EACCES || err == EPERM) error.code = Errc::invalid;
    return error;
  }
  return fd;
}

Result<Answer> ask(const fs::path& path, const ControlRequest& request, LineSink& sink,
                   std::chrono::milliseconds silence_max) {
  PENSTOCK_TRY_ASSIGN(const UniqueFd fd, connect_control(path));
  PENSTOCK_TRY(send_all(fd.get(), to_json(request) + "\n"));
  std::string buffer;
  std::string block(64 * 1024, '\0');
  while (buffer.size() < answer_line_bytes_max) {
    pollfd waited{fd.get(), POLLIN, 0};
    const int ready = ::poll(&waited, 1, static_cast<int>(silence_max.count()));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return Error{Errc::unavailable, "the agent does not answer"};
    const ssize_t got = ::recv(fd.get(), block.data(), block.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return Error{Errc::unavailable, "the agent ended in the middle of its answer"};
    buffer.append(block, 0, static_cast<std::size_t>(got));
    PENSTOCK_TRY_ASSIGN(std::optional<Answer> answer, take_lines(buffer, sink));
    if (answer) return std::move(*answer);
  }
  return Error{Errc::unavailable, "the agent's answer has no line end"};
}

}  // namespace penstock::daemon
