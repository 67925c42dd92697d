// CapturedLog: what is written to stderr while it lives, for tests of what is said.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "agent/base/unique_fd.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::tests {

/// One at a time. Thread: owner only; any may write.
class CapturedLog {
 public:
  CapturedLog() : file_((dir_.path() / "stderr").string()), terminal_(::dup(STDERR_FILENO)) {
    const UniqueFd log(::open(file_.c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600));
    REQUIRE(::dup2(log.get(), STDERR_FILENO) == STDERR_FILENO);
  }
  CapturedLog(const CapturedLog&) = delete;
  CapturedLog& operator=(const CapturedLog&) = delete;
  ~CapturedLog() { ::dup2(terminal_.get(), STDERR_FILENO); }

  std::string text() const {
    std::ifstream file(file_);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::size_t count(std::string_view part) const {
    const std::string all = text();
    std::size_t found = 0;
    for (std::size_t at = all.find(part); at != std::string::npos; at = all.find(part, at + 1)) {
      ++found;
    }
    return found;
  }

 private:
  TempDir dir_;
  const std::string file_;
  UniqueFd terminal_;
};

}  // namespace penstock::tests
