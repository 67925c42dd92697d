// Bus: one connection or serial line, and requests on it; the only user of libmodbus.
#pragma once

#include <modbus/modbus.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "agent/base/result.hpp"
#include "connectors/modbus/plan.hpp"
#include "connectors/modbus/settings.hpp"

namespace penstock::connectors::modbus {

/// What became of a request.
struct Answer {
  enum class Kind {
    good,
    refused,  ///< the unit answered with an exception: it lives
    busy,     ///< an exception that asks for another try
    silent,   ///< no answer, or none that can be understood
    broken,   ///< the connection or the line is gone
  };
  Kind kind = Kind::good;
  std::string text;  ///< why, in words
};

/// Blocks for at most the timeout of the settings, in each call. Thread: owner only.
class Bus {
 public:
  explicit Bus(const Settings& settings) : settings_(settings) {}

  /// unavailable: no connection, no such device, or another program has it.
  Result<void> open();
  void close() { context_.reset(); }
  bool is_open() const { return context_ != nullptr; }

  /// Reads a block; `values` gets one entry for each register or bit. After `silent` the late
  /// answer is kept from being taken for the next one: the TCP connection is closed, a line is
  /// listened to until the answer would be out of time.
  Answer read(int unit, const Block& block, std::vector<std::uint16_t>& values);

 private:
  struct Free {
    void operator()(modbus_t* context) const {
      modbus_close(context);
      modbus_free(context);
    }
  };

  Result<void> make_context();
  int request(const Block& block, std::vector<std::uint16_t>& values);
  Answer failure(int error);
  void discard_late_answer();

  const Settings& settings_;
  std::unique_ptr<modbus_t, Free> context_;
  std::vector<std::uint8_t> bits_;
};

/// "illegal data address (exception 2)"; "" if `error` (of libmodbus) is no exception.
std::string exception_text(int error);

}  // namespace penstock::connectors::modbus
