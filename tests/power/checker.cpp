#include "tests/power/checker.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>
#include <tuple>

namespace penstock::power {
namespace {

namespace fs = std::filesystem;

/// What was planned for a row, made once for all states that this process checks; nullptr = no such
/// row was planned.
const std::string* planned_content(const Plan& plan, std::size_t life, std::size_t stream,
                                   const buffer::RowKey& key) {
  using Name = std::tuple<std::size_t, std::size_t, std::uint64_t, std::uint32_t>;
  static std::map<Name, std::string> contents;
  if (contents.empty()) {
    for (const Step& step : plan.steps) {
      for (const PlannedRow& row : step.rows) {
        contents[{step.life, row.stream, row.seq, row.count}] = content_for(step.life, row);
      }
    }
  }
  const auto found = contents.find({life, stream, key.seq, key.count});
  return found == contents.end() ? nullptr : &found->second;
}

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

/// The folders that old files went to, of one kind.
std::vector<fs::path> asides(const fs::path& folder, std::string_view kind) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const bool is_kind = entry.path().filename().string().rfind(kind, 0) == 0;
    if (entry.is_directory() && is_kind) found.push_back(entry.path());
  }
  return found;
}

}  // namespace

void Promise::note(const RecordHead& mark, const Disk& disk) {
  switch (static_cast<Mark>(mark.fd)) {
    case Mark::oldest:
      next_oldest_[mark.offset >> oldest_shift] =
          mark.offset & ((std::uint64_t{1} << oldest_shift) - 1);
      return;
    case Mark::committed:
      committed = mark.offset;
      oldest = next_oldest_;
      return;
    case Mark::left_behind: left_behind.push_back(mark.offset); return;
    case Mark::life_begins:
      life = mark.offset;
      is_life_opened = false;
      return;
    case Mark::damaged: {
      const std::string name = std::string(buffer_folder) + "/buffer.mdb";
      damaged.push_back(std::make_shared<const std::string>(disk.content_of(name)));
      return;
    }
    case Mark::life_opened:
      is_life_opened = true;
      next_oldest_ = {};
      return;
  }
}

std::size_t Checker::life_of(std::uint64_t commit) const {
  return commit == 0 ? 0 : plan_.steps[commit - 1].life;
}

Checker::Found Checker::after(std::uint64_t commit) const {
  if (commit == 0) return {};
  return {commit, life_of(commit), plan_.steps[commit - 1].next, false};
}

/// The state after the last commit that returned, the one after it that was under way, and between
/// them perhaps a life that has just begun.
std::vector<Checker::Found> Checker::possible() const {
  const std::uint64_t last = promise_.committed;
  std::vector<Found> states;
  if (life_of(last) == promise_.life) {
    states.push_back(after(last));
  } else {
    states.push_back({last, promise_.life, {}, true});
    const bool may_be_whole =
        plan_.lives[promise_.life] == Reopening::damage && !promise_.is_life_opened;
    if (may_be_whole) states.push_back(after(last));
  }
  if (last < plan_.steps.size() && life_of(last + 1) == promise_.life) {
    states.push_back(after(last + 1));
  }
  return states;
}

bool Checker::has_positions(const buffer::Store& store, std::uint64_t commit) const {
  for (std::size_t i = 0; i < position_parts.size(); ++i) {
    const auto position = store.position(position_owner, position_parts[i]);
    if (!position.ok() || position->value_or("") != position_after(i, commit)) return false;
  }
  return true;
}

std::optional<Checker::Found> Checker::find_state() {
  Numbers next{};
  for (std::size_t i = 0; i < stream_count; ++i) {
    const auto stream =
        store_->open_stream(stream_names[i], stream_priorities[i], buffer::WhenFull::drop_oldest);
    if (!stream.ok()) return std::nullopt;
    ids_[i] = stream->id;
    next[i] = stream->next_seq;
  }
  for (const Found& state : possible()) {
    if (state.next != next) continue;
    if (has_positions(*store_, state.commit)) return state;
    // Of a file without its first pages no position can be carried over.
    const bool is_rebuilt = state.is_fresh && plan_.lives[state.life] == Reopening::damage;
    if (is_rebuilt && has_positions(*store_, 0)) return state;
  }
  return std::nullopt;
}

