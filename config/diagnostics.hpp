// Diagnostics: every finding of one run with its place, rendered for people (caret) or machines
// (JSON).
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::config {

/// A place in a file. line and column count from 1; 0 = not known.
struct Place {
  std::string file;
  int line = 0;
  int column = 0;
  int end_column = 0;  ///< exclusive; 0 = to the end of the word
};

enum class Severity { error, warning };

struct Diagnostic {
  std::string code;  ///< stable: C001 …
  Severity severity = Severity::error;
  Place place;
  std::string path;     ///< connectors.boiler.every
  std::string message;  ///< lower case, one sentence, names in quotes
  std::string help;     ///< what to do: 'did you mean "max_size"?'; may be empty
  Place other;          ///< the other place of a conflict; file empty = none
};

/// Collects findings. Thread: owner only.
class Diagnostics {
 public:
  static constexpr std::size_t shown_max = 20;

  void add(Diagnostic diagnostic);
  /// Keeps the text of a file, so that its lines can be shown.
  void add_source(const std::string& file, std::string text);

  bool has_errors() const { return error_count_ > 0; }
  std::size_t error_count() const { return error_count_; }
  std::size_t warning_count() const { return all_.size() - error_count_; }
  const std::vector<Diagnostic>& all() const { return all_; }

  /// error[C001]: … --> file:line:column, the line, a caret, the help; at most shown_max of them.
  std::string to_text(bool use_color) const;
  /// [{"code","severity","file","line","col","end_col","path","message","help"}…]
  std::string to_json() const;

 private:
  std::vector<Diagnostic> all_;
  std::map<std::string, std::string, std::less<>> sources_;
  std::size_t error_count_ = 0;
};

}  // namespace penstock::config
