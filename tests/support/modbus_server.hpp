// ModbusServer: units with registers on loopback TCP or on a pseudo-terminal, for tests. Its codec
// is its own.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "agent/base/unique_fd.hpp"

namespace penstock::tests {

/// Answers functions 1 to 4. Thread: any.
class ModbusServer {
 public:
  struct Unit {
    std::map<int, std::uint16_t> holding, input, coils, discrete;  ///< others: exception 2
    bool is_silent = false;
    int exception = 0;  ///< answers everything with it
  };
  struct Request {
    int unit, function, address, size;
    bool operator==(const Request&) const = default;
  };

  enum class On { tcp, serial };
  /// port: of TCP; 0 = any.
  explicit ModbusServer(On on, std::uint16_t port = 0);
  ModbusServer(const ModbusServer&) = delete;
  ModbusServer& operator=(const ModbusServer&) = delete;
  ~ModbusServer();

  /// As the connector's option `address` wants it.
  std::string address() const;

  /// Changes units between two requests.
  template <typename Change>
  void change(Change&& change) {
    const std::lock_guard lock(mutex_);
    change(units_);
  }
  std::vector<Request> requests() const;
  /// TCP: ends the connection, as a device that reboots.
  void drop_connection() { is_drop_due_ = true; }

 private:
  void serve();
  void serve_tcp();
  void serve_serial();
  bool wait_for(int fd) const;
  std::string answer(int unit, const std::string& pdu);

  const On on_;
  UniqueFd listener_;  // the pseudo-terminal's controlling side
  UniqueFd device_;    // keeps the other side open
  UniqueFd stop_;
  std::string address_;
  mutable std::mutex mutex_;  // guards: units_, requests_
  std::map<int, Unit> units_;
  std::vector<Request> requests_;
  std::atomic<bool> is_drop_due_ = false;
  std::thread thread_;
};

}  // namespace penstock::tests
