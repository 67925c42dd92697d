#include "agent/cli/standard_files.hpp"

#include <fcntl.h>
#include <unistd.h>

#include "agent/daemon/exit_code.hpp"

namespace penstock::cli {

void keep_standard_files() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0) continue;
    // Input and output the other way round, so that their use is an error; nobody is there to be
    // told of one. The lowest free number is `fd`.
    const int mode = fd == STDOUT_FILENO ? O_RDONLY : O_WRONLY;
    if (::open("/dev/null", mode) != fd) ::_exit(daemon::exit_io);
  }
}

}  // namespace penstock::cli
