# Only its headers, for sd_journal.cpp loads it.
pkg_check_modules(LIBSYSTEMD REQUIRED libsystemd)
add_library(penstock_sd_journal_header INTERFACE)
target_include_directories(penstock_sd_journal_header SYSTEM INTERFACE ${LIBSYSTEMD_INCLUDE_DIRS})
set(PENSTOCK_CONNECTOR_LINKS penstock_sd_journal_header)
