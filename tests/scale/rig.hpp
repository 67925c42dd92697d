// Rig: the real store and collector without the agent around them, under a clock that the driver
// moves, so that days of writing pass in seconds.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "agent/pipeline/collector.hpp"
#include "buffer/store.hpp"
#include "tests/support/fake_clock.hpp"

namespace penstock::tests {

/// What the lines of the events look like. log: words, which zstd shortens to a fifth. noise:
/// random letters, of which three quarters remain.
enum class Text { log, noise };

class Rig {
 public:
  struct Options {
    std::string path;
    std::uint64_t max_size = std::uint64_t{64} << 20;
    bool preallocate = false;
    std::uint64_t commit_bytes = std::uint64_t{1} << 20;
    double write_budget_bytes_per_s = 0;
    std::uint32_t streams = 1;
    std::uint32_t row_events_max = 500;
    Text text = Text::noise;
  };
  /// Ends the process with a message if the store does not open.
  explicit Rig(const Options& options);

  /// Pushes one chunk of lines of 128 bytes for one stream (the streams in turn), and lets the
  /// collector take it.
  void push(std::uint32_t events);
  /// Lets time pass; commits happen when they are due.
  void pass(std::chrono::microseconds time);
  /// Commits what was taken, and trims what is acknowledged.
  void settle() { pass(std::chrono::seconds(11)); }
  /// Reads and unpacks rows from the oldest on until `events` are covered or none is left, then
  /// acknowledges them. Returns how many were covered.
  std::uint64_t drain(std::uint64_t events);
  /// Acknowledges everything that is durable.
  void acknowledge_all();

  buffer::Store& store() { return *store_; }
  pipeline::IntakeStats stats() const { return collector_->stats(); }
  FakeClock& clock() { return clock_; }

 private:
  void make_lines(Text text);

  Options options_;
  FakeClock clock_;
  std::unique_ptr<buffer::Store> store_;
  std::unique_ptr<pipeline::Inbox> inbox_;
  std::unique_ptr<pipeline::Collector> collector_;
  pipeline::Source* source_ = nullptr;
  connectors::Chunk chunk_;
  std::string letters_;
  std::uint64_t state_ = 1;
  std::uint64_t chunks_ = 0;
};

}  // namespace penstock::tests
