// Request: one HTTP request from its headers to its answer.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "connectors/http/body.hpp"
#include "connectors/http/mhd.hpp"

namespace penstock::connectors::http {

/// An answer that is decided. reason: a literal, or "".
struct Answer {
  unsigned status = 0;  ///< 0 = not yet
  std::string text = {};
  unsigned retry_after_s = 0;  ///< 0 = not said
  bool is_repeat = false;
};

struct Request {
  enum class State { receiving, waiting, answered } state = State::receiving;
  MHD_Connection* connection = nullptr;
  std::int64_t deadline_us = 0;     ///< for what the state waits for
  Packing packing = Packing::none;  ///< of the body
  support::DecodeOptions decode;
  std::string idempotency_key;
  std::string body;
  std::uint64_t ticket = 0;  ///< at the desk
  Answer answer;
};

/// A header's value, or "".
std::string_view header(MHD_Connection* connection, const char* name);
std::string_view query(MHD_Connection* connection, const char* name);

/// Sends `answer` (with is_last: and closes the connection then).
MHD_Result send_answer(MHD_Connection* connection, const Answer& answer, bool is_last);

}  // namespace penstock::connectors::http
