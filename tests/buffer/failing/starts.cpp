// Of the operations whose calls fail one by one, those that begin without an open store.
#include "buffer/crash_marker.hpp"
#include "buffer/new_epoch.hpp"
#include "buffer/salvage.hpp"
#include "tests/buffer/failing/life.hpp"

namespace penstock::tests {
namespace {

using namespace buffer;

void arrange_nothing(Life&) {}

Result<void> start(Life& life) { return life.try_open(); }

/// As the agent's start that follows one that was killed when it asked for this.
Result<void> start_asked(Life& life) {
  OpenReport report;
  StoreOptions as_tool = life.options;
  as_tool.device.clear();
  if (life.next_epoch_of.empty()) {
    PENSTOCK_TRY_ASSIGN(const auto store, Store::open(as_tool, report, life.clock));
    life.next_epoch_of = store->epoch();
  }
  PENSTOCK_TRY(ask_new_epoch(life.options.path, life.next_epoch_of));
  return life.try_open();
}

/// Marks are of the process, and come before the store.
Result<void> start_marked(Life& life) {
  PENSTOCK_TRY(mark_crashes_in(life.options.path));
  return life.try_open();
}

/// A file of format 1 is counted, and has the present format after a commit.
void begin_old(Life& life) {
  life.options.machine_id = "0123456789abcdef0123456789abcdef";
  std::filesystem::create_directories(life.options.path);
  std::filesystem::copy_file("tests/golden/format-1/buffer.mdb", life.options.path / "buffer.mdb");
}

Result<void> start_and_commit(Life& life) {
  if (!life.store) PENSTOCK_TRY(life.try_open());
  if (life.request.request().positions.empty()) {
    PENSTOCK_TRY_ASSIGN(life.of("app"),
                        life.store->open_stream("app", Priority::normal, WhenFull::block));
    life.request.batch(life.of("app"), 1, "a").position("short", "2");
  }
  PENSTOCK_TRY(life.store->commit(life.request.request()));
  return {};
}

/// All rows that a sound file gives, as the command does that saves them.
Result<void> salvage(Life& life) {
  PENSTOCK_TRY_ASSIGN(const Salvage found, Salvage::scan(life.options.path / "buffer.mdb", {}));
  std::size_t rows = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    PENSTOCK_TRY_ASSIGN(const Row row, found.row(i));
    rows += row.is_damaged ? 0 : 1;
  }
  // A page that cannot be read takes its rows alone with it.
  if (rows == 0) return Error{Errc::corrupt, "nothing was saved"};
  return {};
}

}  // namespace

std::vector<Operation> starts(const std::function<void(Life&)>& begin_mixed) {
  std::vector<Operation> all = {
      {.name = "a start", .begin = begin_mixed, .arrange = arrange_nothing, .act = start},
      {.name = "a birth", .begin = arrange_nothing, .arrange = arrange_nothing, .act = start},
      {.name = "a start with blocks to reserve",
       .begin = begin_mixed,
       .arrange = [](Life& life) { life.options.preallocate = true; },
       .act = start},
      {.name = "a start after a crash",
       .begin = begin_mixed,
       .arrange = [](Life& life) { note_crash(life.options.path); },
       .act = start_marked},
      {.name = "a start of a tool",
       .begin = begin_mixed,
       .arrange = [](Life& life) { life.options.device.clear(); },
       .act = start},
      {.name = "a start on another device",
       .begin = begin_mixed,
       .arrange = [](Life& life) { life.options.device = "gw-8"; },
       .act = start},
      // A mark that cannot be read is found by the start that comes after this one.
      {.name = "a new epoch that is asked for",
       .begin = begin_mixed,
       .arrange = arrange_nothing,
       .act = start_asked,
       .tells_all = false},
      {.name = "salvage", .begin = begin_mixed, .arrange = arrange_nothing, .act = salvage},
  };
  if (sizeof(void*) == 8) {
    all.push_back({.name = "a start with an old file",
                   .begin = begin_old,
                   .arrange = arrange_nothing,
                   .act = start_and_commit});
  }
  for (Operation& one : all) one.may_set_aside = true;
  return all;
}

}  // namespace penstock::tests
