// What the modbus connector was told to read, and from where.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "agent/base/result.hpp"
#include "config/option.hpp"
#include "config/section.hpp"

namespace penstock::connectors::modbus {

/// The four tables of a unit, each with addresses of its own.
enum class Table { holding, input, coil, discrete };
inline bool is_bit_table(Table table) { return table == Table::coil || table == Table::discrete; }
std::string_view to_string(Table table);

enum class As { int16, uint16, int32, uint32, int64, uint64, float32, float64, text, boolean };

/// How the bytes of a value lie in its registers; "abcd" is the order of the specification.
enum class Order { abcd, cdab, badc, dcba };

/// One value: where it lies and what it means.
struct Item {
  std::string name;
  int unit = 1;
  Table table = Table::holding;
  std::uint16_t address = 0;
  std::uint16_t size = 1;  ///< registers, or bits of a bit table
  As as = As::uint16;
  Order order = Order::abcd;
  double scale = 1;
  double offset = 0;
  bool is_scaled = false;
  int bit = -1;  ///< -1: the whole number; 0 is the lowest
  int bits = 0;  ///< width of a bit field; 0: one bit, as a boolean
  std::string measured_in;
};

struct Serial {
  std::string device;  ///< "" = TCP
  int baud = 9600;
  char parity = 'E';
  int data_bits = 8;
  int stop_bits = 1;
  bool is_rs485 = false;
};

struct Settings {
  std::string host;
  std::string port;
  Serial serial;
  std::vector<Item> items;
  std::chrono::microseconds every{};
  std::chrono::microseconds timeout{};
  std::chrono::microseconds pause{};
  std::chrono::microseconds backoff_max{};
  int retries = 1;
  unsigned registers_max = 120;
  unsigned gap_max = 8;
  bool stream_per_unit = false;

  std::string address() const;  ///< as it was written; for messages
};

std::span<const config::Option> options();
Result<Settings> read_settings(const config::Section& section);

}  // namespace penstock::connectors::modbus
