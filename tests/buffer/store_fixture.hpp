// StoreFixture: a store in a directory of its own, with rows that are easy to make and to check.
#pragma once

#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "buffer/faults.hpp"
#include "buffer/store.hpp"
#include "tests/buffer/request.hpp"
#include "tests/support/fake_clock.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::tests {

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
    auto read = store->rows_after(priority, 0, std::size_t{1} << 30);
    INFO((read.ok() ? std::string() : read.error().text));
    REQUIRE(read.ok());
    store->pin(store->generation(), priority, 0);
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
