#include "connectors/http/request.hpp"

#include <memory>

namespace penstock::connectors::http {

std::string_view header(MHD_Connection* connection, const char* name) {
  const char* value = mhd().lookup_connection_value(connection, MHD_HEADER_KIND, name);
  return value == nullptr ? std::string_view() : std::string_view(value);
}

std::string_view query(MHD_Connection* connection, const char* name) {
  const char* value = mhd().lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, name);
  return value == nullptr ? std::string_view() : std::string_view(value);
}

MHD_Result send_answer(MHD_Connection* connection, const Answer& answer, bool is_last) {
  std::string body = answer.text;
  if (!body.empty()) body += '\n';
  const std::unique_ptr<MHD_Response, decltype(&::MHD_destroy_response)> response(
      mhd().create_response_from_buffer(body.size(), body.data(), MHD_RESPMEM_MUST_COPY),
      mhd().destroy_response);
  if (!response) return MHD_NO;
  const auto add = [&](const char* name, const std::string& value) {
    mhd().add_response_header(response.get(), name, value.c_str());
  };
  if (!body.empty()) add("Content-Type", "text/plain; charset=utf-8");
  add("X-Content-Type-Options", "nosniff");
  if (answer.retry_after_s > 0) add("Retry-After", std::to_string(answer.retry_after_s));
  if (answer.is_repeat) add("Idempotent-Replayed", "true");
  if (answer.status == MHD_HTTP_UNAUTHORIZED) add("WWW-Authenticate", "Basic realm=\"penstock\"");
  if (answer.status == MHD_HTTP_METHOD_NOT_ALLOWED) add("Allow", "POST");
  if (is_last) add("Connection", "close");
  return mhd().queue_response(connection, answer.status, response.get());
}

}  // namespace penstock::connectors::http
