// TLS said plainly: whether its files can be read, and why a handshake fails. Paho tells neither.
#pragma once

#include <cstdint>
#include <string>

#include "agent/base/result.hpp"
#include "agent/forward/mqtt_options.hpp"

namespace penstock::forward {

/// invalid: names the option and the file that cannot be read. unavailable: what is in them cannot
/// be used, or the key's password is wrong.
Result<void> check_tls_files(const TlsFiles& files);

/// The end of the first certificate in a PEM file, in µs since 1970.
Result<std::int64_t> certificate_end(const std::string& file);

/// A handshake on a connected, blocking socket, with the checks that the real connection makes.
/// Blocks for as long as the socket's own timeouts allow. unavailable: says what is wrong.
Result<void> try_tls(int socket, const std::string& host, const TlsFiles& files);

}  // namespace penstock::forward
