// Diagnostics: every finding of one run with its place, rendered for people (caret) or machines
// (JSON).
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::config {

/// A place in a file. line and column count from 1, columns in characters; 0 = not known.
struct Place {
  std::string file;
  int line = 0;
  int column = 0;
  int end_column = 0;  ///< exclusive; 0 = to the end of the word
};
/// "file:line:column"; without what is not known.
std::string to_string(const Place& place);

enum class Severity { error, warning };

struct Diagnostic {
  std::string code;  ///< stable: C001 … (config/codes.hpp)
  Severity severity = Severity::error;
  Place place;
  std::string path;     ///< connectors.boiler.every
  std::string message;  ///< lower case, one sentence, names in quotes
  /// What to do: 'did you mean "max_size"?'; may be empty. Lines after the first are shown below.
  std::string help;
  Place other;  ///< the other place of a conflict; file empty = none
};

/// Collects findings. Thread: owner only.
class Diagnostics {
 public:
  static constexpr std::size_t shown_max = 20;
  /// Further findings are only counted, so that a hostile file cannot fill the memory.
  static constexpr std::size_t kept_max = 1000;

  void add(Diagnostic diagnostic);
  /// Keeps the text of a file, so that its lines can be shown.
  void add_source(const std::string& file, std::string text);
  /// These characters are never shown: a secret that was written in clear. Only `line` of `place`
  /// is covered.
  void mask(const Place& place);
  /// The place of `text` in the line of `place`, at or behind its column; `place` if it is not
  /// there.
  Place narrowed(const Place& place, std::string_view text) const;

  bool has_errors() const { return error_count_ > 0; }
  std::size_t error_count() const { return error_count_; }
  std::size_t warning_count() const { return warning_count_; }
  bool is_full() const { return all_.size() >= kept_max; }
  /// In the order in which they were found.
  const std::vector<Diagnostic>& all() const { return all_; }

  /// error[C001]: … --> file:line:column, the line, a caret, the help; errors before warnings, each
  /// in the order of the files; at most shown_max of them.
  std::string to_text(bool use_color) const;
  /// [{"code","severity","file","line","col","end_col","path","message","help"}…], and "other" with
  /// file, line and col where a second place matters.
  std::string to_json() const;

 private:
  std::vector<const Diagnostic*> in_order() const;
  void render(std::string& out, const Diagnostic& diagnostic, bool use_color) const;

  struct Source {
    std::string text;
    std::size_t number = 0;  // files in the order in which they were read
    std::vector<Place> masks;
  };
  std::vector<Diagnostic> all_;
  std::map<std::string, Source, std::less<>> sources_;
  std::size_t error_count_ = 0;
  std::size_t warning_count_ = 0;
};

}  // namespace penstock::config
