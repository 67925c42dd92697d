#include "tests/support/modbus_server.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <termios.h>

#include <cstdlib>

#include "agent/base/assert.hpp"
#include "agent/base/bytes.hpp"

namespace penstock::tests {
namespace {

/// Modbus over Serial Line V1.02, 6.2.2.
std::uint16_t crc_of(std::string_view bytes) {
  std::uint16_t crc = 0xffff;
  for (const char byte : bytes) {
    crc = static_cast<std::uint16_t>(crc ^ static_cast<unsigned char>(byte));
    for (int i = 0; i < 8; ++i) {
      crc = static_cast<std::uint16_t>((crc & 1) != 0 ? (crc >> 1) ^ 0xa001 : crc >> 1);
    }
  }
  return crc;
}

bool read_exactly(int fd, char* out, std::size_t size) {
  while (size > 0) {
    const ssize_t got = ::read(fd, out, size);
    if (got <= 0) return false;
    out += got;
    size -= static_cast<std::size_t>(got);
  }
  return true;
}

void write_all(int fd, const std::string& bytes) {
  PENSTOCK_ASSERT(::write(fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
}

std::string exception(char function, int code) {
  return {static_cast<char>(function | 0x80), static_cast<char>(code)};
}

}  // namespace

ModbusServer::ModbusServer(On on, std::uint16_t port) : on_(on), stop_(::eventfd(0, EFD_CLOEXEC)) {
  if (on == On::tcp) {
    listener_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    const int yes = 1;
    ::setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    socklen_t size = sizeof address;
    PENSTOCK_ASSERT(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size) == 0);
    PENSTOCK_ASSERT(::listen(listener_.get(), 8) == 0);
    ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size);
    address_ = "tcp://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  } else {
    listener_.reset(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    PENSTOCK_ASSERT(::grantpt(listener_.get()) == 0 && ::unlockpt(listener_.get()) == 0);
    const std::string device = ::ptsname(listener_.get());
    device_.reset(::open(device.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC));
    termios raw{};
    ::tcgetattr(device_.get(), &raw);
    ::cfmakeraw(&raw);
    ::tcsetattr(device_.get(), TCSANOW, &raw);
    address_ = "rtu:" + device;
  }
  thread_ = std::thread([this] { serve(); });
}

ModbusServer::~ModbusServer() {
  const std::uint64_t one = 1;
  static_cast<void>(!::write(stop_.get(), &one, sizeof one));
  thread_.join();
}

std::string ModbusServer::address() const { return address_; }

std::vector<ModbusServer::Request> ModbusServer::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

void ModbusServer::serve() { on_ == On::tcp ? serve_tcp() : serve_serial(); }

/// false: the server is to end.
bool ModbusServer::wait_for(int fd) const {
  pollfd waits[] = {{stop_.get(), POLLIN, 0}, {fd, POLLIN, 0}};
  while (::poll(waits, 2, -1) < 0) {
  }
  return waits[0].revents == 0;
}

void ModbusServer::serve_tcp() {
  while (wait_for(listener_.get())) {
    const UniqueFd peer(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    while (wait_for(peer.get())) {
      char header[7];
      if (is_drop_due_.exchange(false) || !read_exactly(peer.get(), header, 7)) break;
      std::string pdu(load_be<std::uint16_t>(header + 4) - 1U, '\0');
      if (!read_exactly(peer.get(), pdu.data(), pdu.size())) break;
      const std::string body = answer(static_cast<unsigned char>(header[6]), pdu);
      if (body.empty()) continue;
      std::string frame(header, 7);
      store_be(frame.data() + 4, static_cast<std::uint16_t>(body.size() + 1));
      write_all(peer.get(), frame + body);
    }
  }
}

void ModbusServer::serve_serial() {
  while (wait_for(listener_.get())) {
    char frame[8];
    if (!read_exactly(listener_.get(), frame, 8)) return;
    const std::string body =
        answer(static_cast<unsigned char>(frame[0]), std::string(frame + 1, 5));
    if (body.empty()) continue;
    std::string out = frame[0] + body;
    const std::uint16_t crc = crc_of(out);
    out += static_cast<char>(crc & 0xff);
    out += static_cast<char>(crc >> 8);
    write_all(listener_.get(), out);
  }
}

std::string ModbusServer::answer(int unit, const std::string& pdu) {
  const std::lock_guard lock(mutex_);
  const int function = pdu[0];
  const int first = load_be<std::uint16_t>(pdu.data() + 1);
  const int size = load_be<std::uint16_t>(pdu.data() + 3);
  requests_.push_back({unit, function, first, size});
  const auto found = units_.find(unit);
  if (found == units_.end() || found->second.is_silent) return {};
  const Unit& asked = found->second;
  if (asked.exception != 0) return exception(pdu[0], asked.exception);
  if (function < 1 || function > 4) return exception(pdu[0], 1);
  const auto& table = function == 1   ? asked.coils
                      : function == 2 ? asked.discrete
                      : function == 3 ? asked.holding
                                      : asked.input;
  const bool is_bits = function <= 2;
  std::string data(static_cast<std::size_t>(is_bits ? (size + 7) / 8 : size * 2), '\0');
  for (int i = 0; i < size; ++i) {
    const auto value = table.find(first + i);
    if (value == table.end()) return exception(pdu[0], 2);
    const auto at = static_cast<std::size_t>(i);
    if (is_bits) {
      data[at / 8] = static_cast<char>(data[at / 8] | (value->second != 0 ? 1 << (i % 8) : 0));
    } else {
      store_be(data.data() + 2 * at, value->second);
    }
  }
  return std::string{pdu[0], static_cast<char>(data.size())} + data;
}

}  // namespace penstock::tests
