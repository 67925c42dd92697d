// Bytes: a borrowed run of raw bytes, and fixed-order integers in stored formats.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace penstock {

/// Borrowed binary data. A type of its own, so that it is never taken for text.
struct Bytes {
  std::string_view data;
};

/// Little-endian, for values.
template <typename T>
void store_le(char* out, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    out[i] = static_cast<char>(static_cast<std::uint64_t>(value) >> (8 * i));
  }
}
template <typename T>
T load_le(const char* in) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    value |= static_cast<std::uint64_t>(static_cast<unsigned char>(in[i])) << (8 * i);
  }
  return static_cast<T>(value);
}

/// Big-endian, for keys: byte order is then number order.
template <typename T>
void store_be(char* out, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    out[i] = static_cast<char>(static_cast<std::uint64_t>(value) >> (8 * (sizeof(T) - 1 - i)));
  }
}
template <typename T>
T load_be(const char* in) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    value = value << 8 | static_cast<unsigned char>(in[i]);
  }
  return static_cast<T>(value);
}

}  // namespace penstock
