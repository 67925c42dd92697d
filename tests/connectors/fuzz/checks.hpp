// What must hold of every chunk that a decoder made, whatever it was fed.
#pragma once

#include <cmath>
#include <string_view>

#include "agent/base/assert.hpp"
#include "connectors/support/decoder.hpp"
#include "connectors/support/time_text.hpp"

namespace penstock::fuzz {

/// Looks at every event, so that a view to nowhere is found, too.
inline std::size_t checked_bytes(const connectors::Chunk& chunk) {
  std::size_t bytes = 0;
  for (const auto& event : chunk.events()) {
    PENSTOCK_ASSERT(event.time_unix_us >= 0);
    PENSTOCK_ASSERT(event.time_unix_us < connectors::support::time_end_us);
    PENSTOCK_ASSERT(event.field_count > 0);
    for (const char c : event.part) bytes += static_cast<unsigned char>(c) != 0;
    for (const auto& field : chunk.fields(event)) {
      for (const char c : field.name) bytes += static_cast<unsigned char>(c) != 0;
      if (const auto* text = std::get_if<std::string_view>(&field.value)) {
        for (const char c : *text) bytes += static_cast<unsigned char>(c) != 0;
      }
      if (const auto* number = std::get_if<double>(&field.value)) {
        PENSTOCK_ASSERT(std::isfinite(*number));
      }
    }
  }
  return bytes;
}

/// Decodes twice with one decoder, which must remember nothing.
inline void check_decoder(connectors::support::Decoder& decoder, std::string_view message,
                          const connectors::support::Envelope& envelope) {
  connectors::Chunk first;
  connectors::Chunk second;
  const auto decoded = decoder.decode(message, envelope, first);
  const auto again = decoder.decode(message, envelope, second);
  PENSTOCK_ASSERT(decoded.events == first.events().size());
  PENSTOCK_ASSERT(decoded.events == again.events && decoded.bad == again.bad);
  PENSTOCK_ASSERT(decoded.reason == again.reason && decoded.bad_offset == again.bad_offset);
  PENSTOCK_ASSERT((decoded.bad > 0) == !decoded.reason.empty());
  PENSTOCK_ASSERT(decoded.bad_offset <= message.size());
  PENSTOCK_ASSERT(checked_bytes(first) == checked_bytes(second));
}

}  // namespace penstock::fuzz
