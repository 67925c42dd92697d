#include "connectors/modbus/bus.hpp"

#include <fmt/format.h>
#include <netdb.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/select.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace penstock::connectors::modbus {
namespace {

void set_time(modbus_t* context, int (*set)(modbus_t*, std::uint32_t, std::uint32_t),
              std::chrono::microseconds time) {
  const auto us = static_cast<std::uint64_t>(time.count());
  set(context, static_cast<std::uint32_t>(us / 1'000'000),
      static_cast<std::uint32_t>(us % 1'000'000));
}

std::string words(int error) {
  const std::string exception = exception_text(error);
  return exception.empty() ? modbus_strerror(error) : exception;
}

bool is_known(const std::string& host) {
  addrinfo* found = nullptr;
  const bool is_found = ::getaddrinfo(host.c_str(), nullptr, nullptr, &found) == 0;
  if (is_found) ::freeaddrinfo(found);
  return is_found;
}

}  // namespace

std::string exception_text(int error) {
  // Modbus Application Protocol V1.1b3, 7.
  constexpr std::array names = {"",
                                "illegal function",
                                "illegal data address",
                                "illegal data value",
                                "the unit has failed",
                                "acknowledged, still working",
                                "the unit is busy",
                                "negative acknowledge",
                                "memory parity error",
                                "",
                                "the gateway has no path to the unit",
                                "the gateway's unit does not answer"};
  const int code = error - MODBUS_ENOBASE;
  if (code < 1 || code >= static_cast<int>(names.size())) return {};
  const std::string_view name = names[static_cast<std::size_t>(code)];
  if (name.empty()) return fmt::format("exception {}", code);
  return fmt::format("{} (exception {})", name, code);
}

Result<void> Bus::open() {
  PENSTOCK_TRY(make_context());
  set_time(context_.get(), modbus_set_response_timeout, settings_.timeout);
  set_time(context_.get(), modbus_set_byte_timeout, settings_.timeout);
  const auto fail = [this](std::string why) {
    context_.reset();
    return Error{Errc::unavailable, fmt::format("{}: {}", settings_.address(), why)};
  };
  if (modbus_connect(context_.get()) != 0) {
    const int error = errno;
    // libmodbus tells a name that is not known as a refused connection.
    const bool may_be_name = error == ECONNREFUSED && !settings_.host.empty();
    return fail(may_be_name && !is_known(settings_.host) ? "the name is not known" : words(error));
  }
  // libmodbus waits with select(2), which writes beyond its set for higher descriptors.
  if (modbus_get_socket(context_.get()) >= FD_SETSIZE) return fail("too many open files");
  if (settings_.serial.device.empty()) return {};
  if (::flock(modbus_get_socket(context_.get()), LOCK_EX | LOCK_NB) != 0) {
    return fail("another connector or program uses the line");
  }
  if (settings_.serial.is_rs485 &&
      modbus_rtu_set_serial_mode(context_.get(), MODBUS_RTU_RS485) != 0) {
    return fail(fmt::format("rs485: {}", words(errno)));
  }
  modbus_flush(context_.get());
  return {};
}

Result<void> Bus::make_context() {
  const Serial& serial = settings_.serial;
  context_.reset(serial.device.empty()
                     ? modbus_new_tcp_pi(settings_.host.c_str(), settings_.port.c_str())
                     : modbus_new_rtu(serial.device.c_str(), serial.baud, serial.parity,
                                      serial.data_bits, serial.stop_bits));
  if (context_) return {};
  return Error{Errc::unavailable, fmt::format("{}: {}", settings_.address(), words(errno))};
}

Answer Bus::read(int unit, const Block& block, std::vector<std::uint16_t>& values) {
  values.assign(block.size, 0);
  errno = 0;
  if (modbus_set_slave(context_.get(), unit) == 0 && request(block, values) == block.size) {
    return {};
  }
  return failure(errno);
}

int Bus::request(const Block& block, std::vector<std::uint16_t>& values) {
  modbus_t* const context = context_.get();
  const int address = block.address;
  const int size = block.size;
  if (block.table == Table::holding) {
    return modbus_read_registers(context, address, size, values.data());
  }
  if (block.table == Table::input) {
    return modbus_read_input_registers(context, address, size, values.data());
  }
  bits_.assign(block.size, 0);
  const int read = block.table == Table::coil
                       ? modbus_read_bits(context, address, size, bits_.data())
                       : modbus_read_input_bits(context, address, size, bits_.data());
  std::copy(bits_.begin(), bits_.end(), values.begin());
  return read;
}

Answer Bus::failure(int error) {
  switch (error) {
    case EMBXACK:
    case EMBXSBUSY: return {Answer::Kind::busy, words(error)};
    case EMBXGPATH:
    case EMBXGTAR: return {Answer::Kind::silent, words(error)};
    case EMBXILFUN:
    case EMBXILADD:
    case EMBXILVAL:
    case EMBXSFAIL:
    case EMBXNACK:
    case EMBXMEMPAR: return {Answer::Kind::refused, words(error)};
    case ETIMEDOUT:
    case EMBBADCRC:
    case EMBBADDATA:
    case EMBBADEXC:
    case EMBUNKEXC:
    case EMBMDATA:
    case EMBBADSLAVE:
    case 0: {
      discard_late_answer();
      return {Answer::Kind::silent, error == ETIMEDOUT ? "no answer in time" : words(error)};
    }
    default: close(); return {Answer::Kind::broken, words(error)};
  }
}

void Bus::discard_late_answer() {
  if (settings_.serial.device.empty()) return close();
  pollfd line{modbus_get_socket(context_.get()), POLLIN, 0};
  const int wait_ms = static_cast<int>(settings_.timeout.count() / 1000) + 1;
  constexpr int rounds_max = 64;  // a line that never falls silent is not waited for
  for (int i = 0; i<rounds_max&& ::poll(&line, 1, i == 0 ? wait_ms : 10)> 0; ++i) {
    std::array<char, 256> bytes;
    if (::read(line.fd, bytes.data(), bytes.size()) <= 0) break;
  }
  modbus_flush(context_.get());
}

}  // namespace penstock::connectors::modbus
