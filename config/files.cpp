#include "config/files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "agent/base/log.hpp"
#include "agent/base/unique_fd.hpp"
#include "config/codes.hpp"
#include "config/expand.hpp"
#include "config/merge.hpp"

namespace penstock::config {
namespace {

namespace fs = std::filesystem;

/// At most one byte more than a file may have, so that a larger one is seen as such.
Result<std::string> read_text(const fs::path& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.is_open()) return errno_error(penstock::quoted(path.string()));
  std::string text;
  std::string block(65'536, '\0');
  while (text.size() <= yaml_bytes_max) {
    const std::size_t wanted = std::min(block.size(), yaml_bytes_max + 1 - text.size());
    const ssize_t got = ::read(fd.get(), block.data(), wanted);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno_error(penstock::quoted(path.string()));
    if (got == 0) break;
    text.append(block, 0, static_cast<std::size_t>(got));
  }
  return text;
}

Result<Node> read_tree(const fs::path& path, Diagnostics& diagnostics) {
  Result<std::string> text = read_text(path);
  if (!text.ok()) {
    diagnostics.add({code::unreadable_file,
                     Severity::error,
                     {path.string()},
                     "",
                     fmt::format("cannot read {}", text.error().text),
                     "",
                     {}});
    return text.error();
  }
  std::optional<Node> tree = parse_yaml(path.string(), *text, diagnostics);
  if (!tree)
    return Error{Errc::invalid, fmt::format("{} has errors", penstock::quoted(path.string()))};
  expand(*tree, diagnostics);
  return *std::move(tree);
}

/// In the order of their names. Hidden files are left alone; so are other names, with a warning
/// where a fragment was probably meant.
std::vector<fs::path> fragments(const fs::path& directory, Diagnostics& diagnostics) {
  std::vector<fs::path> found;
  std::error_code error;
  fs::directory_iterator entries(directory, error);
  if (error && error != std::errc::no_such_file_or_directory) {
    diagnostics.add(
        {code::unreadable_file,
         Severity::error,
         {directory.string()},
         "",
         fmt::format("cannot read {}: {}", penstock::quoted(directory.string()), error.message()),
         "",
         {}});
  }
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    const fs::path& path = entries->path();
    if (path.filename().string().front() == '.') continue;
    if (path.extension() == ".yaml") found.push_back(path);
    if (path.extension() == ".yml") {
      // Member by member: g++ 12 takes the aggregate's clean-up for a use of what is not set.
      Diagnostic ignored;
      ignored.code = code::without_effect;
      ignored.severity = Severity::warning;
      ignored.place.file = path.string();
      ignored.message = fmt::format("{} is not read", penstock::quoted(path.string()));
      ignored.help = "fragments end in .yaml";
      diagnostics.add(std::move(ignored));
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace

Result<ReadFiles> read_files(const fs::path& file, bool read_fragments, Diagnostics& diagnostics) {
  PENSTOCK_TRY_ASSIGN(Node main, read_tree(file, diagnostics));
  ReadFiles read{std::move(main), {file}};
  if (!read_fragments) return read;
  for (const fs::path& path : fragments(file.parent_path() / "conf.d", diagnostics)) {
    read.files.push_back(path);
    Result<Node> fragment = read_tree(path, diagnostics);
    if (!fragment.ok()) continue;
    if (fragment->kind != Node::Kind::map || read.root.kind != Node::Kind::map) {
      if (fragment->kind == Node::Kind::null) continue;
      diagnostics.add({code::wrong_type,
                       Severity::error,
                       fragment->place(),
                       "",
                       "a fragment must be a map, like the main file",
                       "write key: value",
                       {}});
      continue;
    }
    merge(read.root, *std::move(fragment), diagnostics);
  }
  return read;
}

}  // namespace penstock::config
