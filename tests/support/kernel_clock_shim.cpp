// Stands between a program and adjtimex(2): whether the kernel calls the clock synchronised is said
// by a file, which is there or not (PENSTOCK_SHIM_SYNCED). No machine's own clock is touched.
#include <sys/timex.h>
#include <unistd.h>

#include <cstdlib>

extern "C" int adjtimex(timex* state) noexcept {
  const char* const file = std::getenv("PENSTOCK_SHIM_SYNCED");
  const bool is_synced = file != nullptr && ::access(file, F_OK) == 0;
  *state = {};
  state->status = is_synced ? STA_PLL : STA_UNSYNC;
  return is_synced ? TIME_OK : TIME_ERROR;
}
