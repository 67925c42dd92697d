// OutputFile: stdout, or a file that takes its name only when it is complete.
#pragma once

#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

#include "agent/base/result.hpp"

namespace penstock::cli {

/// Writes to stdout until open() names a file. A regular file is written under `<name>.part`,
/// synced and renamed by close(); anything else (a device, a pipe) is written as it is. Dropped
/// without close(), or ended by SIGINT, SIGTERM or SIGHUP, it leaves nothing behind. One at a time.
/// Thread: owner only.
class OutputFile {
 public:
  OutputFile() = default;
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  Result<void> open(const std::string& path);
  void write(std::string_view text);
  /// false: something was not taken; close() says what.
  bool is_good() const { return error_ == 0; }
  bool is_terminal() const;
  /// keep: let the file take its name; else it is removed.
  Result<void> close(bool keep);

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  Result<void> fail(int err) const;

  std::string path_;       // "": stdout
  std::string part_path_;  // "": written under its own name
  std::unique_ptr<std::FILE, Close> file_;
  int error_ = 0;
};

}  // namespace penstock::cli
