#include "connectors/journald/journal.hpp"

#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <limits>

#include "agent/base/log.hpp"

namespace penstock::connectors::journald {
namespace {

/// sd-journal returns -errno.
Error journal_error(std::string_view what, int rc) { return errno_error(what, -rc); }

std::string_view item_of(std::string_view cursor, std::string_view name) {
  while (!cursor.empty()) {
    const std::string_view item = cursor.substr(0, cursor.find(';'));
    if (item.starts_with(name)) return item.substr(name.size());
    cursor.remove_prefix(std::min(cursor.size(), item.size() + 1));
  }
  return {};
}

constexpr std::size_t threshold_margin = 256;  // the name and the "=" count too

}  // namespace

std::optional<CursorFacts> facts_of(std::string_view cursor) {
  CursorFacts facts;
  const std::string_view number = item_of(cursor, "i=");
  const auto read = std::from_chars(number.data(), number.data() + number.size(), facts.number, 16);
  facts.sequence = item_of(cursor, "s=");
  facts.boot = item_of(cursor, "b=");
  if (number.empty() || read.ptr != number.data() + number.size() || read.ec != std::errc{} ||
      facts.sequence.empty() || facts.boot.empty()) {
    return std::nullopt;
  }
  return facts;
}

Result<Journal> Journal::open(const Settings& settings) {
  PENSTOCK_TRY(load_sd_journal());
  sd_journal* opened = nullptr;
  const bool is_system = settings.directory.empty();
  const int rc = is_system ? sd().open(&opened, SD_JOURNAL_LOCAL_ONLY)
                           : sd().open_directory(&opened, settings.directory.c_str(), 0);
  if (rc < 0) {
    return journal_error(is_system ? "the system's journal" : settings.directory, rc);
  }
  Journal journal(settings, opened);
  // Before the first look, so that no change is missed in between.
  if (const int fd = journal.fd(); fd < 0) return journal_error("watch the journal", fd);
  sd().set_data_threshold(opened, settings.value_bytes_max + threshold_margin);
  if (sd().has_persistent_files(opened) <= 0 && sd().has_runtime_files(opened) <= 0 && is_system) {
    return Error{Errc::unavailable,
                 "the system has no journal that may be read (group systemd-journal)"};
  }
  return journal;
}

std::vector<Error> unreadable_files(const std::string& directory) {
  if (auto loaded = load_sd_journal(); !loaded.ok()) return {loaded.error()};
  std::vector<Error> out;
  std::error_code error;
  for (std::filesystem::recursive_directory_iterator file(directory, error), end;
       !error && file != end; file.increment(error)) {
    if (file->path().extension() != ".journal") continue;
    const std::string path = file->path().string();
    const char* paths[] = {path.c_str(), nullptr};
    sd_journal* opened = nullptr;
    const int rc = sd().open_files(&opened, paths, 0);
    if (rc < 0) out.push_back(journal_error(penstock::quoted(path), rc));
    sd().close(opened);
  }
  return out;
}

Result<void> Journal::want_all() {
  sd().flush_matches(journal_.get());
  return {};
}

Result<void> Journal::add(const std::string& match) {
  const int rc = sd().add_match(journal_.get(), match.data(), match.size());
  if (rc < 0) return journal_error("match the journal", rc);
  return {};
}

Result<void> Journal::want_configured() {
  sd_journal* const journal = journal_.get();
  sd().flush_matches(journal);
  // As `journalctl -u`: what the unit's processes say, and what systemd says of the unit.
  for (const std::string& unit : settings_->units) {
    PENSTOCK_TRY(add("_SYSTEMD_UNIT=" + unit));
    sd().add_disjunction(journal);
    PENSTOCK_TRY(add("_PID=1"));
    PENSTOCK_TRY(add("UNIT=" + unit));
    sd().add_disjunction(journal);
  }
  if (!settings_->units.empty()) sd().add_conjunction(journal);
  for (const std::string& match : settings_->matches) PENSTOCK_TRY(add(match));
  if (!settings_->matches.empty()) sd().add_conjunction(journal);
  for (int i = 0; settings_->priority_max < 7 && i <= settings_->priority_max; ++i) {
    PENSTOCK_TRY(add(fmt::format("PRIORITY={}", i)));
  }
  if (settings_->this_boot_only) {
    sd_id128_t boot;
    if (const int rc = sd().id128_get_boot(&boot); rc < 0) return journal_error("boot id", rc);
    char text[SD_ID128_STRING_MAX];
    PENSTOCK_TRY(add(fmt::format("_BOOT_ID={}", sd().id128_to_string(boot, text))));
  }
  return {};
}

Result<std::string> Journal::last_cursor() {
  PENSTOCK_TRY(want_all());
  int rc = sd().seek_tail(journal_.get());
  if (rc >= 0) rc = sd().previous(journal_.get());
  if (rc < 0) return journal_error("the journal's end", rc);
  return rc == 0 ? std::string() : cursor();
}

Result<bool> Journal::has(const std::string& cursor) {
  PENSTOCK_TRY(want_all());
  int rc = sd().seek_cursor(journal_.get(), cursor.c_str());
  if (rc == -EINVAL) return false;  // not a cursor
  if (rc >= 0) rc = sd().next(journal_.get());
  if (rc < 0) return journal_error("find the position", rc);
  return rc > 0 && sd().test_cursor(journal_.get(), cursor.c_str()) > 0;
}

Result<bool> Journal::has_gap_after(const std::string& cursor) {
  const auto left = facts_of(cursor);
  PENSTOCK_TRY(want_all());
  int rc = sd().seek_head(journal_.get());
  if (rc >= 0) rc = sd().next(journal_.get());
  if (rc < 0) return journal_error("the journal's beginning", rc);
  if (rc == 0 || !left) return true;
  const auto first = facts_of(this->cursor());
  return !first || first->sequence != left->sequence || first->number != left->number + 1;
}

Result<bool> Journal::has_boot(const std::string& boot) {
  PENSTOCK_TRY(want_all());
  PENSTOCK_TRY(add("_BOOT_ID=" + boot));
  int rc = sd().seek_head(journal_.get());
  if (rc >= 0) rc = sd().next(journal_.get());
  if (rc < 0) return journal_error("find the boot", rc);
  return rc > 0;
}

Result<void> Journal::place_after(const std::string& cursor) {
  const auto facts = facts_of(cursor);
  bool is_from_head = !facts;
  if (facts) {
    PENSTOCK_TRY_ASSIGN(const bool is_there, has_boot(facts->boot));
    is_from_head = !is_there;
  }
  PENSTOCK_TRY(want_configured());
  stands_at_new_ = false;
  int rc = is_from_head ? sd().seek_head(journal_.get())
                        : sd().seek_cursor(journal_.get(), cursor.c_str());
  if (rc >= 0 && !is_from_head) {
    rc = sd().next(journal_.get());
    stands_at_new_ = rc > 0 && sd().test_cursor(journal_.get(), cursor.c_str()) <= 0;
  }
  if (rc < 0) return journal_error("go to the position", rc);
  return {};
}

Result<bool> Journal::next() {
  if (std::exchange(stands_at_new_, false)) return true;
  const int rc = sd().next(journal_.get());
  if (rc < 0) return journal_error("read the journal", rc);
  return rc > 0;
}

std::string Journal::cursor() {
  char* text = nullptr;
  if (sd().get_cursor(journal_.get(), &text) < 0) return {};
  const std::unique_ptr<char, decltype(&std::free)> owner(text, &std::free);
  return text;
}

std::int64_t Journal::time_unix_us() {
  std::uint64_t time = 0;
  if (sd().get_realtime_usec(journal_.get(), &time) < 0) return 0;
  return static_cast<std::int64_t>(time);
}

std::optional<std::string_view> Journal::value(const char* field) {
  const void* data = nullptr;
  std::size_t size = 0;
  if (sd().get_data(journal_.get(), field, &data, &size) < 0) return std::nullopt;
  std::string_view text(static_cast<const char*>(data), size);
  text.remove_prefix(std::min(text.size(), text.find('=') + 1));
  return text;
}

std::optional<std::string_view> Journal::next_field() {
  const void* data = nullptr;
  std::size_t size = 0;
  if (sd().enumerate_available_data(journal_.get(), &data, &size) <= 0) {
    sd().restart_data(journal_.get());
    return std::nullopt;
  }
  return std::string_view(static_cast<const char*>(data), size);
}

int Journal::wait_ms_max() {
  std::uint64_t due_us = 0;
  if (sd().get_timeout(journal_.get(), &due_us) < 0 ||
      due_us == std::numeric_limits<std::uint64_t>::max()) {
    return -1;
  }
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  const std::uint64_t now_us = static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 +
                               static_cast<std::uint64_t>(now.tv_nsec) / 1000;
  return due_us <= now_us
             ? 0
             : static_cast<int>(std::min<std::uint64_t>((due_us - now_us) / 1000 + 1, 60'000));
}

Result<bool> Journal::process() {
  const int rc = sd().process(journal_.get());
  if (rc < 0) return journal_error("watch the journal", rc);
  return rc == SD_JOURNAL_INVALIDATE;
}

}  // namespace penstock::connectors::journald
