#include "config/diagnostics.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "agent/base/text.hpp"
#include "config/excerpt.hpp"

namespace penstock::config {
namespace {

constexpr std::string_view red = "\x1b[1;31m";
constexpr std::string_view yellow = "\x1b[1;33m";
constexpr std::string_view blue = "\x1b[1;34m";
constexpr std::string_view bold = "\x1b[1m";
constexpr std::string_view plain = "\x1b[0m";
constexpr std::size_t help_beside_caret_max = 60;

std::string painted(std::string_view text, std::string_view color, bool use_color) {
  return use_color ? fmt::format("{}{}{}", color, text, plain) : std::string(text);
}

/// The caret's line: from column to end_column, or one character.
struct Underline {
  std::string line;
  std::string caret;
};

Underline underline(std::string_view line, const Place& place, const std::vector<Place>& masks) {
  std::vector<std::string> characters = printable_characters(line);
  for (const Place& mask : masks) {
    if (mask.line != place.line) continue;
    for (auto i = static_cast<std::size_t>(std::max(mask.column, 1)); i <= characters.size(); ++i) {
      if (mask.end_column == 0 || i < static_cast<std::size_t>(mask.end_column)) {
        characters[i - 1] = "*";
      }
    }
  }
  const auto column = static_cast<std::size_t>(std::max(place.column, 1));
  const auto end = static_cast<std::size_t>(std::max(place.end_column, place.column + 1));
  const Window window = window_around(characters.size(), column);
  Underline out;
  if (window.begin > 0) out.line += "…";
  for (std::size_t i = window.begin; i < window.end; ++i) out.line += characters[i];
  if (window.end < characters.size()) out.line += "…";
  const std::size_t before = column - 1 - window.begin + (window.begin > 0 ? 1 : 0);
  const std::size_t shown_end = std::max(std::min(end, window.end + 1), column + 1);
  out.caret = std::string(before, ' ') + std::string(shown_end - column, '^');
  return out;
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    lines.push_back(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
  }
  return lines;
}

void append_member(std::string& out, std::string_view name, std::string_view value) {
  out += fmt::format(",\"{}\":", name);
  append_json_string(out, value);
}

}  // namespace

std::string to_string(const Place& place) {
  std::string out;
  append_escaped(out, place.file);
  if (place.line > 0) out += fmt::format(":{}:{}", place.line, std::max(place.column, 1));
  return out;
}

void Diagnostics::add(Diagnostic diagnostic) {
  ++(diagnostic.severity == Severity::error ? error_count_ : warning_count_);
  if (!is_full()) all_.push_back(std::move(diagnostic));
}

void Diagnostics::add_source(const std::string& file, std::string text) {
  const std::size_t number = sources_.size();
  sources_.insert_or_assign(file, Source{std::move(text), number, {}});
}

void Diagnostics::mask(const Place& place) {
  if (const auto found = sources_.find(place.file); found != sources_.end()) {
    found->second.masks.push_back(place);
  }
}

Place Diagnostics::narrowed(const Place& place, std::string_view text) const {
  const auto found = sources_.find(place.file);
  if (found == sources_.end() || place.column < 1) return place;
  const std::string_view line = line_of(found->second.text, place.line);
  const auto characters = [](std::string_view part) {
    return static_cast<int>(std::count_if(part.begin(), part.end(), [](char c) {
      return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    }));
  };
  for (std::size_t at = line.find(text); at != std::string_view::npos;
       at = line.find(text, at + 1)) {
    const int column = 1 + characters(line.substr(0, at));
    if (column >= place.column) {
      return {place.file, place.line, column, column + std::max(characters(text), 1)};
    }
  }
  return place;
}

std::vector<const Diagnostic*> Diagnostics::in_order() const {
  std::vector<const Diagnostic*> ordered;
  for (const Diagnostic& diagnostic : all_) ordered.push_back(&diagnostic);
  const auto rank = [&](const Diagnostic& diagnostic) {
    const auto source = sources_.find(diagnostic.place.file);
    const std::size_t file = source == sources_.end() ? sources_.size() : source->second.number;
    return std::tuple(diagnostic.severity, file, diagnostic.place.line, diagnostic.place.column);
  };
  std::stable_sort(ordered.begin(), ordered.end(),
                   [&](const auto* a, const auto* b) { return rank(*a) < rank(*b); });
  return ordered;
}

void Diagnostics::render(std::string& out, const Diagnostic& diagnostic, bool use_color) const {
  const bool is_error = diagnostic.severity == Severity::error;
  const std::string_view color = is_error ? red : yellow;
  out += painted(fmt::format("{}[{}]", is_error ? "error" : "warning", diagnostic.code), color,
                 use_color);
  out += painted(": " + diagnostic.message, bold, use_color) + "\n";
  const Place& place = diagnostic.place;
  if (!place.file.empty()) {
    out += fmt::format("  {} {}", painted("-->", blue, use_color), to_string(place));
    if (!diagnostic.other.file.empty()) {
      out += fmt::format("            first: {}", to_string(diagnostic.other));
    }
    out += "\n";
  }
  std::vector<std::string_view> help = lines_of(diagnostic.help);
  const std::size_t width = std::max<std::size_t>(2, std::to_string(place.line).size());
  const auto source = sources_.find(place.file);
  if (source != sources_.end() && place.line > 0) {
    const Underline shown =
        underline(line_of(source->second.text, place.line), place, source->second.masks);
    out += painted(fmt::format("{:>{}} |", place.line, width), blue, use_color) + " " + shown.line +
           "\n";
    std::string mark = shown.caret;
    if (!help.empty() && help.front().size() <= help_beside_caret_max) {
      mark += fmt::format(" {}", help.front());
      help.erase(help.begin());
    }
    out += painted(fmt::format("{:>{}} |", "", width), blue, use_color) + " " +
           painted(mark, color, use_color) + "\n";
  }
  for (const std::string_view line : help) out += fmt::format("{:>{}} = {}\n", "", width, line);
}

std::string Diagnostics::to_text(bool use_color) const {
  std::string out;
  std::size_t shown = 0;
  for (const Diagnostic* diagnostic : in_order()) {
    if (shown == shown_max) break;
    if (shown++ > 0) out += "\n";
    render(out, *diagnostic, use_color);
  }
  const std::size_t found = error_count_ + warning_count_;
  if (found > shown) out += fmt::format("\n… and {} more\n", found - shown);
  return out;
}

std::string Diagnostics::to_json() const {
  std::string out = "[";
  for (const Diagnostic* diagnostic : in_order()) {
    const Place& place = diagnostic->place;
    out += out.size() > 1 ? ",\n " : "";
    out += "{\"code\":";
    append_json_string(out, diagnostic->code);
    append_member(out, "severity", diagnostic->severity == Severity::error ? "error" : "warning");
    append_member(out, "file", place.file);
    out += fmt::format(",\"line\":{},\"col\":{},\"end_col\":{}", place.line, place.column,
                       place.end_column);
    append_member(out, "path", diagnostic->path);
    append_member(out, "message", diagnostic->message);
    append_member(out, "help", diagnostic->help);
    if (!diagnostic->other.file.empty()) {
      out += ",\"other\":{\"file\":";
      append_json_string(out, diagnostic->other.file);
      out += fmt::format(",\"line\":{},\"col\":{}}}", diagnostic->other.line,
                         diagnostic->other.column);
    }
    out += "}";
  }
  return out + "]";
}

}  // namespace penstock::config
