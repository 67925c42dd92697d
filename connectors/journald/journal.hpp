// Journal: the files of one journal, read in their order; the only user of sd-journal.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.hpp"
#include "connectors/journald/sd_journal.hpp"
#include "connectors/journald/settings.hpp"

namespace penstock::connectors::journald {

/// What a cursor says of its entry (systemd.journal-fields(7): s=, i=, b=).
struct CursorFacts {
  std::string sequence;  ///< identity of the series of numbers
  std::uint64_t number = 0;
  std::string boot;
};
/// nullopt: not a cursor, or one without these. Safe on any bytes.
std::optional<CursorFacts> facts_of(std::string_view cursor);

/// The journal files in and below `directory` that cannot be opened, each with the reason;
/// sd-journal passes over them without a word. Thread: any.
std::vector<Error> unreadable_files(const std::string& directory);

/// Stands at an entry or between two. Calls fail with `unavailable`. Thread: the one that opened
/// it.
class Journal {
 public:
  static Result<Journal> open(const Settings& settings);

  /// Cursor of the last entry of all, wanted or not; "" if there is none.
  Result<std::string> last_cursor();
  /// Whether the entry of `cursor` is there, wanted or not.
  Result<bool> has(const std::string& cursor);
  /// Whether entries may be missing behind `cursor`, whose entry is not there any more: the oldest
  /// one that is left does not follow it directly.
  Result<bool> has_gap_after(const std::string& cursor);

  /// Goes in front of the first wanted entry behind `cursor`; in front of all for "", and where the
  /// boot of the cursor is gone altogether, because what is left is then newer.
  Result<void> place_after(const std::string& cursor);

  /// The next wanted entry. false: there is none now.
  Result<bool> next();
  /// Of the entry at which it stands.
  std::string cursor();
  std::int64_t time_unix_us();
  /// The value of a field; lives until the next call. nullopt: the entry does not have it.
  std::optional<std::string_view> value(const char* field);
  /// All fields, as FIELD=value, one after the other; starts again after nullopt.
  std::optional<std::string_view> next_field();

  int fd() { return sd().get_fd(journal_.get()); }
  short events() { return static_cast<short>(sd().get_events(journal_.get())); }
  /// How long to wait for fd() at most, in ms; -1 = for ever.
  int wait_ms_max();
  /// Takes note of what fd() told. true: files came or went.
  Result<bool> process();

 private:
  struct Close {
    void operator()(sd_journal* journal) const { sd().close(journal); }
  };
  explicit Journal(const Settings& settings, sd_journal* journal)
      : settings_(&settings), journal_(journal) {}

  Result<void> want_all();
  Result<void> want_configured();
  Result<void> add(const std::string& match);
  Result<bool> has_boot(const std::string& boot);

  const Settings* settings_;
  std::unique_ptr<sd_journal, Close> journal_;
  bool stands_at_new_ = false;  // place_after() came to rest at an entry that was not read yet
};

}  // namespace penstock::connectors::journald
