// What the receiver says: events on stdout, findings and sums on stderr.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "agent/base/result.hpp"
#include "agent/cli/receiver_rule.hpp"

namespace penstock::cli {

/// stdout as whole lines behind one large buffer. Thread: owner only.
class LineWriter {
 public:
  explicit LineWriter(int fd) : fd_(fd) {}

  /// Keeps the line until flush() or until much has gathered.
  Result<void> line(std::string_view text);
  /// Blocks until all was written. stopped: nobody reads any more (EPIPE). unavailable: cannot be
  /// written. Both are final: later calls do nothing and say the same.
  Result<void> flush();

 private:
  int fd_;
  std::string waiting_;
  Result<void> state_;
};

/// Lines for stderr, as text or as JSON. Findings are always told, up to a number for each kind;
/// the sums count the rest. Thread: owner only.
class Reporter {
 public:
  struct Style {
    bool is_json = false;
    bool is_quiet = false;  ///< no notes, no progress, no summary
  };

  explicit Reporter(Style style) : style_(style) {}

  void note(std::string_view text);
  void gap(const Gap& gap);
  void conflict(const EventIdentity& event);
  void late(const EventIdentity& event);
  void untracked(const EventIdentity& event);
  void undecodable(std::string_view topic, std::size_t size, std::string_view why);
  /// Something that ends the run; told in any style.
  void failure(std::string_view text);

  struct Sums {
    ReceiverCounts counts;
    std::uint64_t undecodable = 0;
    std::uint64_t other = 0;  ///< messages that are no batches by their topic
    double seconds = 0;
  };
  /// Says nothing if nothing came since the last call.
  void progress(const Sums& sums);
  void summary(const Sums& sums, int exit_code);

 private:
  struct Limited {
    std::uint64_t told = 0;
  };
  bool may_tell(Limited& kind);
  void event_finding(Limited& kind, std::string_view name, const EventIdentity& event,
                     std::string_view why);

  Style style_;
  Limited gaps_;
  Limited conflicts_;
  Limited late_;
  Limited untracked_;
  Limited undecodable_;
  std::uint64_t seen_before_ = 0;
  std::uint64_t events_before_ = 0;
  double seconds_before_ = 0;
};

}  // namespace penstock::cli
