// What the store says it wrote is what flash wear is judged by: here it is compared with what the
// kernel saw this thread write.
#include <catch2/catch.hpp>
#include <fstream>
#include <optional>

#include "tests/buffer/store_fixture.hpp"

using namespace penstock;
using namespace penstock::buffer;
using namespace penstock::tests;

namespace {

/// Bytes that this thread gave to write calls; nullopt where the kernel does not count them.
std::optional<std::uint64_t> bytes_given() {
  std::ifstream file("/proc/thread-self/io");
  std::string name;
  std::uint64_t value = 0;
  while (file >> name >> value) {
    if (name == "wchar:") return value;
  }
  return std::nullopt;
}

}  // namespace

TEST_CASE_METHOD(StoreFixture, "the bytes written are those that the kernel saw") {
  options.max_size = 4 << 20;
  open();
  StreamState app = stream("app", Priority::normal, WhenFull::drop_oldest);
  const auto before = bytes_given();
  if (!before) {
    WARN("not run: this kernel does not count what a thread writes");
    return;
  }
  std::uint64_t reported = 0;
  int commits = 0;
  for (int i = 0; i < 300; ++i, ++commits) {  // also past the limit, where rows are dropped
    Request request;
    request.batch(app, 100, noise(i % 7 == 0 ? 90'000 : 300, i)).position("a", std::to_string(i));
    reported += commit(request).written_bytes;
    if (i % 3 == 0) {
      store->acknowledge(store->generation(), Priority::normal, store->durable_id() - 1);
    }
  }
  const std::uint64_t given = *bytes_given() - *before;
  CHECK(store->stats().written_bytes == reported);
  // Of the meta page LMDB gives only the part that changed: the device gets a page.
  const std::uint64_t meta = commits * std::uint64_t{4096};
  CHECK(reported <= given + meta);
  CHECK(reported + reported / 50 >= given);
}
