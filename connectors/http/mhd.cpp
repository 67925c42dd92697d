#include "connectors/http/mhd.hpp"

#include "connectors/support/shared_library.hpp"

namespace penstock::connectors::http {
namespace {

Mhd functions;  // does not change any more once they are loaded

Result<void> find_all() {
  PENSTOCK_TRY_ASSIGN(const auto library,
                      support::SharedLibrary::load("libmicrohttpd.so.12", "libmicrohttpd12"));
  PENSTOCK_TRY(library.find("MHD_start_daemon", functions.start_daemon));
  PENSTOCK_TRY(library.find("MHD_stop_daemon", functions.stop_daemon));
  PENSTOCK_TRY(library.find("MHD_run", functions.run));
  PENSTOCK_TRY(library.find("MHD_run_wait", functions.run_wait));
  PENSTOCK_TRY(library.find("MHD_get_timeout", functions.get_timeout));
  PENSTOCK_TRY(library.find("MHD_get_daemon_info", functions.get_daemon_info));
  PENSTOCK_TRY(library.find("MHD_get_connection_info", functions.get_connection_info));
  PENSTOCK_TRY(library.find("MHD_suspend_connection", functions.suspend_connection));
  PENSTOCK_TRY(library.find("MHD_resume_connection", functions.resume_connection));
  PENSTOCK_TRY(library.find("MHD_lookup_connection_value", functions.lookup_connection_value));
  PENSTOCK_TRY(
      library.find("MHD_create_response_from_buffer", functions.create_response_from_buffer));
  PENSTOCK_TRY(library.find("MHD_destroy_response", functions.destroy_response));
  PENSTOCK_TRY(library.find("MHD_add_response_header", functions.add_response_header));
  PENSTOCK_TRY(library.find("MHD_queue_response", functions.queue_response));
  return {};
}

}  // namespace

Result<void> load_mhd() {
  static support::Once once;
  return once.run(find_all);
}

const Mhd& mhd() { return functions; }

}  // namespace penstock::connectors::http
