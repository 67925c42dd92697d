// A name that no sync has reached is gone after a power cut, and what it led to with it.
#include <catch2/catch.hpp>

#include <algorithm>
#include <filesystem>

#include "tests/buffer/failing/failing_calls.hpp"
#include "tests/buffer/store_fixture.hpp"

using namespace penstock;
using namespace penstock::buffer;
using namespace penstock::tests;

namespace {

/// When it was synced last: a number that rises; -1: not at all.
std::ptrdiff_t last_sync_of(const std::filesystem::path& path) {
  const std::vector<std::string>& names = synced_names();
  const auto found = std::find(names.rbegin(), names.rend(), canonical(path).string());
  return names.rend() - found - 1;
}
std::ptrdiff_t first_sync_of(const std::filesystem::path& path) {
  const std::vector<std::string>& names = synced_names();
  const auto found = std::find(names.begin(), names.end(), canonical(path).string());
  return found == names.end() ? -1 : found - names.begin();
}

}  // namespace

TEST_CASE_METHOD(StoreFixture,
                 "a file that is set aside has a durable name before another begins") {
  open();
  StreamState app = stream("app");
  commit(Request().batch(app, 1, "a"));
  store->close();
  store.reset();
  options.device = "gw-8";
  arm({Failure::broken_disk, never});
  const auto opened = try_open();
  disarm();
  REQUIRE(opened.ok());
  REQUIRE_FALSE(report.set_aside.empty());
  CHECK(last_sync_of(report.set_aside) >= 0);
  // Its directory's name; at last the newborn's.
  CHECK(first_sync_of(options.path) > last_sync_of(report.set_aside));
  CHECK(last_sync_of(options.path) > first_sync_of(options.path));
}
