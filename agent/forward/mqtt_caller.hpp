// Who calls a function of a library that this program has taken over.
#pragma once

#include <dlfcn.h>

namespace penstock::forward::paho {

/// Whether both are code of one library.
inline bool are_neighbours(const void* one, const void* other) {
  Dl_info first{};
  Dl_info second{};
  return ::dladdr(one, &first) != 0 && ::dladdr(other, &second) != 0 &&
         first.dli_fbase == second.dli_fbase;
}

}  // namespace penstock::forward::paho
