// Which address Paho connects to. It knows a broker by its name, against which it checks the
// certificate; this program looks the name up and answers Paho's own look-up with the address it
// has chosen.
#pragma once

#include <string>

namespace penstock::forward::paho {

/// From now on Paho finds this address, in digits, for `host`. Thread: any.
void use_address(const std::string& host, const std::string& digits);

}  // namespace penstock::forward::paho
