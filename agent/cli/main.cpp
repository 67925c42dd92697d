// The program `penstock`.
#include <unistd.h>

#include <cstdio>
#include <exception>

#include "agent/cli/commands.hpp"
#include "agent/cli/standard_files.hpp"
#include "agent/daemon/exit_code.hpp"
#include "agent/forward/tls.hpp"

namespace {

/// The last line of a program that a library has failed: no core, no trace; the store is
/// crash-safe.
[[noreturn]] void end_by_exception() {
  const std::exception_ptr current = std::current_exception();
  try {
    if (current) std::rethrow_exception(current);
    std::fputs("penstock: internal error: terminated\n", stderr);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "penstock: internal error: %s\n", error.what());
  } catch (...) {
    std::fputs("penstock: internal error: unknown exception\n", stderr);
  }
  ::_exit(penstock::daemon::exit_internal);
}

}  // namespace

int main(int argc, char** argv) {
  std::set_terminate(end_by_exception);
  penstock::cli::keep_standard_files();
  penstock::forward::keep_tls_at_exit();
  return penstock::cli::run_command_line(argc, argv);
}
