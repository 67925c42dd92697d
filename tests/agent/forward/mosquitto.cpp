#include "tests/agent/forward/mosquitto.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <stdexcept>
#include <utility>

#include "agent/base/unique_fd.hpp"

namespace penstock::tests {
namespace {

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

bool accepts(std::uint16_t port) {
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = loopback(port);
  return ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
}

}  // namespace

std::uint16_t free_port() {
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof(address);
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    throw std::runtime_error("no free port");
  }
  return ntohs(address.sin_port);
}

Mosquitto::Mosquitto(std::string extra, std::uint16_t port) : port_(port) {
  std::string config = "listener " + std::to_string(port_) + " 127.0.0.1\n";
  if (::geteuid() == 0) config += "user root\n";
  config += "persistence true\npersistence_location " + dir_.path().string() +
            "/\nmax_queued_messages 0\nlog_dest file " + (dir_ / "log").string() + "\n";
  for (std::size_t at = extra.find("DIR"); at != std::string::npos; at = extra.find("DIR")) {
    extra.replace(at, 3, dir_.path().string());
  }
  write_file(dir_ / "conf", config + extra);
  write_file(dir_ / "acl", "topic readwrite #\n");
}

Mosquitto::~Mosquitto() { stop(SIGKILL); }

void Mosquitto::start() {
  pid_ = ::fork();
  if (pid_ == 0) {
    const int null = ::open("/dev/null", O_RDWR);
    ::dup2(null, STDOUT_FILENO);
    ::dup2(null, STDERR_FILENO);
    const std::string config = (dir_ / "conf").string();
    ::execl("/usr/sbin/mosquitto", "mosquitto", "-c", config.c_str(), nullptr);
    ::_exit(127);
  }
  for (int tries = 0; tries < 1'000; ++tries) {
    if (accepts(port_)) return;
    ::poll(nullptr, 0, 10);
  }
  throw std::runtime_error("mosquitto does not start: " + log());
}

void Mosquitto::stop(int number) {
  if (pid_ < 0) return;
  ::kill(pid_, number);
  ::waitpid(std::exchange(pid_, -1), nullptr, 0);
}

void Mosquitto::signal(int number) const {
  if (pid_ > 0) ::kill(pid_, number);
}

config::BrokerAddress Mosquitto::address(const std::string& scheme, const std::string& host) const {
  return {scheme + "://" + host + ":" + std::to_string(port_), scheme, host, port_};
}

std::string Mosquitto::log() const { return read_file(dir_ / "log"); }

}  // namespace penstock::tests
