#include "connectors/exec/protocol.hpp"

#include <rapidjson/memorystream.h>
#include <rapidjson/reader.h>

#include "agent/base/text.hpp"
#include "connectors/api/event.hpp"

namespace penstock::connectors::exec {
namespace {

namespace json = rapidjson;

/// Takes the members of the outermost object, and remembers where the array of events lies.
class Handler : public json::BaseReaderHandler<json::UTF8<>, Handler> {
 public:
  Handler(std::string_view line, const json::MemoryStream& stream) : line_(line), stream_(stream) {}

  CursorLine result;
  std::string_view why = "not an object with events or a position";

  bool Default() {
    return is_inside() && !is_member_value("events") && !is_member_value("position") &&
           !is_member_value("lost");
  }
  bool String(const char* text, json::SizeType size, bool) {
    if (!is_member_value("position")) return Default();
    if (size > Chunk::position_bytes_max) return refuse("a position over 4096 bytes");
    result.position.emplace(text, size);
    return true;
  }
  bool Uint(unsigned number) { return Uint64(number); }
  bool Uint64(std::uint64_t number) {
    if (!is_member_value("lost")) return Default();
    result.lost = number;
    return true;
  }
  bool Key(const char* text, json::SizeType size, bool) {
    if (depth_ == 1) key_.assign(text, size);
    return true;
  }
  bool StartObject() {
    if (depth_ == 0 || Default()) {
      ++depth_;
      return true;
    }
    return false;
  }
  bool EndObject(json::SizeType) { return leave(); }
  bool StartArray() {
    if (is_member_value("events")) {
      events_from_ = stream_.Tell();  // at the bracket: the parser takes it afterwards
    } else if (!Default()) {
      return false;
    }
    ++depth_;
    return true;
  }
  bool EndArray(json::SizeType) {
    leave();
    if (is_member_value("events")) {
      result.events = line_.substr(events_from_, stream_.Tell() + 1 - events_from_);
    }
    return true;
  }

 private:
  bool is_inside() const { return depth_ > 0; }
  bool is_member_value(std::string_view name) const { return depth_ == 1 && key_ == name; }
  bool leave() {
    --depth_;
    return true;
  }
  bool refuse(std::string_view reason) {
    why = reason;
    return false;
  }

  std::string_view line_;
  const json::MemoryStream& stream_;
  int depth_ = 0;
  std::string key_;  // of the outermost object
  std::size_t events_from_ = 0;
};

}  // namespace

std::optional<CursorLine> parse_cursor_line(std::string_view line, std::string_view& why) {
  json::MemoryStream stream(line.data(), line.size());
  Handler handler(line, stream);
  json::Reader reader;
  // Iterative: nested brackets must not use up the stack.
  constexpr unsigned flags = json::kParseIterativeFlag | json::kParseValidateEncodingFlag;
  if (reader.Parse<flags>(stream, handler).IsError()) {
    why = reader.GetParseErrorCode() == json::kParseErrorTermination ? handler.why : "not JSON";
    return std::nullopt;
  }
  return std::move(handler.result);
}

std::string position_line(const std::optional<std::string>& position) {
  std::string out = "{\"position\":";
  if (position) {
    append_json_string(out, *position);
  } else {
    out += "null";
  }
  return out + "}\n";
}

std::string ack_line(std::string_view position) {
  std::string out = "{\"ack\":";
  append_json_string(out, position);
  return out + "}\n";
}

}  // namespace penstock::connectors::exec
