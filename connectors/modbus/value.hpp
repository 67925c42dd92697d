// From registers and bits to values.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "connectors/api/event.hpp"
#include "connectors/modbus/settings.hpp"

namespace penstock::connectors::modbus {

/// What `item` says of its own registers (item.size of them). Text is put into `text`, which has to
/// live as long as the value.
Value value_of(const Item& item, std::span<const std::uint16_t> registers, std::string& text);

}  // namespace penstock::connectors::modbus
