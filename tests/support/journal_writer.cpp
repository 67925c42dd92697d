#include "tests/support/journal_writer.hpp"

#include <fcntl.h>

#include <bit>

#include "agent/base/assert.hpp"
#include "agent/base/bytes.hpp"

namespace penstock::tests {
namespace {

enum ObjectType : std::uint8_t { data = 1, entry = 3, data_table = 4, field_table = 5, array = 6 };

constexpr std::uint64_t header_size = 224;
constexpr std::uint64_t buckets = 16;
// Offsets in the header.
constexpr std::uint64_t at_state = 16, at_file = 24, at_machine = 40, at_boot = 56, at_series = 72,
                        at_header_size = 88, at_arena_size = 96, at_data_table = 104,
                        at_field_table = 120, at_tail_object = 136, at_objects = 144,
                        at_entries = 152, at_tail_number = 160, at_head_number = 168,
                        at_entry_array = 176, at_head_time = 184, at_tail_time = 192,
                        at_tail_monotonic = 200, at_data_count = 208;
// Offsets in a data object.
constexpr std::uint64_t data_hash = 16, data_next = 24, data_entry = 40, data_array = 48,
                        data_entries = 56, data_payload = 64;

/// Bob Jenkins' lookup3 with two results, as one number: what the format calls jenkins_lookup3.
std::uint64_t hash_of(std::string_view bytes) {
  std::uint32_t a = 0xdeadbeef + static_cast<std::uint32_t>(bytes.size());
  std::uint32_t b = a;
  std::uint32_t c = a;
  const auto add_block = [&](std::string_view block) {
    std::uint32_t words[3] = {0, 0, 0};
    for (std::size_t i = 0; i < block.size(); ++i) {
      words[i / 4] |= static_cast<std::uint32_t>(static_cast<unsigned char>(block[i]))
                      << (8 * (i % 4));
    }
    a += words[0];
    b += words[1];
    c += words[2];
  };
  const auto step = [](std::uint32_t& x, std::uint32_t& y, std::uint32_t& z, int bits) {
    x = (x - z) ^ std::rotl(z, bits);
    z += y;
  };
  for (; bytes.size() > 12; bytes.remove_prefix(12)) {
    add_block(bytes.substr(0, 12));
    step(a, b, c, 4);
    step(b, c, a, 6);
    step(c, a, b, 8);
    step(a, b, c, 16);
    step(b, c, a, 19);
    step(c, a, b, 4);
  }
  if (!bytes.empty()) {
    add_block(bytes);
    const auto last = [](std::uint32_t& x, std::uint32_t y, int bits) {
      x = (x ^ y) - std::rotl(y, bits);
    };
    last(c, b, 14);
    last(a, c, 11);
    last(b, a, 25);
    last(c, b, 16);
    last(a, c, 4);
    last(b, a, 14);
    last(c, b, 24);
  }
  return std::uint64_t{c} << 32 | b;
}

}  // namespace

JournalWriter::JournalWriter(const std::filesystem::path& file, std::uint64_t first_number,
                             char boot, char series)
    : file_(::open(file.c_str(), O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0644)),
      image_(header_size, '\0'),
      boot_(16, boot),
      next_number_(first_number) {
  image_.replace(0, 8, "LPKSHHRH");
  image_[at_state] = 1;  // online
  std::string id(16, '\0');
  store_le(id.data(), std::hash<std::string>{}(file.string()));
  image_.replace(at_file, 16, id);
  image_.replace(at_machine, 16, std::string(16, 'm'));
  image_.replace(at_boot, 16, boot_);
  image_.replace(at_series, 16, std::string(16, series));
  set(at_header_size, header_size);
  for (const auto& [type, place] :
       {std::pair(field_table, at_field_table), {data_table, at_data_table}}) {
    hash_table_ = add_object(type, 16 + buckets * 16) + 16;
    set(place, hash_table_);
    set(place + 8, buckets * 16);
  }
  entry_array_ = add_object(array, 24 + 8 * entries_max);
  set(at_entry_array, entry_array_);
  save();
}

std::uint64_t JournalWriter::append(const std::vector<std::string>& fields) {
  const std::uint64_t index = get(at_entries);
  PENSTOCK_ASSERT(index < entries_max);
  std::string boot = "_BOOT_ID=";
  for (const char byte : boot_) {
    boot += "0123456789abcdef"[byte >> 4];
    boot += "0123456789abcdef"[byte & 15];
  }
  std::vector<std::uint64_t> items = {add_data(boot)};
  for (const std::string& field : fields) items.push_back(add_data(field));

  const std::uint64_t number = next_number_++;
  const std::uint64_t time = first_time_us + number * 1'000'000;
  const std::uint64_t at = add_object(entry, 64 + 16 * items.size());
  set(at + 16, number);
  set(at + 24, time);
  set(at + 32, number * 1'000'000);
  image_.replace(at + 40, 16, boot_);
  std::uint64_t all_hashes = 0;
  for (std::size_t i = 0; i < items.size(); ++i) {
    set(at + 64 + 16 * i, items[i]);
    set(at + 72 + 16 * i, get(items[i] + data_hash));
    all_hashes ^= get(items[i] + data_hash);
    link_entry(items[i], at);
  }
  set(at + 56, all_hashes);
  set(entry_array_ + 24 + 8 * index, at);
  set(at_entries, index + 1);
  set(at_tail_number, number);
  set(at_tail_time, time);
  set(at_tail_monotonic, number * 1'000'000);
  if (index == 0) {
    set(at_head_number, number);
    set(at_head_time, time);
  }
  save();
  return number;
}

std::uint64_t JournalWriter::add_object(std::uint8_t type, std::uint64_t size) {
  const std::uint64_t at = image_.size();
  image_.resize(at + (size + 7) / 8 * 8, '\0');
  image_[at] = static_cast<char>(type);
  set(at + 8, size);
  set(at_tail_object, at);
  set(at_objects, get(at_objects) + 1);
  return at;
}

std::uint64_t JournalWriter::add_data(const std::string& text) {
  const auto known = data_.find(text);
  if (known != data_.end()) return known->second;
  const std::uint64_t at = add_object(data, data_payload + text.size());
  image_.replace(at + data_payload, text.size(), text);
  const std::uint64_t hash = hash_of(text);
  set(at + data_hash, hash);
  const std::uint64_t bucket = hash_table_ + hash % buckets * 16;
  if (get(bucket) == 0) {
    set(bucket, at);
  } else {
    set(get(bucket + 8) + data_next, at);
  }
  set(bucket + 8, at);
  set(at_data_count, get(at_data_count) + 1);
  data_[text] = at;
  return at;
}

/// The first entry that has the data stands in it, the others in an array of its own.
void JournalWriter::link_entry(std::uint64_t at, std::uint64_t new_entry) {
  const std::uint64_t count = get(at + data_entries);
  if (count == 0) {
    set(at + data_entry, new_entry);
  } else {
    if (count == 1) set(at + data_array, add_object(array, 24 + 8 * entries_max));
    set(get(at + data_array) + 24 + 8 * (count - 1), new_entry);
  }
  set(at + data_entries, count + 1);
}

std::uint64_t JournalWriter::get(std::uint64_t offset) const {
  return load_le<std::uint64_t>(image_.data() + offset);
}
void JournalWriter::set(std::uint64_t offset, std::uint64_t value) {
  store_le(image_.data() + offset, value);
}

void JournalWriter::save() {
  set(at_arena_size, image_.size() - header_size);
  const auto size = static_cast<ssize_t>(image_.size());
  // The header's counters last, so that a reader never sees an entry that is not there yet.
  PENSTOCK_ASSERT(::pwrite(file_.get(), image_.data() + header_size, image_.size() - header_size,
                           header_size) == size - static_cast<ssize_t>(header_size));
  PENSTOCK_ASSERT(::pwrite(file_.get(), image_.data(), header_size, 0) ==
                  static_cast<ssize_t>(header_size));
}

}  // namespace penstock::tests
