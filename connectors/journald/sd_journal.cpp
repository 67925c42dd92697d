#include "connectors/journald/sd_journal.hpp"

#include "connectors/support/shared_library.hpp"

namespace penstock::connectors::journald {
namespace {

SdJournal functions;  // does not change any more once they are loaded

Result<void> find_all() {
  PENSTOCK_TRY_ASSIGN(const auto library,
                      support::SharedLibrary::load("libsystemd.so.0", "libsystemd0"));
  PENSTOCK_TRY(library.find("sd_id128_get_boot", functions.id128_get_boot));
  PENSTOCK_TRY(library.find("sd_id128_to_string", functions.id128_to_string));
  PENSTOCK_TRY(library.find("sd_journal_add_conjunction", functions.add_conjunction));
  PENSTOCK_TRY(library.find("sd_journal_add_disjunction", functions.add_disjunction));
  PENSTOCK_TRY(library.find("sd_journal_add_match", functions.add_match));
  PENSTOCK_TRY(library.find("sd_journal_close", functions.close));
  PENSTOCK_TRY(
      library.find("sd_journal_enumerate_available_data", functions.enumerate_available_data));
  PENSTOCK_TRY(library.find("sd_journal_flush_matches", functions.flush_matches));
  PENSTOCK_TRY(library.find("sd_journal_get_cursor", functions.get_cursor));
  PENSTOCK_TRY(library.find("sd_journal_get_data", functions.get_data));
  PENSTOCK_TRY(library.find("sd_journal_get_events", functions.get_events));
  PENSTOCK_TRY(library.find("sd_journal_get_fd", functions.get_fd));
  PENSTOCK_TRY(library.find("sd_journal_get_realtime_usec", functions.get_realtime_usec));
  PENSTOCK_TRY(library.find("sd_journal_get_timeout", functions.get_timeout));
  PENSTOCK_TRY(library.find("sd_journal_has_persistent_files", functions.has_persistent_files));
  PENSTOCK_TRY(library.find("sd_journal_has_runtime_files", functions.has_runtime_files));
  PENSTOCK_TRY(library.find("sd_journal_next", functions.next));
  PENSTOCK_TRY(library.find("sd_journal_open", functions.open));
  PENSTOCK_TRY(library.find("sd_journal_open_directory", functions.open_directory));
  PENSTOCK_TRY(library.find("sd_journal_open_files", functions.open_files));
  PENSTOCK_TRY(library.find("sd_journal_previous", functions.previous));
  PENSTOCK_TRY(library.find("sd_journal_process", functions.process));
  PENSTOCK_TRY(library.find("sd_journal_restart_data", functions.restart_data));
  PENSTOCK_TRY(library.find("sd_journal_seek_cursor", functions.seek_cursor));
  PENSTOCK_TRY(library.find("sd_journal_seek_head", functions.seek_head));
  PENSTOCK_TRY(library.find("sd_journal_seek_tail", functions.seek_tail));
  PENSTOCK_TRY(library.find("sd_journal_set_data_threshold", functions.set_data_threshold));
  PENSTOCK_TRY(library.find("sd_journal_test_cursor", functions.test_cursor));
  return {};
}

}  // namespace

Result<void> load_sd_journal() {
  static support::Once once;
  return once.run(find_all);
}

const SdJournal& sd() { return functions; }

}  // namespace penstock::connectors::journald
