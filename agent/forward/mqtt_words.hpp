// What a broker says beside a reason code. Of a refused connection Paho hands on the code alone.
#pragma once

#include <mqtt/properties.h>

#include <functional>
#include <string>

namespace penstock::forward::paho {

/// Another server that is named, with what to do about it, and the broker's own words, to be put
/// behind the code's text; "": nothing. Cut and escaped: fit for a log.
std::string words_of(const mqtt::properties& properties);

/// From within the callback that tells a CONNACK's refusal: `then` is called on the same thread as
/// soon as that callback has returned, with the words of that CONNACK.
void await_words(std::function<void(const std::string& words)> then);

}  // namespace penstock::forward::paho
