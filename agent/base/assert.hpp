// PENSTOCK_ASSERT: a broken invariant of our own ends the process, in release builds too.
// Never used for failures that come from outside.
#pragma once

namespace penstock {

[[noreturn]] void assert_failed(const char* expression, const char* file, int line);

}  // namespace penstock

#define PENSTOCK_ASSERT(expression)                     \
  (static_cast<bool>(expression) ? static_cast<void>(0) \
                                 : ::penstock::assert_failed(#expression, __FILE__, __LINE__))
