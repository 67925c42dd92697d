// Buffers of every format version stay readable, and the documented bytes are the real ones.
#include <catch2/catch.hpp>
#include <fstream>
#include <map>
#include <sstream>

#include "buffer/layout.hpp"
#include "tests/buffer/store_fixture.hpp"

using namespace penstock;
using namespace penstock::buffer;
using namespace penstock::tests;

namespace {

std::string hex(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) {
    constexpr const char* digits = "0123456789abcdef";
    text += digits[static_cast<unsigned char>(c) >> 4];
    text += digits[static_cast<unsigned char>(c) & 15];
  }
  return text;
}

/// name -> hex digits, from the lines "name = 00 11 …" of the document, goes on in indented lines.
std::map<std::string, std::string> documented_bytes() {
  std::map<std::string, std::string> found;
  std::ifstream in("docs/buffer-format.md");
  std::string* last = nullptr;
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string name;
    std::string equals;
    const bool goes_on = last != nullptr && line.substr(0, 4) == "    ";
    if (!goes_on) {
      last = nullptr;
      words >> name >> equals;
      if (equals != "=" || name.find('.') == std::string::npos) continue;
      last = &found[name];
    }
    for (std::string digits; words >> digits;) *last += digits;
  }
  return found;
}

/// Folders of tests/golden, by the word size of the machine that made them.
std::vector<std::string> made_with_words_of(std::size_t bytes) {
  if (bytes == 4) return {"format-2-32bit"};
  return {"format-1", "format-2"};
}

void copy_golden(const std::string& format, const std::filesystem::path& directory) {
  std::filesystem::create_directories(directory);
  std::filesystem::copy_file("tests/golden/" + format + "/buffer.mdb", directory / "buffer.mdb");
}

}  // namespace

TEST_CASE_METHOD(StoreFixture, "a buffer of the other word size is refused and left as it is") {
  const std::size_t other = sizeof(void*) == 8 ? 4 : 8;
  copy_golden(made_with_words_of(other).back(), options.path);
  const std::string before = read_file(options.path / "buffer.mdb");
  const bool is_tool = GENERATE(false, true);
  if (is_tool) options.device.clear();
  OpenReport found;
  const auto refused = Store::open(options, found, clock);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code == Errc::invalid);
  CHECK_THAT(refused.error().text,
             Catch::Contains("made on a " + std::to_string(8 * other) + "-bit machine"));
  CHECK(read_file(options.path / "buffer.mdb") == before);
}

