// Any bytes as a buffer's file: the page reader must stay inside them, whatever their numbers say.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "buffer/salvage.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const int fd = ::memfd_create("page_fuzz", MFD_CLOEXEC);
  if (fd < 0 || ::ftruncate(fd, 0) != 0) std::abort();
  if (::pwrite(fd, data, size, 0) != static_cast<ssize_t>(size)) std::abort();
  static const std::string path = "/proc/self/fd/" + std::to_string(fd);
  const auto salvage = penstock::buffer::Salvage::scan(path, {});
  if (!salvage.ok()) return 0;
  for (std::size_t i = 0; i < salvage->size(); ++i) {
    const auto row = salvage->row(i);
    if (!row.ok()) std::abort();  // the scan found its checksum right
    static_cast<void>(penstock::buffer::content_of(*row).ok());
  }
  return 0;
}
