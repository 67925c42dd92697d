// The connector type `journald`: follows the systemd journal, with its cursor as the position.
#include <poll.h>

#include <algorithm>
#include <charconv>
#include <deque>

#include "agent/base/text.hpp"
#include "agent/base/wire.hpp"
#include "connectors/api/connector.hpp"
#include "connectors/journald/journal.hpp"
#include "connectors/journald/settings.hpp"

namespace penstock::connectors::journald {
namespace {

constexpr std::size_t chunk_events_max = 500;
constexpr std::size_t chunk_bytes_max = 256 * 1024;
constexpr std::size_t event_fields_max = 256;

/// The form's version, then the cursor; "lost": its entry is gone, and that was told.
constexpr std::string_view found_prefix = "1 ";
constexpr std::string_view lost_prefix = "1lost ";

/// These hold numbers (systemd.journal-fields(7)); what is none in them is null.
bool is_number_field(std::string_view field) {
  constexpr std::string_view names[] = {
      "PRIORITY",        "_PID",       "_UID", "_GID",       "ERRNO", "CODE_LINE",
      "SYSLOG_FACILITY", "SYSLOG_PID", "TID",  "EXIT_STATUS"};
  return std::find(std::begin(names), std::end(names), field) != std::end(names);
}

Value number_of(std::string_view text) {
  std::int64_t number = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
  if (read.ec != std::errc{} || read.ptr != text.data() + text.size()) return std::monostate{};
  return number;
}

class Journald final : public Connector {
 public:
  explicit Journald(Settings settings) : settings_(std::move(settings)) {}

  Result<void> run(Session& session) override {
    const Result<void> result = follow(session);
    return !result.ok() && result.error().code == Errc::stopped ? Result<void>() : result;
  }

 private:
  Result<void> follow(Session& session) {
    if (session.stop_token().stop_requested()) return {};
    PENSTOCK_TRY_ASSIGN(Journal journal, Journal::open(settings_));
    for (const Error& error : unreadable_files(settings_.directory)) {
      session.log().warn("event=file_unreadable reason={}", quoted(error.text));
    }
    chunk_.clear();
    PENSTOCK_TRY(begin(journal, session));
    for (;;) {
      PENSTOCK_TRY_ASSIGN(const bool has_more, read(journal, session));
      if (session.stop_token().stop_requested()) return {};
      if (has_more) continue;
      pollfd waits[] = {{session.stop_fd(), POLLIN, 0}, {journal.fd(), journal.events(), 0}};
      ::poll(waits, 2, journal.wait_ms_max());  // an interruption is only an early look
      if (waits[0].revents != 0) return {};
      PENSTOCK_TRY_ASSIGN(const bool files_changed, journal.process());
      if (files_changed) PENSTOCK_TRY(check_place(journal, session));
    }
  }

  /// Goes to where reading begins or goes on.
  Result<void> begin(Journal& journal, Session& session) {
    cursor_.clear();
    bool is_told = false;
    const std::optional<std::string> stored = session.resume_from("");
    if (stored && stored->starts_with(found_prefix)) {
      cursor_ = stored->substr(found_prefix.size());
    } else if (stored && stored->starts_with(lost_prefix)) {
      cursor_ = stored->substr(lost_prefix.size());
      is_told = true;
    } else if (stored) {
      session.log().warn("event=position_unknown position={}", quoted(*stored));
      PENSTOCK_TRY(tell_loss(session));
    } else if (!settings_.starts_at_beginning) {
      PENSTOCK_TRY_ASSIGN(cursor_, journal.last_cursor());
      chunk_.position("", std::string(found_prefix) + cursor_);
      PENSTOCK_TRY(session.push(chunk_));
    }
    is_lost_ = is_told;
    return check_place(journal, session);
  }

