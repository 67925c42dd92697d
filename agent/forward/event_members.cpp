#include "agent/forward/event_members.hpp"

#include <rapidjson/memorystream.h>
#include <rapidjson/reader.h>

#include "agent/base/text.hpp"

namespace penstock::forward {
namespace {

/// rapidjson's handler: one flat object. A callback that returns false ends the parsing.
class Collector : public rapidjson::BaseReaderHandler<rapidjson::UTF8<>, Collector> {
 public:
  explicit Collector(std::vector<Member>& members) : members_(members) {}

  std::size_t count() const { return count_; }

  bool Default() { return false; }
  bool StartObject() { return depth_++ == 0; }
  bool EndObject(rapidjson::SizeType) { return true; }
  bool Key(const char* text, rapidjson::SizeType size, bool) {
    if (count_ == members_.size()) members_.emplace_back();
    members_[count_++].name.assign(text, size);
    return true;
  }
  bool Null() { return value(Member::Kind::null, {}); }
  bool Bool(bool is_true) {
    if (!value(Member::Kind::boolean, {})) return false;
    members_[count_ - 1].is_true = is_true;
    return true;
  }
  bool RawNumber(const char* text, rapidjson::SizeType size, bool) {
    const std::string_view number(text, size);
    const bool is_real = number.find_first_of(".eE") != std::string_view::npos;
    return value(is_real ? Member::Kind::real : Member::Kind::integer, number);
  }
  bool String(const char* text, rapidjson::SizeType size, bool) {
    return value(Member::Kind::text, {text, size});
  }

 private:
  bool value(Member::Kind kind, std::string_view text) {
    if (count_ == 0) return false;  // the root is no object
    members_[count_ - 1].kind = kind;
    members_[count_ - 1].text = text;
    return true;
  }

  std::vector<Member>& members_;
  std::size_t count_ = 0;
  int depth_ = 0;
};

}  // namespace

Result<void> read_members(std::string_view event, std::vector<Member>& members) {
  rapidjson::MemoryStream stream(event.data(), event.size());
  rapidjson::Reader reader;
  Collector collector(members);
  if (!reader.Parse<rapidjson::kParseNumbersAsStringsFlag>(stream, collector)) {
    return Error{Errc::corrupt, "a stored event is no flat JSON object"};
  }
  members.resize(collector.count());
  return {};
}

Result<std::int64_t> time_of(const std::vector<Member>& members) {
  if (members.size() < opening_count || members[time_at].name != "time" ||
      members[seq_at].kind != Member::Kind::integer) {
    return Error{Errc::corrupt, "a stored event does not open as it should"};
  }
  const auto time_us = parse_time(members[time_at].text);
  if (!time_us) return Error{Errc::corrupt, "a stored event has no time"};
  return *time_us;
}

}  // namespace penstock::forward
