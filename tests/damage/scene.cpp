#include "tests/damage/scene.hpp"

#include <cstdio>
#include <cstdlib>

#include "agent/base/clock.hpp"
#include "buffer/parking.hpp"
#include "tests/buffer/request.hpp"

namespace penstock::tests::damage {
namespace {

using buffer::Priority;

template <typename Value>
Value must(Result<Value> result) {
  if (!result.ok()) {
    std::fprintf(stderr, "making the buffer: %s\n", result.error().text.c_str());
    std::exit(70);
  }
  return *std::move(result);
}

struct Kind {
  const char* name;
  Priority priority;
  std::size_t bytes;
  std::uint32_t count;
  unsigned per_round;
};
constexpr Kind kinds[] = {{"long/a", Priority::normal, 9'000, 10, 2},
                          {"short/a", Priority::normal, 150, 1, 16},
                          {"short/b", Priority::high, 300, 3, 10},
                          {"leaf/a", Priority::low, 1'900, 5, 4},
                          {"refused/a", Priority::normal, 700, 2, 8}};

class Maker {
 public:
  Maker(buffer::Store& store, Scene& scene) : store_(store), scene_(scene) {
    for (const Kind& kind : kinds) {
      states_.push_back(must(store.open_stream(kind.name, kind.priority, buffer::WhenFull::block)));
      scene_.streams[kind.name].priority = kind.priority;
    }
  }

  void commit_round(unsigned round) {
    Request request;
    for (std::size_t i = 0; i < std::size(kinds); ++i) {
      const Kind& kind = kinds[i];
      for (unsigned row = 0; row < kind.per_round; ++row) {
        const std::uint64_t seq = states_[i].next_seq;
        std::string content = noise(kind.bytes, seq * std::size(kinds) + i);
        scene_.streams[kind.name].rows[seq] = {kind.count, content};
        request.batch(states_[i], kind.count, std::move(content));
      }
      if (i != 1) continue;
      scene_.streams[kind.name].rows[states_[i].next_seq] = {7, ""};
      request.loss(states_[i], 7, LossReason::buffer_full);
    }
    for (const std::size_t bytes : {std::size_t{20}, std::size_t{600}, std::size_t{5'000}}) {
      const std::string part = "part-" + std::to_string(bytes);
      scene_.positions[part] = noise(bytes, round);
      request.position(part, scene_.positions[part]);
    }
    must(store_.commit(request.request()));
  }

  void acknowledge_all() {
    for (const Priority priority : {Priority::high, Priority::normal, Priority::low}) {
      store_.acknowledge(store_.generation(), priority, store_.durable_id());
    }
    for (auto& [name, stream] : scene_.streams) stream.rows.clear();
    must(store_.commit({}));
  }

  /// All of the stream that is refused goes into the table of parked rows.
  void park() {
    const std::uint32_t refused = states_.back().id;
    store_.parking()->park(refused, 1);
    const std::uint64_t half = store_.durable_id() / 2;
    for (const buffer::Row& row :
         must(store_.peek_after(Priority::normal, 0, std::size_t{1} << 40))) {
      if (row.key.id > half || row.key.stream_id == refused) continue;
      scene_.streams[store_.stream_name(row.key.stream_id)].rows.erase(row.key.seq);
    }
    store_.acknowledge(store_.generation(), Priority::normal, half);
    must(store_.commit({}));
  }

  void note_numbers() {
    for (std::size_t i = 0; i < std::size(kinds); ++i) {
      scene_.streams[kinds[i].name].next_seq = states_[i].next_seq;
    }
  }

 private:
  buffer::Store& store_;
  Scene& scene_;
  std::vector<buffer::StreamState> states_;
};

}  // namespace

buffer::StoreOptions options_for(const std::filesystem::path& directory) {
  buffer::StoreOptions options;
  options.path = directory;
  options.max_size = 64 << 20;
  options.preallocate = false;
  options.device = "gw-7";
  options.machine_id = "0123456789abcdef";
  return options;
}

Scene make_scene(const std::filesystem::path& directory, unsigned rounds, bool is_clean) {
  Scene scene;
  buffer::OpenReport report;
  const auto store = must(buffer::Store::open(options_for(directory), report));
  scene.epoch = store->epoch();
  Maker maker(*store, scene);
  // What is drained leaves free pages behind.
  for (unsigned round = 0; round < rounds / 2 + 1; ++round) maker.commit_round(round);
  maker.acknowledge_all();
  for (unsigned round = 0; round < rounds; ++round) maker.commit_round(round);
  maker.park();
  maker.note_numbers();
  if (is_clean) store->close();
  return scene;
}

}  // namespace penstock::tests::damage
