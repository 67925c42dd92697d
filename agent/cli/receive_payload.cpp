#include "agent/cli/receive_payload.hpp"

#include <fmt/format.h>

#include <array>
#include <limits>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "agent/base/text.hpp"

namespace penstock::cli {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Walks over a payload. After a failure `wrong` says why and the position is where.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  bool batch(std::vector<ReceivedEvent>& out);
  std::size_t position() const { return at_; }
  const char* wrong() const { return wrong_; }

 private:
  bool fail(const char* what) {
    wrong_ = what;
    return false;
  }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool take(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  bool take(std::string_view word) {
    if (text_.compare(at_, word.size(), word) != 0) return false;
    at_ += word.size();
    return true;
  }

  bool event(ReceivedEvent& out);
  bool named_text(std::string_view opening, std::string_view& value);
  bool member(EventIdentity& identity);
  bool string(std::string_view& inside);
  bool escape();
  bool value();
  bool number();
  bool digits();
  bool natural(std::uint64_t& value);

  std::string_view text_;
  std::size_t at_ = 0;
  const char* wrong_ = "not JSON";
};

bool Scanner::batch(std::vector<ReceivedEvent>& out) {
  if (!take('[')) return fail("not a JSON array");
  do {
    ReceivedEvent received;
    if (!event(received)) return false;
    out.push_back(received);
  } while (take(','));
  if (!take(']')) return fail("expected ',' or ']' after an event");
  if (at_ != text_.size()) return fail("more bytes after the array");
  return true;
}

bool Scanner::event(ReceivedEvent& out) {
  const std::size_t start = at_;
  EventIdentity& id = out.identity;
  std::string_view time;
  if (!named_text("{\"time\":\"", time) || !named_text(",\"device\":\"", id.device) ||
      !named_text(",\"stream\":\"", id.stream) || !named_text(",\"epoch\":\"", id.epoch)) {
    return false;
  }
  if (!take(",\"seq\":")) return fail("an event opens with time, device, stream, epoch, seq");
  if (!natural(id.seq)) return fail("seq is not a whole number below 2^64");
  while (take(',')) {
    if (!member(id)) return false;
  }
  if (!take('}')) return fail("expected ',' or '}' in an event");
  const std::uint64_t covers = id.lost == 0 ? 1 : id.lost;
  if (covers > std::numeric_limits<std::uint64_t>::max() - id.seq)
    return fail("seq + lost is too large");
  out.text = text_.substr(start, at_ - start);
  id.hash = XXH3_64bits(out.text.data(), out.text.size());
  return true;
}

bool Scanner::named_text(std::string_view opening, std::string_view& value) {
  if (!take(opening)) return fail("an event opens with time, device, stream, epoch, seq");
  --at_;
  return string(value);
}

/// Any member behind seq.
bool Scanner::member(EventIdentity& identity) {
  constexpr std::array<std::string_view, 5> opening{"time", "device", "stream", "epoch", "seq"};
  std::string_view name;
  if (!string(name)) return false;
  if (!take(':')) return fail("expected ':' after a name");
  if (name == "lost") {
    if (identity.is_loss_record) return fail("a member that comes twice");
    identity.is_loss_record = true;
    return natural(identity.lost) || fail("lost is not a whole number");
  }
  for (const std::string_view taken : opening) {
    if (name == taken) return fail("a member that comes twice");
  }
  return value();
}

bool Scanner::string(std::string_view& inside) {
  if (!take('"')) return fail("expected '\"'");
  const std::size_t start = at_;
  while (at_ < text_.size()) {
    const auto c = static_cast<unsigned char>(text_[at_]);
    if (c == '"') {
      inside = text_.substr(start, at_ - start);
      ++at_;
      return true;
    }
    if (c < 0x20) return fail("a control character inside a string");
    ++at_;
    if (c == '\\' && !escape()) return fail("a bad escape");
  }
  return fail("a string without end");
}

bool Scanner::escape() {
  const char c = peek();
  ++at_;
  if (c != 'u') return std::string_view("\"\\/bfnrt").find(c) != std::string_view::npos;
  for (int i = 0; i < 4; ++i, ++at_) {
    const char digit = peek();
    if (!is_digit(digit) && !(digit >= 'a' && digit <= 'f') && !(digit >= 'A' && digit <= 'F')) {
      return false;
    }
  }
  return true;
}

bool Scanner::value() {
  switch (peek()) {
    case '"': {
      std::string_view ignored;
      return string(ignored);
    }
    case 't': return take("true") || fail("not a value");
    case 'f': return take("false") || fail("not a value");
    case 'n': return take("null") || fail("not a value");
    case '{':
    case '[': return fail("a nested value");
    default: return number() || fail("not a value");
  }
}

bool Scanner::number() {
  take('-');
  if (take('0')) {
    if (is_digit(peek())) return false;
  } else if (!digits()) {
    return false;
  }
  if (take('.') && !digits()) return false;
  if (take('e') || take('E')) {
    if (!take('+')) take('-');
    return digits();
  }
  return true;
}

bool Scanner::digits() {
  const std::size_t start = at_;
  while (is_digit(peek())) ++at_;
  return at_ != start;
}

bool Scanner::natural(std::uint64_t& value) {
  constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
  const std::size_t start = at_;
  value = 0;
  while (is_digit(peek())) {
    const auto digit = static_cast<std::uint64_t>(peek() - '0');
    if (value > most / 10 || value * 10 > most - digit) return false;
    value = value * 10 + digit;
    ++at_;
  }
  const bool has_leading_zero = at_ - start > 1 && text_[start] == '0';
  return at_ != start && !has_leading_zero;
}

}  // namespace

Result<void> read_batch(std::string_view payload, std::vector<ReceivedEvent>& out) {
  const std::size_t before = out.size();
  Scanner scanner(payload);
  if (!scanner.batch(out)) {
    out.resize(before);
    return Error{Errc::invalid, fmt::format("{} at byte {}", scanner.wrong(), scanner.position())};
  }
  if (const std::size_t valid = valid_utf8_prefix(payload); valid != payload.size()) {
    out.resize(before);
    return Error{Errc::invalid, fmt::format("not UTF-8 at byte {}", valid)};
  }
  return {};
}

}  // namespace penstock::cli
