#include "connectors/file/position.hpp"

#include <fmt/core.h>

#include "agent/base/assert.hpp"
#include "agent/base/bytes.hpp"
#define XXH_INLINE_ALL
#include <xxhash.h>

namespace penstock::connectors::file {
namespace {

constexpr char version = 1;
constexpr unsigned flag_skipping = 1;
constexpr unsigned flag_copy = 2;

template <typename T>
void put(std::string& out, T value) {
  char bytes[sizeof(T)];
  store_le(bytes, value);
  out.append(bytes, sizeof(T));
}

template <typename T>
bool take(std::string_view& in, T& value) {
  if (in.size() < sizeof(T)) return false;
  value = load_le<T>(in.data());
  in.remove_prefix(sizeof(T));
  return true;
}

bool take_mark(std::string_view& in, Mark& mark, std::size_t length_max) {
  return take(in, mark.length) && take(in, mark.hash) && mark.length <= length_max;
}

}  // namespace

Mark mark_of(std::string_view bytes) {
  if (bytes.empty()) return {};
  return {XXH3_64bits(bytes.data(), bytes.size()), static_cast<std::uint32_t>(bytes.size())};
}

std::string part_of(const FileId& id) { return fmt::format("{:x}:{:x}", id.device, id.inode); }

std::string encode(const Position& position, std::string_view path) {
  PENSTOCK_ASSERT(path.size() <= path_bytes_max);
  std::string out;
  out.reserve(96 + path.size());
  put(out, static_cast<std::uint8_t>(version));
  put(out, static_cast<std::uint8_t>((position.is_skipping ? flag_skipping : 0) |
                                     (position.is_copy ? flag_copy : 0)));
  put(out, position.id.device);
  put(out, position.id.inode);
  put(out, position.offset);
  put(out, position.size_seen);
  put(out, position.mtime_ns);
  put(out, position.head.length);
  put(out, position.head.hash);
  put(out, position.tail.length);
  put(out, position.tail.hash);
  put(out, position.generation);
  put(out, static_cast<std::uint16_t>(path.size()));
  out += path;
  return out;
}

std::optional<Position> decode(std::string_view bytes) {
  Position position;
  std::uint8_t found_version = 0;
  std::uint8_t flags = 0;
  std::uint16_t path_size = 0;
  const bool is_whole =
      take(bytes, found_version) && found_version == version && take(bytes, flags) &&
      take(bytes, position.id.device) && take(bytes, position.id.inode) &&
      take(bytes, position.offset) && take(bytes, position.size_seen) &&
      take(bytes, position.mtime_ns) && take_mark(bytes, position.head, head_bytes_max) &&
      take_mark(bytes, position.tail, tail_bytes_max) && take(bytes, position.generation) &&
      take(bytes, path_size) && path_size == bytes.size();
  constexpr std::uint64_t offset_max = INT64_MAX;  // what pread(2) can address
  if (!is_whole || (flags & ~(flag_skipping | flag_copy)) != 0 || position.offset > offset_max ||
      position.size_seen > offset_max || position.tail.length > position.offset || path_size == 0 ||
      path_size > path_bytes_max || bytes.front() != '/') {
    return std::nullopt;
  }
  position.is_skipping = (flags & flag_skipping) != 0;
  position.is_copy = (flags & flag_copy) != 0;
  position.path = bytes;
  return position;
}

}  // namespace penstock::connectors::file
