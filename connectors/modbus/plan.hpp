// Plan: which values are read by one request.
#pragma once

#include <span>
#include <vector>

#include "connectors/modbus/settings.hpp"

namespace penstock::connectors::modbus {

/// One request: addresses of one table of one unit, and the values that lie in them.
struct Block {
  Table table = Table::holding;
  std::uint16_t address = 0;
  std::uint16_t size = 0;          ///< registers or bits
  std::vector<std::size_t> items;  ///< indexes into the settings' items
};

struct UnitPlan {
  int unit = 1;
  std::vector<std::size_t> items;  ///< in the order of the configuration
  std::vector<Block> blocks;
};

/// Units in the order in which they are first named. A value never spans two requests; neighbours
/// with a gap of at most gap_max share one of at most registers_max registers (16 times as many
/// bits).
std::vector<UnitPlan> make_plan(const Settings& settings);

/// The same values, one request each: for a unit that refuses something in the block.
std::vector<Block> split(const Block& block, std::span<const Item> items);

}  // namespace penstock::connectors::modbus
