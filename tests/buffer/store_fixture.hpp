// StoreFixture: a store in a directory of its own, with rows that are easy to make and to check.
#pragma once

#include <catch2/catch.hpp>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/wire.hpp"
#include "buffer/faults.hpp"
#include "buffer/store.hpp"
#include "tests/support/fake_clock.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::tests {

/// Text that zstd cannot shorten, the same for the same seed.
inline std::string noise(std::size_t size, std::uint64_t seed) {
  std::string text(size, '\0');
  std::uint64_t state = seed * 2 + 1;
  for (char& c : text) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    c = static_cast<char>(state >> 56);
  }
  return text;
}

inline constexpr std::string_view owner{"file\0app", 8};

/// Rows and positions that live until they are committed.
class Request {
 public:
  Request& batch(buffer::StreamState& stream, std::uint32_t count, std::string content) {
    add(stream, count).value = texts_.emplace_back(std::move(content));
    return *this;
  }
  Request& loss(buffer::StreamState& stream, std::uint32_t count, LossReason reason,
                bool is_exact = true) {
    buffer::NewRow& row = add(stream, count);
    row.kind = buffer::RowKind::loss;
    row.loss_reason = static_cast<std::uint8_t>(reason);
    row.loss_is_exact = is_exact;
    row.time_unix_us = 1'700'000'000'000'000;
    return *this;
  }
  Request& position(std::string_view part, std::string_view bytes) {
    positions_.push_back({owner, part, bytes});
    return *this;
  }
  buffer::CommitRequest request() const { return {rows_, positions_}; }

 private:
  buffer::NewRow& add(buffer::StreamState& stream, std::uint32_t count) {
    buffer::NewRow& row = rows_.emplace_back();
    row.stream_id = stream.id;
    row.seq = stream.next_seq;
    row.count = count;
    stream.next_seq += count;
    return row;
  }

  std::deque<std::string> texts_;
  std::vector<buffer::NewRow> rows_;
  std::vector<buffer::NewPosition> positions_;
};

class StoreFixture {
 public:
  StoreFixture() {
    options.path = dir / "buffer";
    options.max_size = 8 << 20;
    options.preallocate = false;
    options.device = "gw-7";
    options.machine_id = "0123456789abcdef";
  }

  Result<void> try_open() {
    store.reset();
    report = {};
    auto opened = buffer::open_with_faults(options, report, clock, faults);
    if (!opened.ok()) return opened.error();
    store = *std::move(opened);
    return {};
  }
  void open() {
    const auto opened = try_open();
    INFO((opened.ok() ? std::string() : opened.error().text));
    REQUIRE(opened.ok());
  }
  buffer::StreamState stream(std::string_view name,
                             buffer::Priority priority = buffer::Priority::normal,
                             buffer::WhenFull when_full = buffer::WhenFull::block) {
    auto state = store->open_stream(name, priority, when_full);
    REQUIRE(state.ok());
    return *state;
  }
  buffer::CommitReport commit(const Request& request) {
    const auto done = store->commit(request.request());
    INFO((done.ok() ? std::string() : done.error().text));
    REQUIRE(done.ok());
    return *done;
  }
  /// All rows of a class, without leaving a pin behind.
  std::vector<buffer::Row> rows(buffer::Priority priority = buffer::Priority::normal) {
    auto read = store->rows_after(priority, 0, std::size_t{1} << 40);
    INFO((read.ok() ? std::string() : read.error().text));
    REQUIRE(read.ok());
    store->pin(priority, 0);
    return *std::move(read);
  }
  std::string content(const buffer::Row& row) {
    auto text = buffer::content_of(row);
    return text.ok() ? *std::move(text) : "error: " + text.error().text;
  }

  TempDir dir;
  FakeClock clock;
  buffer::Faults faults;
  buffer::StoreOptions options;
  buffer::OpenReport report;
  std::unique_ptr<buffer::Store> store;
};

}  // namespace penstock::tests