std::string Checker::check_stream(const buffer::Store& store, std::uint32_t id, std::size_t stream,
                                  const Found& state, std::optional<std::uint64_t> oldest) const {
  const std::uint64_t end = state.next[stream];
  std::uint64_t after_id = 0;
  std::optional<std::uint64_t> expected = oldest;
  for (;;) {
    const auto rows = store.peek_after(stream_priorities[stream], after_id, 100'000);
    if (!rows.ok()) return "rows cannot be read: " + rows.error().text;
    if (rows->empty()) break;
    for (const buffer::Row& row : *rows) {
      after_id = row.key.id;
      if (row.key.stream_id != id) continue;
      if (row.is_damaged) return "a damaged row";
      if (expected.value_or(row.key.seq) != row.key.seq) return "a hole in the numbers";
      expected = row.key.seq + row.key.count;
      if (row.kind == buffer::RowKind::loss) continue;
      const auto content = buffer::content_of(row);
      const std::string* planned = planned_content(plan_, state.life, stream, row.key);
      if (!content.ok() || planned == nullptr || *content != *planned) {
        return "a row with other content";
      }
    }
  }
  if (expected.value_or(end) != end) return "the newest rows are missing";
  return {};
}

std::string Checker::check_rows(const Found& state) const {
  const bool is_last = !state.is_fresh && state.commit == promise_.committed;
  for (std::size_t i = 0; i < stream_count; ++i) {
    std::optional<std::uint64_t> oldest;
    if (is_last && state.commit > 0) oldest = promise_.oldest[i];
    if (state.is_fresh) oldest = 0;
    if (std::string found = check_stream(*store_, ids_[i], i, state, oldest); !found.empty()) {
      return found;
    }
  }
  return {};
}

/// The file of a life that ended because the device changed is kept whole.
std::string Checker::check_previous(std::size_t life) const {
  Found state;
  for (std::size_t i = 0; i < plan_.steps.size(); ++i) {
    if (plan_.steps[i].life == life) state = after(i + 1);
  }
  for (const fs::path& folder : asides(root_ / buffer_folder, "previous-")) {
    buffer::StoreOptions options = store_options(root_, plan_, life);
    options.path = folder;
    options.device.clear();
    options.preallocate = false;
    buffer::OpenReport report;
    const auto opened = buffer::Store::open(options, report);
    if (!opened.ok()) return "a file that was set aside does not open: " + opened.error().text;
    if (!has_positions(**opened, state.commit)) continue;
    for (std::size_t i = 0; i < stream_count; ++i) {
      const auto stream = (*opened)->open_stream(stream_names[i], stream_priorities[i],
                                                 buffer::WhenFull::drop_oldest);
      if (!stream.ok() || stream->next_seq != state.next[i]) return "numbers set aside are wrong";
      const std::string found = check_stream(**opened, stream->id, i, state, std::nullopt);
      if (!found.empty()) return "set aside: " + found;
    }
    return {};
  }
  return "the buffer of the device before is gone";
}

std::string Checker::check_kept(const Found& state) const {
  for (std::size_t life = 1; life <= state.life; ++life) {
    const bool has_aside = promise_.left_behind[life - 1] > 0;
    if (plan_.lives[life] != Reopening::new_device || !has_aside) continue;
    if (std::string found = check_previous(life - 1); !found.empty()) return found;
  }
  const auto kept = asides(root_ / buffer_folder, "corrupt-");
  for (const auto& content : promise_.damaged) {
    const bool is_kept = std::any_of(kept.begin(), kept.end(), [&](const fs::path& folder) {
      return read_file(folder / "buffer.mdb") == *content;
    });
    if (!is_kept) return "the damaged file is gone";
  }
  return {};
}

/// The next commit must work, and survive a clean reopening.
std::string Checker::goes_on(const Found& state) {
  buffer::NewRow row;
  row.stream_id = ids_[0];
  row.seq = state.next[0];
  row.count = 7;
  row.value = "x";
  const auto report = store_->commit({std::span(&row, 1), {}});
  if (!report.ok()) return "the next commit fails: " + report.error().text;
  store_->close();
  store_.reset();
  buffer::OpenReport again;
  const auto opened = buffer::Store::open(store_options(root_, plan_, promise_.life), again);
  if (!opened.ok()) return "does not open again: " + opened.error().text;
  const auto stream =
      (*opened)->open_stream(stream_names[0], stream_priorities[0], buffer::WhenFull::drop_oldest);
  if (!stream.ok() || stream->next_seq != row.seq + 7) return "numbers do not go on";
  return {};
}

std::string Checker::check() {
  buffer::OpenReport report;
  auto opened = buffer::Store::open(store_options(root_, plan_, promise_.life), report);
  if (!opened.ok()) return "does not open: " + opened.error().text;
  store_ = std::move(opened).value();
  // Before a buffer has been opened nothing was promised of it.
  if (report.is_new_epoch && promise_.is_life_opened) {
    return "a new epoch (" + report.reason + ")";
  }
  const auto state = find_state();
  if (!state) return "numbers and positions do not belong to a commit that could have happened";
  if (std::string found = check_rows(*state); !found.empty()) return found;
  if (std::string found = check_kept(*state); !found.empty()) return found;
  return goes_on(*state);
}

}  // namespace penstock::power
