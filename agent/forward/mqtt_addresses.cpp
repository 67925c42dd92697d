#include "agent/forward/mqtt_addresses.hpp"

#include <dlfcn.h>
#include <netdb.h>

#include <map>
#include <mutex>

namespace penstock::forward::paho {
namespace {

struct Chosen {
  std::mutex mutex;  // guards: addresses
  std::map<std::string, std::string, std::less<>> addresses;
};

Chosen& chosen() {
  static Chosen* const one = new Chosen;  // never destroyed: Paho's threads may outlive statics
  return *one;
}

std::string address_of(const char* host) {
  const std::lock_guard lock(chosen().mutex);
  const auto at = chosen().addresses.find(std::string_view(host));
  return at == chosen().addresses.end() ? std::string() : at->second;
}

}  // namespace

void use_address(const std::string& host, const std::string& digits) {
  const std::lock_guard lock(chosen().mutex);
  chosen().addresses[host] = digits;
}

}  // namespace penstock::forward::paho

/// Paho C 1.3.12 (Socket_new) looks names up under the lock that all its clients share, and takes
/// one address only, so that a name service that hangs would hold up whoever closes a connection,
/// and a dead address would hide those beside it. Only Paho asks with hints and without a service;
/// all other look-ups pass.
extern "C" int getaddrinfo(const char* __restrict name, const char* __restrict service,
                           const addrinfo* __restrict hints, addrinfo** __restrict result) {
  using Function = int(const char*, const char*, const addrinfo*, addrinfo**);
  static auto* const real = reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, "getaddrinfo"));
  if (real == nullptr) return EAI_FAIL;
  if (name == nullptr || service != nullptr || hints == nullptr) {
    return real(name, service, hints, result);
  }
  const std::string digits = penstock::forward::paho::address_of(name);
  return real(digits.empty() ? name : digits.c_str(), service, hints, result);
}
