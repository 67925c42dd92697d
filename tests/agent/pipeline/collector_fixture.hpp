// A collector without its thread, between an inbox and a store that records what it is given.
#pragma once

#include <catch2/catch.hpp>

#include "agent/pipeline/collector.hpp"
#include "tests/agent/pipeline/recording_store.hpp"
#include "tests/support/fake_clock.hpp"

namespace penstock::tests {

using Shape = std::vector<std::string>;

struct CollectorFixture {
  explicit CollectorFixture(std::function<void(pipeline::IntakeOptions&)> change = {},
                            bool is_clock_synced = true) {
    clock.set_synced(is_clock_synced);
    options.device = "gw-7";
    options.boot = "b1d4c7e2";
    if (change) change(options);
    inbox = std::make_unique<pipeline::Inbox>(options.queue_bytes_max);
    collector = std::make_unique<pipeline::Collector>(options, store, *inbox, clock);
  }

  pipeline::Source& open(const std::string& name, bool is_rereadable = false,
                         std::uint32_t streams_max = 4096) {
    pipeline::SourceOptions source;
    source.name = name;
    source.type = "test";
    source.is_rereadable = is_rereadable;
    if (is_rereadable) source.when_full = buffer::WhenFull::block;
    source.streams_max = streams_max;
    return *inbox->open(source).value();
  }
  /// Events with the field n = 0 … count-1, and a position that names the last.
  void push(pipeline::Source& source, int count, const std::string& part = "") {
    connectors::Chunk chunk;
    for (int i = 0; i < count; ++i) {
      chunk.add(clock.wall_us(), part, {{"n", std::int64_t{i}}});
    }
    chunk.position(part, "at-" + std::to_string(++pushes_));
    REQUIRE(inbox->push(source, chunk).ok());
  }
  /// An event that the collector stamps.
  void push_unstamped(pipeline::Source& source) {
    connectors::Chunk chunk;
    chunk.add(0, "", {{"n", true}});
    REQUIRE(inbox->push(source, chunk).ok());
  }
  /// Lets time pass in the collector's own steps.
  void run(std::chrono::microseconds time) {
    const std::int64_t end_us = clock.steady_us() + time.count();
    for (;;) {
      const auto wait = collector->step();
      const std::int64_t left = end_us - clock.steady_us();
      if (wait.count() > left) {
        clock.advance(std::chrono::microseconds(left));
        return;
      }
      clock.advance(wait);
    }
  }
  std::vector<Shape> shapes() const {
    std::vector<Shape> shapes;
    for (const auto& commit : store.commits()) shapes.push_back(commit.shape());
    return shapes;
  }

  FakeClock clock;
  RecordingStore store;
  pipeline::IntakeOptions options;
  std::unique_ptr<pipeline::Inbox> inbox;
  std::unique_ptr<pipeline::Collector> collector;

 private:
  int pushes_ = 0;
};

inline std::string join(const std::vector<std::string>& values) {
  std::string all;
  for (const std::string& value : values) all += value + "\n";
  return all;
}

}  // namespace penstock::tests
