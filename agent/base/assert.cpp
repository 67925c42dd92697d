#include "agent/base/assert.hpp"

#include <cstdio>
#include <cstdlib>

namespace penstock {

void assert_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "penstock: broken invariant: %s (%s:%d)\n", expression, file, line);
  std::abort();
}

}  // namespace penstock
