#include "connectors/modbus/settings.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

#include "agent/base/log.hpp"
#include "agent/base/text.hpp"
#include "agent/base/wire.hpp"

namespace penstock::connectors::modbus {
namespace {

constexpr Table tables[] = {Table::holding, Table::input, Table::coil, Table::discrete};
constexpr std::size_t name_bytes_max = 256;

/// The rates that libmodbus knows; it would take 9600 for any other, without a word.
constexpr int rates[] = {110,     300,     600,     1200,    2400,    4800,    9600,   19200,
                         38400,   57600,   115200,  230400,  460800,  500000,  576000, 921600,
                         1000000, 1152000, 1500000, 2500000, 3000000, 3500000, 4000000};

As parse_as(std::string_view text) {
  static const std::map<std::string_view, As> all = {
      {"int16", As::int16},     {"uint16", As::uint16},   {"int32", As::int32},
      {"uint32", As::uint32},   {"int64", As::int64},     {"uint64", As::uint64},
      {"float32", As::float32}, {"float64", As::float64}, {"text", As::text}};
  return all.at(text);
}

Order parse_order(std::string_view text) {
  if (text == "cdab") return Order::cdab;
  if (text == "badc") return Order::badc;
  if (text == "dcba") return Order::dcba;
  return Order::abcd;
}

std::uint16_t register_count(As as) {
  switch (as) {
    case As::int32:
    case As::uint32:
    case As::float32: return 2;
    case As::int64:
    case As::uint64:
    case As::float64: return 4;
    default: return 1;
  }
}

bool is_unsigned(As as) { return as == As::uint16 || as == As::uint32 || as == As::uint64; }

Result<void> read_place(const config::Section& entry, Item& item) {
  int found = 0;
  for (const Table table : tables) {
    if (!entry.has(to_string(table))) continue;
    ++found;
    item.table = table;
    item.address = static_cast<std::uint16_t>(entry.integer(to_string(table)));
  }
  if (found != 1) {
    return entry.invalid(
        "name", fmt::format("{} needs one of holding, input, coil and discrete", quoted(item.name)),
        "write {name: temp, holding: 100}");
  }
  return {};
}

/// A bit table has nothing but addresses.
Result<void> read_bit(const config::Section& entry, Item& item) {
  for (const std::string_view name :
       {"as", "order", "length", "bit", "bits", "scale", "offset", "measured_in"}) {
    if (entry.has_written(name)) {
      return entry.invalid(name, fmt::format("{} does not fit {} {}: it is true or false", name,
                                             to_string(item.table), item.address));
    }
  }
  item.as = As::boolean;
  return {};
}

Result<void> read_text(const config::Section& entry, Item& item) {
  for (const std::string_view name : {"bit", "bits", "scale", "offset", "measured_in"}) {
    if (entry.has_written(name)) {
      return entry.invalid(name, fmt::format("{} does not fit as: text", name));
    }
  }
  if (!entry.has("length")) {
    return entry.invalid("as", "as: text needs a length", "write length: 8 for 16 characters");
  }
  if (item.order == Order::cdab || item.order == Order::dcba) {
    return entry.invalid("order", "text has no order of words: it is abcd, or badc");
  }
  item.size = static_cast<std::uint16_t>(entry.integer("length"));
  return {};
}

Result<void> read_number(const config::Section& entry, Item& item) {
  if (entry.has("length")) return entry.invalid("length", "length is for as: text");
  item.size = register_count(item.as);
  item.is_scaled = entry.has("scale") || entry.has("offset");
  if (entry.has("scale")) item.scale = entry.number("scale");
  if (entry.has("offset")) item.offset = entry.number("offset");
  if (item.scale == 0) return entry.invalid("scale", "scale: 0 leaves nothing of the number");
  if (entry.has("bits") && !entry.has("bit")) {
    return entry.invalid("bits", "bits needs bit, the lowest of them");
  }
  if (!entry.has("bit")) return {};
  item.bit = static_cast<int>(entry.integer("bit"));
  item.bits = entry.has("bits") ? static_cast<int>(entry.integer("bits")) : 0;
  if (!is_unsigned(item.as)) {
    return entry.invalid("bit", "bit needs as: uint16, uint32 or uint64");
  }
  if (item.bit + std::max(item.bits, 1) > item.size * 16) {
    return entry.invalid("bit",
                         fmt::format("the bits end beyond the {} of the number", item.size * 16));
  }
  if (item.bits == 0 && item.is_scaled) {
    return entry.invalid("bit", "one bit is true or false and cannot be scaled");
  }
  return {};
}

Result<Item> read_item(const config::Section& entry, int unit, unsigned registers_max) {
  Item item;
  item.name = entry.text("name");
  item.unit = entry.has("unit") ? static_cast<int>(entry.integer("unit")) : unit;
  if (item.name.empty() || item.name.size() > name_bytes_max || !is_valid_utf8(item.name)) {
    return entry.invalid("name", fmt::format("a name has 1 to {} bytes", name_bytes_max));
  }
  if (is_reserved_member(item.name) || item.name == "unit" || item.name == "error") {
    return entry.invalid("name",
                         fmt::format("every event has a member {} of its own", quoted(item.name)),
                         "choose another name");
  }
  PENSTOCK_TRY(read_place(entry, item));
  if (is_bit_table(item.table)) {
    PENSTOCK_TRY(read_bit(entry, item));
  } else {
    item.as = parse_as(entry.text("as"));
    item.order = parse_order(entry.text("order"));
    PENSTOCK_TRY(item.as == As::text ? read_text(entry, item) : read_number(entry, item));
    item.measured_in = entry.text("measured_in");
  }
  if (item.address + item.size > 65'536) {
    return entry.invalid(to_string(item.table), "the value ends beyond register 65535");
  }
  if (item.size > registers_max) {
    return entry.invalid(to_string(item.table),
                         fmt::format("the value has {} registers, more than max_registers: {}",
                                     item.size, registers_max));
  }
  return item;
}

Result<void> read_address(const config::Section& section, Settings& settings) {
  const std::string text = section.text("address");
  const auto bad = [&](std::string message) {
    return section.invalid("address", std::move(message),
                           "write tcp://10.0.3.17:502 or rtu:/dev/ttyUSB0");
  };
  if (text.find('\0') != std::string::npos) return bad("the address holds a NUL byte");
  if (text.starts_with("rtu:")) {
    settings.serial.device = text.substr(4);
    if (settings.serial.device.empty() || settings.serial.device.front() != '/') {
      return bad(fmt::format("{} does not name a device by its whole path", quoted(text)));
    }
    return {};
  }
  if (!text.starts_with("tcp://")) return bad(fmt::format("{} is no address", quoted(text)));
  if (section.has_written("serial")) {
    return section.invalid("serial", "serial is for addresses that begin with rtu:");
  }
  std::string rest = text.substr(6);
  settings.port = "502";
  const bool is_bracketed = rest.starts_with('[');
  const std::size_t host_end = is_bracketed ? rest.find(']') : rest.find(':');
  if (is_bracketed && host_end == std::string::npos) return bad("a ] is missing");
  const std::size_t colon = is_bracketed ? host_end + 1 : host_end;
  if (colon < rest.size()) {
    settings.port = rest[colon] == ':' ? rest.substr(colon + 1) : "";
    const bool is_number = !settings.port.empty() && settings.port.size() <= 5 &&
                           std::all_of(settings.port.begin(), settings.port.end(),
                                       [](char c) { return c >= '0' && c <= '9'; });
    if (!is_number || std::stoi(settings.port) == 0 || std::stoi(settings.port) > 65'535) {
      return bad("the port is a number from 1 to 65535");
    }
  }
  settings.host = is_bracketed ? rest.substr(1, host_end - 1) : rest.substr(0, host_end);
  if (settings.host.empty() || settings.host.size() > 255) return bad("the host is missing");
  return {};
}

Result<void> read_serial(const config::Section& section, Serial& serial) {
  const std::string parity = section.text("parity");
  serial.baud = static_cast<int>(section.integer("baud"));
  if (std::find(std::begin(rates), std::end(rates), serial.baud) == std::end(rates)) {
    return section.invalid("baud",
                           fmt::format("a serial line cannot run at {} bits a second", serial.baud),
                           fmt::format("write one of {}", fmt::join(rates, " ")));
  }
  serial.parity = parity == "none" ? 'N' : parity == "odd" ? 'O' : 'E';
  serial.data_bits = static_cast<int>(section.integer("data_bits"));
  serial.stop_bits = static_cast<int>(section.integer("stop_bits"));
  serial.is_rs485 = section.boolean("rs485");
  return {};
}

}  // namespace

std::string_view to_string(Table table) {
  switch (table) {
    case Table::holding: return "holding";
    case Table::input: return "input";
    case Table::coil: return "coil";
    case Table::discrete: return "discrete";
  }
  return "";
}

std::string Settings::address() const {
  if (!serial.device.empty()) return "rtu:" + serial.device;
  const bool is_v6 = host.find(':') != std::string::npos;
  return fmt::format("tcp://{}{}{}:{}", is_v6 ? "[" : "", host, is_v6 ? "]" : "", port);
}

Result<Settings> read_settings(const config::Section& section) {
  Settings settings;
  PENSTOCK_TRY(read_address(section, settings));
  PENSTOCK_TRY(read_serial(section.section("serial"), settings.serial));
  settings.every = section.duration("every");
  settings.timeout = section.duration("timeout");
  settings.pause = section.duration("pause");
  settings.backoff_max = section.duration("backoff_max");
  settings.retries = static_cast<int>(section.integer("retries"));
  settings.registers_max = static_cast<unsigned>(section.integer("max_registers"));
  settings.gap_max = static_cast<unsigned>(section.integer("max_gap"));
  settings.stream_per_unit = section.boolean("stream_per_unit");
  const int unit = static_cast<int>(section.integer("unit"));
  std::set<std::pair<int, std::string>> names;
  for (const config::Section& entry : section.section_list("read")) {
    PENSTOCK_TRY_ASSIGN(Item item, read_item(entry, unit, settings.registers_max));
    // A serial bus knows 1 … 247, and 0 is a call to all that nobody answers.
    if (!settings.serial.device.empty() && (item.unit < 1 || item.unit > 247)) {
      return entry.invalid(entry.has("unit") ? "unit" : "name",
                           fmt::format("a serial bus has the units 1 to 247, not {}", item.unit));
    }
    if (!names.emplace(item.unit, item.name).second) {
      return entry.invalid("name",
                           fmt::format("unit {} has {} twice", item.unit, quoted(item.name)));
    }
    settings.items.push_back(std::move(item));
  }
  if (settings.items.empty()) {
    return section.invalid("read", "there is nothing to read",
                           "write read: [{name: temp, holding: 100}]");
  }
  return settings;
}

}  // namespace penstock::connectors::modbus
