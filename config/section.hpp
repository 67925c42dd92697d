// Section: a typed view of one YAML map that was validated against its option table.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.hpp"
#include "config/diagnostics.hpp"
#include "config/option.hpp"

namespace penstock::config {

struct Node;  // config/yaml.hpp

/// A secret's content. Has no formatter and no stream operator on purpose; zeroed at the end.
/// Thread: owner only.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string text) : text_(std::move(text)) {}
  Secret(const Secret&) = default;
  Secret(Secret&&) noexcept = default;
  Secret& operator=(const Secret&) = default;
  Secret& operator=(Secret&&) noexcept = default;
  ~Secret();
  bool is_empty() const { return text_.empty(); }
  const std::string& reveal() const { return text_; }

 private:
  std::string text_;
};

/// Getters take the name of an option of the section's own table; another name, or one of another
/// type, is a broken invariant. Absent options give their default. Cheap to copy; shares the parsed
/// tree, so it may outlive the loader. Thread: any, after loading; invalid() and warn() belong to
/// the diagnostics' owner.
class Section {
 public:
  /// An empty map: every option at its default. For tests and for sections that were not written.
  static Section defaults(std::span<const Option> options);
  /// Validates `yaml` (one map) against `options`, variables expanded; findings go to
  /// `diagnostics`, which must outlive the section. For tests and `probe`. Whether secrets can be
  /// read is not asked. invalid: there were errors.
  static Result<Section> parse(std::string_view yaml, std::span<const Option> options,
                               Diagnostics& diagnostics);

  /// Written, or has a default.
  bool has(std::string_view name) const;
  bool has_written(std::string_view name) const { return find(name) != nullptr; }

  bool boolean(std::string_view name) const;
  std::int64_t integer(std::string_view name) const;
  double number(std::string_view name) const;
  std::string text(std::string_view name) const;  ///< text and choice; "" if absent
  std::chrono::microseconds duration(std::string_view name) const;
  std::uint64_t size(std::string_view name) const;  ///< bytes
  double rate(std::string_view name) const;         ///< bytes per second
  std::vector<std::string> text_list(std::string_view name) const;
  std::map<std::string, std::string> text_map(std::string_view name) const;
  Section section(std::string_view name) const;
  std::vector<Section> section_list(std::string_view name) const;
  /// Reads the secret now, so that a changed file is seen; empty if absent. unavailable: file,
  /// variable or credential is missing; invalid: others may read the file.
  Result<Secret> secret(std::string_view name) const;

  /// Reports a finding at the option's value (at the section itself for ""), and returns the error
  /// to hand back: return section.invalid("paths", "no path is given").
  Error invalid(std::string_view name, std::string message, std::string help = {}) const;
  void warn(std::string_view name, std::string message, std::string help = {}) const;

  /// "connectors.boiler"; "" for the root.
  const std::string& path() const { return path_; }
  /// Of the option's value; of the section itself for "" and for what was not written.
  Place place(std::string_view name) const;
  /// Of one item of a list, or of the key of one entry of a map; else as place().
  Place item_place(std::string_view name, std::size_t index) const;
  Place key_place(std::string_view name, std::string_view key) const;

 private:
  friend class SectionMaker;  // the validator's way in
  const Option& option(std::string_view name, OptionType type) const;
  const Node* find(std::string_view name) const;
  std::string scalar(std::string_view name, OptionType type) const;

  std::shared_ptr<const Node> root_;  // shared: sections of one file keep its tree alive together
  const Node* node_ = nullptr;        // nullptr: nothing was written
  std::span<const Option> options_;
  std::string path_;
  Diagnostics* diagnostics_ = nullptr;
};

}  // namespace penstock::config
