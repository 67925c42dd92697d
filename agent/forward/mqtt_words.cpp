#include "agent/forward/mqtt_words.hpp"

#include <MQTTProperties.h>
#include <dlfcn.h>

#include <string_view>
#include <utility>

#include "agent/base/log.hpp"
#include "agent/base/text.hpp"
#include "agent/forward/mqtt_caller.hpp"

namespace penstock::forward::paho {
namespace {

// Together they leave room for the rest of a message in one line of the log.
constexpr std::size_t server_bytes_max = 80;
constexpr std::size_t text_bytes_max = 100;

thread_local std::function<void(const std::string&)> awaiting;

std::string words(std::string_view text, std::string_view server) {
  std::string out;
  if (!server.empty()) {
    out = "; it names " + penstock::quoted(cut_at_character(server, server_bytes_max)) +
          ", not followed: set the broker's URL to it if it is right";
  }
  if (!text.empty()) out += ": " + penstock::quoted(cut_at_character(text, text_bytes_max));
  return out;
}

std::string_view text_of(MQTTProperties* properties, MQTTPropertyCodes code) {
  const MQTTProperty* const found = ::MQTTProperties_getProperty(properties, code);
  if (found == nullptr || found->value.data.data == nullptr || found->value.data.len < 0) return {};
  return {found->value.data.data, static_cast<std::size_t>(found->value.data.len)};
}

}  // namespace

std::string words_of(const mqtt::properties& properties) {
  const auto text_of = [&properties](mqtt::property::code code) {
    return properties.contains(code) ? mqtt::get<std::string>(properties, code) : std::string();
  };
  return words(text_of(mqtt::property::REASON_STRING), text_of(mqtt::property::SERVER_REFERENCE));
}

void await_words(std::function<void(const std::string& words)> then) { awaiting = std::move(then); }

}  // namespace penstock::forward::paho

/// Paho C 1.3.12 (nextOrClose) tells a refused connection without the CONNACK's properties, and
/// frees them right after, on the same thread: there they can still be read. Others free theirs in
/// between, so it has to be Paho C that calls.
extern "C" void MQTTProperties_free(MQTTProperties* properties) {
  using namespace penstock::forward::paho;
  using Function = void(MQTTProperties*);
  static auto* const real = reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, "MQTTProperties_free"));
  if (real == nullptr) return;
  if (awaiting && are_neighbours(__builtin_return_address(0), reinterpret_cast<void*>(real))) {
    const auto then = std::exchange(awaiting, nullptr);
    then(words(text_of(properties, MQTTPROPERTY_CODE_REASON_STRING),
               text_of(properties, MQTTPROPERTY_CODE_SERVER_REFERENCE)));
  }
  real(properties);
}