  /// The files have changed, or time has passed without us: is what follows still there?
  Result<void> check_place(Journal& journal, Session& session) {
    if (!cursor_.empty() && !is_lost_) {
      PENSTOCK_TRY_ASSIGN(const bool is_there, journal.has(cursor_));
      if (!is_there) {
        PENSTOCK_TRY_ASSIGN(const bool has_gap, journal.has_gap_after(cursor_));
        if (has_gap) PENSTOCK_TRY(tell_loss(session));
        is_lost_ = true;
      }
    }
    return journal.place_after(cursor_);
  }

  Result<void> tell_loss(Session& session) {
    session.log().warn(
        "event=entries_lost reason=\"the journal has removed what was not read yet\"");
    chunk_.lost("", 0);
    chunk_.position("", std::string(lost_prefix) + cursor_);
    return session.push(chunk_);
  }

  /// Reads a chunk and pushes it. true: there may be more.
  Result<bool> read(Journal& journal, Session& session) {
    bool has_more = true;
    std::size_t events = 0;
    while (events < chunk_events_max && chunk_.size() < chunk_bytes_max) {
      PENSTOCK_TRY_ASSIGN(has_more, journal.next());
      if (!has_more) break;
      std::string cursor = journal.cursor();
      if (cursor.empty()) continue;  // removed under our hands
      cursor_ = std::move(cursor);
      is_lost_ = false;
      add_event(journal);
      ++events;
    }
    if (events > 0) {
      chunk_.position("", std::string(found_prefix) + cursor_);
      PENSTOCK_TRY(session.push(chunk_));
    }
    return has_more;
  }

  void add_event(Journal& journal) {
    // The journal lends one value at a time, so they are copied; a deque does not move them.
    fields_.clear();
    texts_.clear();
    is_cut_ = false;
    for (const Settings::Mapping& wanted : settings_.fields) {
      if (const auto value = journal.value(wanted.field.c_str())) {
        add_field(wanted.name, wanted.field, *value);
      }
    }
    if (settings_.takes_all_fields) add_other_fields(journal);
    if (fields_.empty()) fields_.push_back({"message", std::monostate{}});
    chunk_.add(journal.time_unix_us(), "", fields_);
    if (is_cut_) chunk_.mark_cut();
  }

  void add_other_fields(Journal& journal) {
    while (const auto data = journal.next_field()) {
      const std::string_view field = data->substr(0, data->find('='));
      const bool is_known = std::any_of(settings_.fields.begin(), settings_.fields.end(),
                                        [&](const auto& known) { return known.field == field; });
      if (is_known || !is_field_name(field) || fields_.size() >= event_fields_max) continue;
      std::string& name = texts_.emplace_back(field);
      name.erase(0, name.find_first_not_of('_'));
      std::transform(name.begin(), name.end(), name.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
      });
      if (name.empty()) continue;
      if (is_reserved_member(name)) name += '_';
      add_field(name, field, data->substr(field.size() + 1));
    }
  }

  void add_field(std::string_view name, std::string_view field, std::string_view value) {
    if (is_number_field(field)) {
      fields_.push_back({name, number_of(value)});
      return;
    }
    const std::string_view kept = cut_at_character(value, settings_.value_bytes_max);
    is_cut_ = is_cut_ || kept.size() < value.size();
    fields_.push_back({name, std::string_view(texts_.emplace_back(kept))});
  }

  Settings settings_;
  Chunk chunk_;
  std::string cursor_;    // of the entry read last, or where the stored position stood
  bool is_lost_ = false;  // its entry is gone, and what that means was told
  std::vector<Field> fields_;
  std::deque<std::string> texts_;
  bool is_cut_ = false;
};

Result<std::unique_ptr<Connector>> make(const config::Section& section) {
  PENSTOCK_TRY_ASSIGN(Settings settings, read_settings(section));
  return std::unique_ptr<Connector>(std::make_unique<Journald>(std::move(settings)));
}

}  // namespace

extern const ConnectorType type;
const ConnectorType type{
    .name = "journald",
    .summary = "entries of the systemd journal, each once, through rotation and restarts",
    .is_rereadable = true,
    .options = options(),
    .make = make,
};

}  // namespace penstock::connectors::journald
