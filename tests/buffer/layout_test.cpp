#include "buffer/layout.hpp"

#include <catch2/catch.hpp>

using namespace penstock;
using namespace penstock::buffer;

TEST_CASE("row keys sort by id and tell loss rows apart") {
  const RowKey key{0x0102030405060708, 0x11121314, 0x2122232425262728, 5};
  const RowKeyBytes batch = encode_row_key(key, RowKind::batch);
  const RowKeyBytes loss = encode_row_key(key, RowKind::loss);
  CHECK(batch != loss);
  CHECK(decode_row_key(view(batch))->key == key);
  CHECK(decode_row_key(view(batch))->kind == RowKind::batch);
  CHECK(decode_row_key(view(loss))->key == key);
  CHECK(decode_row_key(view(loss))->kind == RowKind::loss);
  CHECK(view(first_key_from(key.id)) < view(batch));
  CHECK(view(first_key_from(key.id + 1)) > view(loss));
  CHECK_FALSE(decode_row_key(view(batch).substr(1)));
  CHECK_FALSE(decode_row_key(std::string(24, '\0')));
}

TEST_CASE("a row's checksum covers epoch, table, key and every byte of the value") {
  const RowKeyBytes key = encode_row_key({1, 2, 3, 4}, RowKind::batch);
  std::string value(5 + row_overhead, '\0');
  const RowTail tail{0, true, 17, 0, 99};
  encode_row(value.data(), 7, Table::normal, view(key), "frame", tail);
  const auto decoded = decode_row(7, Table::normal, view(key), RowKind::batch, value);
  REQUIRE(decoded);
  CHECK(decoded->content == "frame");
  CHECK(decoded->tail.raw_size == 17);
  CHECK(decoded->tail.buffer_time_us == 99);
  CHECK_FALSE(decode_row(8, Table::normal, view(key), RowKind::batch, value));
  CHECK_FALSE(decode_row(7, Table::low, view(key), RowKind::batch, value));
  const RowKeyBytes other = encode_row_key({1, 2, 3, 5}, RowKind::batch);
  CHECK_FALSE(decode_row(7, Table::normal, view(other), RowKind::batch, value));
  for (std::size_t i = 0; i < value.size(); ++i) {
    std::string damaged = value;
    damaged[i] ^= 0x10;
    INFO("byte " << i);
    CHECK_FALSE(decode_row(7, Table::normal, view(key), RowKind::batch, damaged));
  }
  for (std::size_t size = 0; size < value.size(); ++size) {
    CHECK_FALSE(decode_row(7, Table::normal, view(key), RowKind::batch, value.substr(0, size)));
  }
}

TEST_CASE("state records read back, and not when a byte or the end is missing") {
  Identity identity;
  identity.epoch = 0x9f3c2a7e;
  identity.created_unix_us = 1'764'000'000'000'000;
  identity.device = "gw-7";
  identity.machine_id = "abc";
  const std::string value = encode_identity(identity);
  CHECK(decode_identity(value)->device == "gw-7");
  CHECK(decode_identity(value)->machine_id == "abc");
  CHECK(format_of(value) == format_version);
  CHECK(epoch_of(value) == identity.epoch);
  CHECK(epoch_text(identity.epoch) == "9f3c2a7e");
  for (std::size_t size = 0; size < value.size(); ++size) {
    CHECK_FALSE(decode_identity(value.substr(0, size)));
  }

  Counters counters;
  counters.commit_no = 5;
  counters.next_id = 6;
  counters.is_clean = true;
  counters.events = {1, 2, 3};
  const auto counted = decode_counters(7, encode_counters(7, counters));
  REQUIRE(counted);
  CHECK(counted->commit_no == 5);
  CHECK(counted->is_clean);
  CHECK(counted->events == counters.events);
  CHECK_FALSE(decode_counters(8, encode_counters(7, counters)));

  const std::string key = encode_stream_key(300);
  CHECK(decode_stream_key(key) == 300);
  CHECK_FALSE(decode_stream_key("s123"));
  const std::string stream = encode_stream(7, key, {10, 11, Priority::low}, "app/x");
  CHECK(decode_stream(7, key, stream)->place.next_seq == 10);
  CHECK(decode_stream(7, key, stream)->name == "app/x");
  CHECK_FALSE(decode_stream(7, encode_stream_key(301), stream));

  const std::string position_key = encode_position_key("file", "a");
  CHECK(position_key != encode_position_key("file", "b"));
  CHECK(position_key.substr(0, 9) == encode_owner_key("file"));
  const std::string position = encode_position(7, position_key, {"file", "a", "123"});
  CHECK(decode_position(7, position_key, position)->bytes == "123");
  CHECK_FALSE(decode_position(7, std::string(400, 'p'), position));
}

TEST_CASE("a record whose checksum fits may still say what cannot be") {
  Identity identity;
  identity.format = 0;
  CHECK_FALSE(decode_identity(encode_identity(identity)));
  identity.format = format_version + 1;
  CHECK_FALSE(decode_identity(encode_identity(identity)));
  CHECK(is_identity_whole(encode_identity(identity)));
  CHECK(format_of("") == 0);
  CHECK(epoch_of("") == 0);
  Counters counters;
  counters.next_id = 0;
  CHECK_FALSE(decode_counters(7, encode_counters(7, counters)));
  const std::string key = encode_stream_key(3);
  const StreamPlace place{1, 1, static_cast<Priority>(priority_count), {}};
  CHECK_FALSE(decode_stream(7, key, encode_stream(7, key, place, "app")));
  // One kind of record under the key of another.
  CHECK_FALSE(decode_counters(7, encode_stream(7, counters_key, {}, "app")));
  CHECK_FALSE(decode_position(7, counters_key, encode_counters(7, {})));
}
