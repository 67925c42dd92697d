// LineSink: where a command's answer goes, line by line: a terminal, a file, a socket.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace penstock::daemon {

/// How a command ended.
struct Answer {
  int exit_code = 0;  ///< sysexits, 0 = well
  std::string text;   ///< one clear sentence if it did not end well
};

/// Thread: the one that runs the command.
class LineSink {
 public:
  virtual ~LineSink() = default;
  /// One complete JSON value without a line end. false: nobody reads any more; end the command.
  virtual bool line(std::string_view json) = 0;
  /// Work done of `total`. false: as above.
  virtual bool progress(std::uint64_t done, std::uint64_t total) = 0;
};

}  // namespace penstock::daemon
