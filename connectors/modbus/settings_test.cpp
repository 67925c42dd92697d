// Options of the modbus connector, the plan of requests, and values from registers.
#include <catch2/catch.hpp>
#include <cmath>

#include "connectors/modbus/plan.hpp"
#include "connectors/modbus/value.hpp"

namespace penstock::connectors::modbus {
namespace {

Result<Settings> parsed(const std::string& yaml, config::Diagnostics& diagnostics) {
  auto section = config::Section::parse(yaml, options(), diagnostics);
  if (!section.ok()) return section.error();
  return read_settings(*section);
}

template <typename T>
bool is(const Value& value, T wanted) {
  const T* held = std::get_if<T>(&value);
  return held != nullptr && *held == wanted;
}

TEST_CASE("addresses") {
  struct Row {
    std::string text, host, port, device;
  };
  const auto row = GENERATE(as<Row>{}, Row{"tcp://plc", "plc", "502", ""},
                            Row{"tcp://10.0.0.1:1502", "10.0.0.1", "1502", ""},
                            Row{"tcp://[::1]:5020", "::1", "5020", ""},
                            Row{"tcp://[fe80::1]", "fe80::1", "502", ""},
                            Row{"rtu:/dev/ttyUSB0", "", "", "/dev/ttyUSB0"});
  config::Diagnostics diagnostics;
  const auto settings =
      parsed("address: \"" + row.text + "\"\nread: [{name: a, holding: 1}]\n", diagnostics);
  REQUIRE(settings.ok());
  CHECK(settings->host == row.host);
  CHECK(settings->port == row.port);
  CHECK(settings->serial.device == row.device);
}

TEST_CASE("mistakes name their place") {
  const std::string line = GENERATE(
      as<std::string>{}, "{name: a}", "{name: a, holding: 1, coil: 2}",
      "{name: a, coil: 1, as: int16}", "{name: a, holding: 1, as: text}",
      "{name: a, holding: 1, length: 2}", "{name: a, holding: 65535, as: int32}",
      "{name: a, holding: 1, bits: 3}", "{name: a, holding: 1, bit: 16}",
      "{name: a, holding: 1, as: int16, bit: 2}", "{name: a, holding: 1, bit: 2, scale: 2}",
      "{name: seq, holding: 1}", "{name: error, holding: 1}", "{name: \"\", holding: 1}",
      "{name: a, holding: 1, scale: 0}", "{name: b, holding: 2}",
      "{name: a, holding: 1, as: text, length: 2, order: dcba}");
  CAPTURE(line);
  config::Diagnostics diagnostics;
  const auto settings =
      parsed("address: tcp://plc\nread:\n- {name: b, holding: 1}\n- " + line + "\n", diagnostics);
  REQUIRE_FALSE(settings.ok());
  REQUIRE_FALSE(diagnostics.all().empty());
  CHECK(diagnostics.all().at(0).place.line == 4);
}

TEST_CASE("addresses and lines that cannot be") {
  const std::string yaml = GENERATE(
      as<std::string>{}, "address: plc\n", "address: \"tcp://plc:0\"\n",
      "address: \"tcp://plc:70000\"\n", "address: \"tcp://\"\n", "address: \"tcp://[::1\"\n",
      "address: \"rtu:ttyUSB0\"\n", "address: tcp://plc\nserial: {baud: 9600}\n",
      "address: \"rtu:/dev/x\"\nunit: 0\n", "address: \"rtu:/dev/x\"\nserial: {baud: 14400}\n");
  CAPTURE(yaml);
  config::Diagnostics diagnostics;
  CHECK_FALSE(parsed(yaml + "read: [{name: a, holding: 1}]\n", diagnostics).ok());
}

TEST_CASE("requests: neighbours together, within the limits, and no value in two of them") {
  const auto blocks = [](unsigned registers_max, unsigned gap_max, std::vector<Item> items) {
    Settings settings;
    settings.registers_max = registers_max;
    settings.gap_max = gap_max;
    settings.items = std::move(items);
    std::vector<std::pair<int, int>> out;
    for (const UnitPlan& unit : make_plan(settings)) {
      for (const Block& block : unit.blocks) out.emplace_back(block.address, block.size);
    }
    return out;
  };
  const auto item = [](std::uint16_t address, std::uint16_t size, Table table = Table::holding,
                       int unit = 1) {
    Item out;
    out.unit = unit;
    out.table = table;
    out.address = address;
    out.size = size;
    return out;
  };
  using Blocks = std::vector<std::pair<int, int>>;
  CHECK(blocks(120, 8, {item(10, 2), item(0, 1), item(20, 4)}) == Blocks{{0, 1}, {10, 14}});
  CHECK(blocks(120, 9, {item(10, 2), item(0, 1), item(20, 4)}) == Blocks{{0, 24}});
  CHECK(blocks(120, 0, {item(0, 1), item(1, 1), item(3, 1)}) == Blocks{{0, 2}, {3, 1}});
  CHECK(blocks(4, 8, {item(0, 2), item(2, 1), item(3, 2)}) == Blocks{{0, 3}, {3, 2}});
  CHECK(blocks(120, 8, {item(0, 4), item(1, 1)}) == Blocks{{0, 4}});
  CHECK(blocks(120, 8, {item(0, 1), item(1, 1, Table::input)}) == Blocks{{0, 1}, {1, 1}});
  CHECK(blocks(120, 8, {item(0, 1), item(1, 1, Table::holding, 2)}) == Blocks{{0, 1}, {1, 1}});
  CHECK(blocks(1, 20,
               {item(0, 1, Table::coil), item(15, 1, Table::coil), item(16, 1, Table::coil)}) ==
        Blocks{{0, 16}, {16, 1}});
}

TEST_CASE("values from registers, in every order") {
  std::string text;
  const auto value = [&](As as, Order order, std::vector<std::uint16_t> registers, double scale = 0,
                         double offset = 0) {
    Item item;
    item.as = as;
    item.order = order;
    item.is_scaled = scale != 0;
    item.scale = scale;
    item.offset = offset;
    return value_of(item, registers, text);
  };
  CHECK(is(value(As::int16, Order::badc, {0xfeff}), std::int64_t{-2}));
  CHECK(is(value(As::uint16, Order::cdab, {0x0102}), std::uint64_t{0x0102}));
  const std::pair<Order, std::vector<std::uint16_t>> same[] = {{Order::abcd, {0x0102, 0x0304}},
                                                               {Order::cdab, {0x0304, 0x0102}},
                                                               {Order::badc, {0x0201, 0x0403}},
                                                               {Order::dcba, {0x0403, 0x0201}}};
  for (const auto& [order, registers] : same) {
    CHECK(is(value(As::uint32, order, registers), std::uint64_t{0x01020304}));
  }
  CHECK(is(value(As::int32, Order::abcd, {0xffff, 0xfffe}), std::int64_t{-2}));
  CHECK(is(value(As::uint64, Order::dcba, {0x0807, 0x0605, 0x0403, 0x0201}),
           std::uint64_t{0x0102030405060708}));
  CHECK(is(value(As::int64, Order::abcd, {0xffff, 0xffff, 0xffff, 0xffff}), std::int64_t{-1}));
  CHECK(is(value(As::float32, Order::abcd, {0x41aa, 0x6666}), 21.3));
  CHECK(is(value(As::float64, Order::abcd, {0x4035, 0x4ccc, 0xcccc, 0xcccd}), 21.3));
  CHECK(std::isnan(std::get<double>(value(As::float32, Order::abcd, {0x7fc0, 0}))));
  CHECK(is(value(As::int16, Order::abcd, {213}, 0.1), 21.3));
  CHECK(is(value(As::int16, Order::abcd, {213}, 2, -26), 400.0));
  CHECK(is(value(As::float32, Order::abcd, {0x41aa, 0x6666}, 10), 213.0));
  CHECK(std::get<std::string_view>(
            value(As::text, Order::badc, {0x6548, 0x6c6c, 0x206f, 0x2020})) == "Hello");
  CHECK(std::get<std::string_view>(value(As::text, Order::abcd, {0x2020, 0})).empty());
}

}  // namespace
}  // namespace penstock::connectors::modbus
