// Mhd: the functions of libmicrohttpd, which is loaded only where this connector runs: it brings in
// GnuTLS.
#pragma once

#include <microhttpd.h>

#include "agent/base/result.hpp"

namespace penstock::connectors::http {

/// Each under its own name, without the MHD_.
struct Mhd {
  decltype(&::MHD_start_daemon) start_daemon;
  decltype(&::MHD_stop_daemon) stop_daemon;
  decltype(&::MHD_run) run;
  decltype(&::MHD_run_wait) run_wait;
  decltype(&::MHD_get_timeout) get_timeout;
  decltype(&::MHD_get_daemon_info) get_daemon_info;
  decltype(&::MHD_get_connection_info) get_connection_info;
  decltype(&::MHD_suspend_connection) suspend_connection;
  decltype(&::MHD_resume_connection) resume_connection;
  decltype(&::MHD_lookup_connection_value) lookup_connection_value;
  decltype(&::MHD_create_response_from_buffer) create_response_from_buffer;
  decltype(&::MHD_destroy_response) destroy_response;
  decltype(&::MHD_add_response_header) add_response_header;
  decltype(&::MHD_queue_response) queue_response;
};

/// unavailable: the library is not there. Thread: any.
Result<void> load_mhd();
/// Once load_mhd() was ok. Thread: any.
const Mhd& mhd();

}  // namespace penstock::connectors::http
