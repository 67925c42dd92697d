#include <fmt/format.h>

#include <cstdint>
#include <cstring>

#include "agent/base/text.hpp"
#include "agent/cli/receive_formats.hpp"

namespace penstock::cli {
namespace {

// RFC 8949, 3.1 and 3.3.
enum Major : unsigned {
  unsigned_integer = 0,
  negative_integer = 1,
  text = 3,
  array = 4,
  map = 5,
  simple = 7
};
constexpr unsigned simple_false = 20;
constexpr unsigned simple_true = 21;
constexpr unsigned simple_null = 22;
constexpr unsigned float64 = 27;

struct Head {
  unsigned major = 0;
  unsigned info = 0;  ///< the low five bits of the first byte
  std::uint64_t value = 0;
};

class CborReader {
 public:
  CborReader(std::string_view payload, std::string& out) : payload_(payload), out_(out) {}

  /// False: wrong() says why.
  bool batch();
  const char* wrong() const { return wrong_; }
  std::size_t position() const { return at_; }

 private:
  bool fail(const char* what) {
    wrong_ = what;
    return false;
  }
  bool head(Head& out);
  bool event();
  bool string(const Head& opening);
  bool value();

  std::string_view payload_;
  std::string& out_;
  std::size_t at_ = 0;
  const char* wrong_ = "the data ends in the middle";
};

bool CborReader::head(Head& out) {
  if (at_ == payload_.size()) return false;
  const auto first = static_cast<unsigned char>(payload_[at_++]);
  out.major = first >> 5U;
  out.info = first & 31U;
  out.value = out.info;
  if (out.info < 24) return true;
  if (out.info > 27) return fail("a length that is not given");
  const std::size_t bytes = std::size_t{1} << (out.info - 24U);
  if (payload_.size() - at_ < bytes) return false;
  out.value = 0;
  for (std::size_t i = 0; i < bytes; ++i) {
    out.value = out.value << 8U | static_cast<unsigned char>(payload_[at_++]);
  }
  return true;
}

/// Every element takes at least a byte, so wrong counts end with the data.
bool CborReader::batch() {
  Head opening;
  if (!head(opening)) return false;
  if (opening.major != Major::array) return fail("not an array");
  out_ += '[';
  for (std::uint64_t i = 0; i < opening.value; ++i) {
    if (i != 0) out_ += ',';
    if (!event()) return false;
  }
  out_ += ']';
  return at_ == payload_.size() || fail("more bytes behind the array");
}

bool CborReader::event() {
  Head opening;
  if (!head(opening)) return false;
  if (opening.major != Major::map) return fail("an event that is no map");
  out_ += '{';
  for (std::uint64_t i = 0; i < opening.value; ++i) {
    if (i != 0) out_ += ',';
    Head name;
    if (!head(name)) return false;
    if (name.major != Major::text) return fail("a name that is no text");
    if (!string(name)) return false;
    out_ += ':';
    if (!value()) return false;
  }
  out_ += '}';
  return true;
}

bool CborReader::string(const Head& opening) {
  if (payload_.size() - at_ < opening.value) return false;
  const std::string_view inside = payload_.substr(at_, opening.value);
  if (!append_json_string(out_, inside)) return fail("a text that is not UTF-8");
  at_ += inside.size();
  return true;
}

bool CborReader::value() {
  Head opening;
  if (!head(opening)) return false;
  switch (opening.major) {
    case Major::unsigned_integer: out_ += fmt::format_int(opening.value).str(); return true;
    case Major::negative_integer:
      if (opening.value == UINT64_MAX) return fail("a number below -2^64 + 1");
      out_ += '-';
      out_ += fmt::format_int(opening.value + 1).str();
      return true;
    case Major::text: return string(opening);
    case Major::simple: break;
    default: return fail("a value of a kind that no event has");
  }
  switch (opening.info) {
    case simple_false: out_ += "false"; return true;
    case simple_true: out_ += "true"; return true;
    case simple_null: out_ += "null"; return true;
    case float64: {
      double number = 0;
      std::memcpy(&number, &opening.value, sizeof number);
      append_json_double(out_, number);
      return true;
    }
    default: return fail("a value of a kind that no event has");
  }
}

}  // namespace

Result<void> cbor_to_json(std::string_view payload, std::string& out) {
  CborReader reader(payload, out);
  if (reader.batch()) return {};
  return Error{Errc::invalid,
               fmt::format("CBOR: {} at byte {}", reader.wrong(), reader.position())};
}

}  // namespace penstock::cli
