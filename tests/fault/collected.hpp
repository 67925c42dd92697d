// Collected: a small agent without threads, sockets or sleep: two sources, the real collector and
// the real store, and a forwarder that notes what it was given.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "agent/pipeline/collector.hpp"
#include "agent/pipeline/session.hpp"
#include "buffer/store.hpp"
#include "tests/support/fake_clock.hpp"

namespace penstock::fault {

inline constexpr int chunks_max = 110;
inline constexpr int events_per_chunk = 2;
inline constexpr const char* source_names[] = {"again", "once"};  // can be read again; cannot
inline constexpr std::size_t source_count = 2;

buffer::StoreOptions store_options(const std::filesystem::path& folder, bool is_second_device);

/// Every n in the text of a batch.
std::vector<std::uint64_t> numbers_in(std::string_view batch);

/// Runs to its end, or throws a std::runtime_error that says what went wrong. Notes first-hand, as
/// lines through `log_fd`: "durable K" when the store has taken chunk K of both sources, "got
/// SOURCE N" when the forwarder has been given an event, "lost SOURCE COUNT".
class Run {
 public:
  Run(std::filesystem::path folder, int log_fd) : folder_(std::move(folder)), log_fd_(log_fd) {}
  void to_the_end();

 private:
  void open();
  void close(bool is_clean);
  void push(std::size_t source, int chunk);
  void wait_until_durable(int chunk);
  void forward();
  void check_positions(int chunk);
  void note(const std::string& line) const;

  const std::filesystem::path folder_;
  const int log_fd_;
  bool is_second_device_ = false;
  tests::FakeClock clock_;
  std::unique_ptr<buffer::Store> store_;
  std::unique_ptr<pipeline::Inbox> inbox_;
  std::unique_ptr<pipeline::Collector> collector_;
  std::vector<std::unique_ptr<pipeline::ConnectorSession>> sessions_;
};

}  // namespace penstock::fault
