#include "connectors/support/shared_library.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

namespace penstock::connectors::support {

Result<SharedLibrary> SharedLibrary::load(const char* soname, const char* package) {
  if (void* const handle = ::dlopen(soname, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE)) {
    return SharedLibrary(handle);
  }
  return Error{Errc::unavailable,
               fmt::format("the library {} cannot be loaded: is the package {} installed? ({})",
                           soname, package, ::dlerror())};
}

Result<void*> SharedLibrary::address_of(const char* symbol) const {
  if (void* const found = ::dlsym(handle_, symbol)) return found;
  return Error{Errc::unavailable, fmt::format("the library is too old: {}", ::dlerror())};
}

}  // namespace penstock::connectors::support
