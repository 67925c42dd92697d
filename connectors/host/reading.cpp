#include "connectors/host/reading.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <memory>

#include "agent/base/unique_fd.hpp"

namespace penstock::connectors::host {
namespace {

constexpr std::size_t first_buffer_bytes = 8192;

struct DirectoryCloser {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

template <typename T>
std::optional<T> to_number(std::string_view word) {
  T value{};
  const char* end = word.data() + word.size();
  const auto [stop, error] = std::from_chars(word.data(), end, value);
  if (error != std::errc() || stop != end) return std::nullopt;
  return value;
}

}  // namespace

Result<std::string_view> FileReader::read(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file.is_open()) return errno_error(path);
  if (buffer_.empty()) buffer_.resize(first_buffer_bytes);
  std::size_t size = 0;
  for (;;) {
    const ssize_t got = ::read(file.get(), buffer_.data() + size, buffer_.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno_error(path);
    if (got == 0) return std::string_view(buffer_.data(), size);
    size += static_cast<std::size_t>(got);
    if (size < buffer_.size()) continue;
    if (size >= size_max) break;
    buffer_.resize(std::min(buffer_.size() * 2, size_max));
  }
  const std::size_t whole_lines = std::string_view(buffer_.data(), size).rfind('\n');
  return std::string_view(buffer_.data(), whole_lines == std::string_view::npos ? 0 : whole_lines);
}

Error unknown_form(std::string_view path) {
  return {Errc::unavailable, fmt::format("{}: not in the known form", path)};
}

Result<std::vector<std::string>> list_directory(const std::string& path, std::size_t count_max) {
  const std::unique_ptr<DIR, DirectoryCloser> directory(::opendir(path.c_str()));
  if (!directory) return errno_error(path);
  std::vector<std::string> names;
  while (names.size() < count_max) {
    const dirent* entry = ::readdir(directory.get());
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::optional<std::string_view> Lines::next() {
  if (rest_.empty()) return std::nullopt;
  const std::size_t end = std::min(rest_.find('\n'), rest_.size());
  const std::string_view line = rest_.substr(0, end);
  rest_.remove_prefix(std::min(end + 1, rest_.size()));
  return line;
}

std::string_view Words::next() {
  const std::size_t start = std::min(rest_.find_first_not_of(" \t"), rest_.size());
  rest_.remove_prefix(start);
  const std::size_t end = std::min(rest_.find_first_of(" \t"), rest_.size());
  const std::string_view word = rest_.substr(0, end);
  rest_.remove_prefix(end);
  return word;
}

void Words::skip(std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) next();
}

std::optional<std::uint64_t> to_uint(std::string_view word) {
  return to_number<std::uint64_t>(word);
}
std::optional<std::int64_t> to_int(std::string_view word) { return to_number<std::int64_t>(word); }
std::optional<double> to_double(std::string_view word) { return to_number<double>(word); }

std::string_view trimmed(std::string_view text) {
  const std::size_t start = text.find_first_not_of(" \t\r\n");
  if (start == std::string_view::npos) return {};
  return text.substr(start, text.find_last_not_of(" \t\r\n") - start + 1);
}

double rounded(double value, int decimals) {
  constexpr std::array<double, 4> steps{1, 10, 100, 1000};
  const double scale = steps.at(static_cast<std::size_t>(decimals));
  return std::round(value * scale) / scale;
}

double percent(double part, double whole) {
  return whole > 0 ? rounded(part * 100 / whole, 2) : 0.0;
}

void Poll::emit(std::string_view part) {
  out_.add(time_unix_us_, part, fields_);
  fields_.clear();
}

}  // namespace penstock::connectors::host
