#include "connectors/modbus/plan.hpp"

#include <algorithm>

namespace penstock::connectors::modbus {
namespace {

Block block_of(const Item& item, std::size_t index) {
  return {item.table, item.address, item.size, {index}};
}

std::vector<Block> blocks_of(const Settings& settings, std::vector<std::size_t> indexes) {
  const std::vector<Item>& items = settings.items;
  std::stable_sort(indexes.begin(), indexes.end(), [&](std::size_t a, std::size_t b) {
    return std::pair(items[a].table, items[a].address) <
           std::pair(items[b].table, items[b].address);
  });
  std::vector<Block> blocks;
  for (const std::size_t index : indexes) {
    const Item& item = items[index];
    if (!blocks.empty() && blocks.back().table == item.table) {
      Block& last = blocks.back();
      const unsigned last_end = unsigned{last.address} + last.size;
      const unsigned end = std::max(last_end, unsigned{item.address} + item.size);
      const unsigned size_max = settings.registers_max * (is_bit_table(item.table) ? 16 : 1);
      if (item.address <= last_end + settings.gap_max && end - last.address <= size_max) {
        last.size = static_cast<std::uint16_t>(end - last.address);
        last.items.push_back(index);
        continue;
      }
    }
    blocks.push_back(block_of(item, index));
  }
  return blocks;
}

}  // namespace

std::vector<UnitPlan> make_plan(const Settings& settings) {
  std::vector<UnitPlan> plan;
  for (std::size_t i = 0; i < settings.items.size(); ++i) {
    const int unit = settings.items[i].unit;
    auto found = std::find_if(plan.begin(), plan.end(),
                              [unit](const UnitPlan& known) { return known.unit == unit; });
    if (found == plan.end()) found = plan.insert(plan.end(), {unit, {}, {}});
    found->items.push_back(i);
  }
  for (UnitPlan& unit : plan) unit.blocks = blocks_of(settings, unit.items);
  return plan;
}

std::vector<Block> split(const Block& block, std::span<const Item> items) {
  std::vector<Block> single;
  for (const std::size_t index : block.items) single.push_back(block_of(items[index], index));
  return single;
}

}  // namespace penstock::connectors::modbus
