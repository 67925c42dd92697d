#include "agent/forward/mqtt_addresses.hpp"

#include <dlfcn.h>
#include <netdb.h>

#include <map>
#include <mutex>
#include <string_view>

#include "agent/forward/mqtt_caller.hpp"

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

/// Paho C 1.3.12 (MQTTProtocol_connect) goes through the proxies of these variables, whatever the
/// broker and `no_proxy`, unless its options name another one: they cannot say none. All others get
/// what is there.
extern "C" char* getenv(const char* name) noexcept {
  using penstock::forward::paho::are_neighbours;
  using Function = char*(const char*);
  static auto* const real = reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, "getenv"));
  if (real == nullptr) return nullptr;
  const std::string_view asked(name);
  if (asked == "http_proxy" || asked == "https_proxy") {
    static const void* const paho = ::dlsym(RTLD_DEFAULT, "MQTTAsync_connect");
    if (are_neighbours(__builtin_return_address(0), paho)) return nullptr;
  }
  return real(name);
}