TEST_CASE_METHOD(StoreFixture, "a buffer of any format is read and continued") {
  const auto made = made_with_words_of(sizeof(void*));
  const std::string format = made[GENERATE_REF(range(std::size_t{0}, made.size()))];
  INFO(format);
  copy_golden(format, options.path);
  options.machine_id = "0123456789abcdef0123456789abcdef";
  options.max_size = max_size_min;
  open();
  CHECK_FALSE(report.is_new_epoch);
  CHECK(report.was_clean);
  CHECK(report.warnings.empty());
  CHECK(store->verify({}).value().problems.empty());
  CHECK(store->stats().oldest_age_s == 60);

  const auto normal = rows(Priority::normal);
  REQUIRE(normal.size() == 1);
  CHECK(normal[0].key == RowKey{3, 1, 2, 3});
  CHECK(content(normal[0]) == R"([{"seq":2},{"seq":3},{"seq":4}])");
  const auto high = rows(Priority::high);
  REQUIRE(high.size() == 1);
  CHECK(high[0].key == RowKey{4, 3, 0, 1});
  const auto low = rows(Priority::low);
  REQUIRE(low.size() == 3);
  CHECK(content(low[0]) == noise(9000, 7));
  CHECK(low[1].kind == RowKind::loss);
  CHECK(low[1].key == RowKey{5, 2, 1, 5});
  CHECK(low[1].loss_is_exact);
  CHECK(low[1].time_unix_us == 1'700'000'000'000'000);
  CHECK_FALSE(low[2].loss_is_exact);
  CHECK(low[2].loss_reason == static_cast<std::uint8_t>(LossReason::source));

  CHECK(*store->position(owner, "a.log").value() == "200");
  CHECK_FALSE(store->position(owner, "gone.log").value().has_value());
  StreamState app = stream("app");
  CHECK(app.next_seq == 5);
  CHECK(stream("udp/10-0-0-7", Priority::low).next_seq == 7);
  const auto check_accounts = [&](std::uint64_t app_rows) {
    const auto streams = store->stream_stats().value();
    REQUIRE(streams.size() == 3);
    CHECK(streams[0].name == "alarm");
    CHECK(streams[0].rows == 1);
    CHECK(streams[1].rows == app_rows);
    CHECK(streams[1].first_seq == 2);
    CHECK(streams[2].rows == 3);
    CHECK(streams[2].bytes == 3 * 34 + 8 + 3 * 4096 + 2 * 32);
  };
  check_accounts(1);
  CHECK(commit(Request().batch(app, 1, "[]")).durable_id == 7);
  check_accounts(2);
  CHECK(store->verify({}).value().problems.empty());
  // By now it has the present format, and what was counted is stored.
  store->close();
  open();
  check_accounts(2);
  CHECK(store->verify({}).value().problems.empty());
}

TEST_CASE("the bytes in docs/buffer-format.md are the ones that are stored") {
  constexpr std::uint32_t epoch = 0x9f3c2a7e;
  auto documented = documented_bytes();
  const auto matches = [&](const std::string& name, std::string_view bytes) {
    INFO(name);
    CHECK(documented[name] == hex(bytes));
    documented.erase(name);
  };
  const RowKeyBytes batch_key = encode_row_key({42, 3, 1200, 2}, RowKind::batch);
  matches("batch.key", view(batch_key));
  // Not a frame of some version of zstd, but fixed bytes in its place.
  const std::string frame = "frame";
  std::string batch(frame.size() + row_overhead, '\0');
  encode_row(batch.data(), epoch, Table::normal, view(batch_key), frame,
             {0, true, 21, 0, 60'000'000});
  matches("batch.value", batch);
  const RowKeyBytes loss_key = encode_row_key({43, 3, 1202, 500}, RowKind::loss);
  matches("loss.key", view(loss_key));
  std::string loss(row_overhead, '\0');
  encode_row(loss.data(), epoch, Table::normal, view(loss_key), {},
             {2, true, 0, 1'764'000'000'000'000, 61'000'000});
  matches("loss.value", loss);
  const RowKeyBytes parked_key = encode_parked_key({44, 3, 1702, 3}, RowKind::loss);
  matches("parked.key", view(parked_key));
  std::string parked(row_overhead, '\0');
  encode_row(parked.data(), epoch, Table::parked, view(parked_key), {},
             {4, true, 0, 1'764'000'000'000'000, 62'000'000, 0x90});
  matches("parked.value", parked);

  Identity identity;
  identity.epoch = epoch;
  identity.created_unix_us = 1'764'000'000'000'000;
  identity.device = "gw-7";
  identity.machine_id = "ab12";
  matches("identity.key", identity_key);
  matches("identity.value", encode_identity(identity));
  Counters counters;
  counters.commit_no = 17;
  counters.next_id = 44;
  counters.buffer_time_us = 61'000'000;
  counters.events = {0, 2, 0};
  matches("counters.key", counters_key);
  matches("counters.value", encode_counters(epoch, counters));
  const std::string stream_key = encode_stream_key(3);
  matches("stream.key", stream_key);
  matches("stream.value",
          encode_stream(epoch, stream_key, {1702, 43, Priority::normal, {2, 137, 1200, 500, 0}},
                        "app"));
  const std::string position_key = encode_position_key({"file\0app", 8}, "a.log");
  matches("position.key", position_key);
  matches("position.value",
          encode_position(epoch, position_key, {{"file\0app", 8}, "a.log", "100"}));
  CHECK(documented.empty());
}
