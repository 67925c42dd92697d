// Makes the buffer that buffer_golden_test reads: run once per format version, its result is kept.
#include <fmt/core.h>

#include "tests/buffer/request.hpp"
#include "tests/support/fake_clock.hpp"

int main(int argc, char** argv) {
  using namespace penstock;
  using namespace penstock::buffer;
  using namespace penstock::tests;
  if (argc != 2) {
    fmt::print(stderr, "usage: make_golden DIRECTORY\n");
    return 64;
  }
  StoreOptions options;
  options.path = argv[1];
  options.max_size = max_size_min;
  options.preallocate = false;
  options.device = "gw-7";
  options.machine_id = "0123456789abcdef0123456789abcdef";
  OpenReport report;
  FakeClock clock;
  auto opened = Store::open(options, report, clock);
  if (!opened.ok()) {
    fmt::print(stderr, "{}\n", opened.error().text);
    return 1;
  }
  Store& store = **opened;
  StreamState app = *store.open_stream("app", Priority::normal, WhenFull::block);
  StreamState udp = *store.open_stream("udp/10-0-0-7", Priority::low, WhenFull::drop_oldest);
  StreamState alarm = *store.open_stream("alarm", Priority::high, WhenFull::block);
  Request first;
  first.batch(app, 2, R"([{"seq":0},{"seq":1}])").batch(udp, 1, noise(9000, 7));
  first.position("a.log", "100").position("gone.log", "1");
  Request second;
  second.batch(app, 3, R"([{"seq":2},{"seq":3},{"seq":4}])").batch(alarm, 1, R"([{"seq":0}])");
  second.loss(udp, 5, LossReason::source).loss(udp, 1, LossReason::source, false);
  second.position("a.log", "200").position("gone.log", "");
  bool is_done = store.commit(first.request()).ok();
  store.acknowledge(store.generation(), Priority::normal, 1);
  clock.advance(std::chrono::seconds(60));
  is_done = is_done && store.commit(second.request()).ok();
  store.close();
  fmt::print("epoch {}\n", store.epoch());
  return is_done ? 0 : 1;
}
