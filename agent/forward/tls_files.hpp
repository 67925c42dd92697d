// The files that TLS needs: whether they can be read, said before OpenSSL says it less clearly.
#pragma once

#include "agent/base/result.hpp"
#include "agent/forward/mqtt_options.hpp"

namespace penstock::forward {

/// invalid: names the option and the file that cannot be read.
Result<void> check_tls_files(const TlsFiles& files);

}  // namespace penstock::forward
