#include "agent/pipeline/stream_name.hpp"

#include <fmt/format.h>

#include <cstdint>

#include "agent/base/text.hpp"

namespace penstock::pipeline {
namespace {

/// FNV-1a, 64 bits: part of stored names, so it never changes.
std::uint64_t hash_of(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3;
  }
  return hash;
}

constexpr std::size_t front_bytes = part_name_bytes_max - 17;

}  // namespace

std::string part_name(std::string_view part) {
  // An encoded byte takes at least one, so the front is enough to see whether all of it is needed.
  std::string name = percent_encoded(part.substr(0, part_name_bytes_max + 1));
  if (name.size() <= part_name_bytes_max) return name;
  name.resize(front_bytes);
  // Not through the middle of "%XX".
  if (name[front_bytes - 1] == '%') {
    name.resize(front_bytes - 1);
  } else if (name[front_bytes - 2] == '%') {
    name.resize(front_bytes - 2);
  }
  return fmt::format("{}-{:016x}", name, hash_of(part));
}

std::string stream_name(std::string_view connector, std::string_view part) {
  std::string name(connector);
  if (!part.empty()) {
    name += '/';
    name += part_name(part);
  }
  return name;
}

}  // namespace penstock::pipeline
