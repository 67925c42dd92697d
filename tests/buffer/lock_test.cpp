#include <atomic>
#include <catch2/catch.hpp>
#include <mutex>
#include <thread>
#include <vector>

#include "buffer/fair_lock.hpp"
#include "tests/buffer/store_fixture.hpp"

using namespace penstock;
using namespace penstock::buffer;
using namespace penstock::tests;

TEST_CASE("the fair lock lets one in at a time") {
  FairLock lock;
  int count = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 200; ++n) {
        const std::lock_guard turn(lock);
        ++count;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(count == 800);
}

TEST_CASE("a waiting thread comes before one that asks again at once") {
  FairLock lock;
  std::atomic<bool> is_served{false};
  lock.lock();
  std::thread waiting([&] {
    const std::lock_guard turn(lock);
    is_served = true;
  });
  // An unfair lock would go round here for as long as it likes.
  while (!lock.has_waiting()) std::this_thread::yield();
  lock.unlock();
  lock.lock();
  CHECK(is_served);
  lock.unlock();
  waiting.join();
}

TEST_CASE_METHOD(StoreFixture, "one thread commits while others read, acknowledge and look") {
  open();
  constexpr int commits = 60;
  StreamState app = stream("app");
  std::atomic<bool> is_done{false};
  std::atomic<std::uint64_t> seen{0};
  std::atomic<int> wrong{0};
  std::thread forwarder([&] {
    std::uint64_t after = 0;
    while (seen < commits) {
      const auto rows = store->rows_after(Priority::normal, after, 64 * 1024);
      if (!rows.ok()) ++wrong;
      for (const Row& row : *rows) {
        if (row.is_damaged || row.key.seq != seen) ++wrong;
        ++seen;
        after = row.key.id;
      }
      if (!rows->empty()) store->acknowledge(store->generation(), Priority::normal, after);
    }
  });
  std::thread status([&] {
    while (!is_done) {
      if (store->stats().epoch.empty() || !store->stream_stats().ok()) ++wrong;
      if (!store->position(owner, "p").ok() || store->stream_name(app.id) != "app") ++wrong;
    }
  });
  for (int i = 0; i < commits; ++i) {
    Request request;
    request.batch(app, 1, noise(5000, i)).position("p", std::to_string(i));
    if (!store->commit(request.request()).ok()) ++wrong;
  }
  forwarder.join();
  is_done = true;
  status.join();
  CHECK(seen == commits);
  CHECK(wrong == 0);
}
