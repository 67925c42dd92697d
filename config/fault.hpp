// Fault: what is wrong with a value, and what to do; a finding without its place.
#pragma once

#include <string>

namespace penstock::config {

struct Fault {
  std::string message;
  std::string help;
  std::string part;  ///< the piece of the value that the caret shows; "" = all of it
};

}  // namespace penstock::config
