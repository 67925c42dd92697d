// BadInput: counts what could not be understood, and says so without flooding the log.
#pragma once

#include <cstdint>
#include <string_view>

#include "agent/base/clock.hpp"
#include "agent/base/log.hpp"
#include "connectors/support/decoder.hpp"

namespace penstock::connectors::support {

/// Counts; tells when it is time to say so: at the first, then once a minute. Thread: owner only.
class Tally {
 public:
  explicit Tally(const Clock& clock) : clock_(clock) {}
  /// How many to tell of now; 0 = not yet.
  std::uint64_t note(std::uint64_t count);
  std::uint64_t total() const { return total_; }

 private:
  const Clock& clock_;
  std::uint64_t total_ = 0;
  std::uint64_t untold_ = 0;
  std::int64_t next_us_ = 0;
};

/// The first is logged with its reason and an excerpt (bounded, escaped); further ones are counted
/// and told at most once a minute, with the latest reason. Thread: owner only.
class BadInput {
 public:
  BadInput(Log& log, const Clock& clock) : log_(log), tally_(clock) {}

  void note(std::string_view reason, std::string_view excerpt, std::uint64_t count = 1);
  /// What a decoder found bad in `message`, if anything.
  void note(const Decoded& decoded, std::string_view message) {
    if (decoded.bad == 0) return;
    note(decoded.reason, excerpt_at(message, decoded.bad_offset), decoded.bad);
  }
  std::uint64_t total() const { return tally_.total(); }

  /// At most excerpt_bytes_max bytes of `message`, from a little before `offset`.
  static std::string_view excerpt_at(std::string_view message, std::size_t offset);
  static constexpr std::size_t excerpt_bytes_max = 80;

 private:
  Log& log_;
  Tally tally_;
};

}  // namespace penstock::connectors::support
