#include "agent/cli/buffer_frame.hpp"

#include "agent/cli/buffer_access.hpp"

namespace penstock::cli {

bool PrintingSink::line(std::string_view json) {
  bar_.clear();
  if (show_ == nullptr) {
    print(json);
  } else {
    rapidjson::Document document;
    document.Parse(json.data(), json.size());
    if (!document.HasParseError() && document.IsObject()) show_(document);
  }
  return std::ferror(stdout) == 0;
}

bool PrintingSink::progress(std::uint64_t done, std::uint64_t total) {
  bar_.update(done, total);
  return std::ferror(stdout) == 0;
}

void run_buffer_request(BufferFrame& frame, const daemon::ControlRequest& request,
                        std::string_view what, PrintingSink::Show show) {
  PrintingSink sink(frame.globals, what, show);
  const daemon::Answer answer = access_buffer(frame.globals, frame.dir, request, sink);
  sink.end();
  if (!answer.text.empty()) complain(answer.text);
  frame.exit_code = finish_output(answer.exit_code);
}

std::string text_of(const rapidjson::Value& object, const char* name) {
  const auto found = object.FindMember(name);
  if (found == object.MemberEnd() || !found->value.IsString()) return {};
  return {found->value.GetString(), found->value.GetStringLength()};
}

std::uint64_t number_of(const rapidjson::Value& object, const char* name) {
  const auto found = object.FindMember(name);
  return found == object.MemberEnd() || !found->value.IsUint64() ? 0 : found->value.GetUint64();
}

}  // namespace penstock::cli
