// SdJournal: the functions of libsystemd, which is loaded only where this connector runs.
#pragma once

#include <systemd/sd-id128.h>
#include <systemd/sd-journal.h>

#include "agent/base/result.hpp"

namespace penstock::connectors::journald {

/// Each under its own name, without the sd_journal_ or sd_.
struct SdJournal {
  decltype(&::sd_id128_get_boot) id128_get_boot;
  decltype(&::sd_id128_to_string) id128_to_string;
  decltype(&::sd_journal_add_conjunction) add_conjunction;
  decltype(&::sd_journal_add_disjunction) add_disjunction;
  decltype(&::sd_journal_add_match) add_match;
  decltype(&::sd_journal_close) close;
  decltype(&::sd_journal_enumerate_available_data) enumerate_available_data;
  decltype(&::sd_journal_flush_matches) flush_matches;
  decltype(&::sd_journal_get_cursor) get_cursor;
  decltype(&::sd_journal_get_data) get_data;
  decltype(&::sd_journal_get_events) get_events;
  decltype(&::sd_journal_get_fd) get_fd;
  decltype(&::sd_journal_get_realtime_usec) get_realtime_usec;
  decltype(&::sd_journal_get_timeout) get_timeout;
  decltype(&::sd_journal_has_persistent_files) has_persistent_files;
  decltype(&::sd_journal_has_runtime_files) has_runtime_files;
  decltype(&::sd_journal_next) next;
  decltype(&::sd_journal_open) open;
  decltype(&::sd_journal_open_directory) open_directory;
  decltype(&::sd_journal_open_files) open_files;
  decltype(&::sd_journal_previous) previous;
  decltype(&::sd_journal_process) process;
  decltype(&::sd_journal_restart_data) restart_data;
  decltype(&::sd_journal_seek_cursor) seek_cursor;
  decltype(&::sd_journal_seek_head) seek_head;
  decltype(&::sd_journal_seek_tail) seek_tail;
  decltype(&::sd_journal_set_data_threshold) set_data_threshold;
  decltype(&::sd_journal_test_cursor) test_cursor;
};

/// unavailable: the library is not there. Thread: any.
Result<void> load_sd_journal();
/// Once load_sd_journal() was ok. Thread: any.
const SdJournal& sd();

}  // namespace penstock::connectors::journald
