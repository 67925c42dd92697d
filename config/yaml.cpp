// The only user of yaml-cpp; its exceptions, and our own that end a hostile file early, stop here.
#include "config/yaml.hpp"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <sstream>
#include <unordered_map>

#include "agent/base/log.hpp"
#include "agent/base/text.hpp"
#include "config/codes.hpp"
#include "config/excerpt.hpp"

namespace penstock::config {
namespace {

/// Ends the parse at once: yaml-cpp offers no other way out of its callbacks.
struct Refusal {
  Diagnostic diagnostic;
};

/// Finds places in a text by line and byte, as yaml-cpp counts.
class Lines {
 public:
  explicit Lines(std::string_view text) : text_(text) {
    starts_.push_back(0);
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '\n') starts_.push_back(i + 1);
    }
  }

  std::size_t offset(const YAML::Mark& mark) const {
    if (mark.line < 0 || static_cast<std::size_t>(mark.line) >= starts_.size()) return text_.size();
    const auto column = static_cast<std::size_t>(std::max(mark.column, 0));
    return std::min(starts_[static_cast<std::size_t>(mark.line)] + column, text_.size());
  }
  /// The characters from `offset` on, `bytes` of them or up to the end of the line.
  Mark mark(std::size_t offset, std::size_t bytes) const {
    const std::size_t line = line_of_offset(offset);
    const std::size_t start = starts_[line - 1];
    // A long line has many values, mostly asked for from left to right: go on from the last one.
    if (last_.start != start || offset < last_.offset) last_ = {start, start, 1};
    last_.column += characters(text_.substr(last_.offset, offset - last_.offset));
    last_.offset = offset;
    const int count = characters(text_.substr(offset, bytes));
    return {static_cast<int>(line), last_.column, last_.column + std::max(count, 1)};
  }
  std::string_view rest(std::size_t offset) const { return text_.substr(offset); }
  std::string_view rest_of_line(std::size_t offset) const {
    const std::size_t line = line_of_offset(offset);
    const std::size_t end = line < starts_.size() ? starts_[line] - 1 : text_.size();
    return text_.substr(offset, end - offset);
  }

 private:
  static int characters(std::string_view text) {
    return static_cast<int>(std::count_if(text.begin(), text.end(), [](char c) {
      return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    }));
  }

  std::size_t line_of_offset(std::size_t offset) const {
    const auto after = std::upper_bound(starts_.begin(), starts_.end(), offset);
    return static_cast<std::size_t>(after - starts_.begin());
  }

  std::string_view text_;
  std::vector<std::size_t> starts_;
  struct Counted {
    std::size_t start = 0;
    std::size_t offset = 0;
    int column = 1;
  };
  mutable Counted last_;
};

/// Where a quoted scalar that begins `text` ends; npos: nowhere.
std::size_t quoted_bytes(std::string_view text) {
  const char quote = text.front();
  for (std::size_t i = 1; i < text.size(); ++i) {
    if (quote == '"' && text[i] == '\\') {
      ++i;
    } else if (text[i] == quote) {
      if (quote == '"' || text.substr(i + 1, 1) != "'") return i + 1;
      ++i;
    }
  }
  return std::string_view::npos;
}

bool is_quoted(std::string_view text) {
  return !text.empty() && (text.front() == '"' || text.front() == '\'');
}

/// Bytes that a scalar without quotes takes on its first line.
std::size_t plain_bytes(std::string_view line, const std::string& value) {
  if (line.empty()) return 0;
  if (line.front() == '|' || line.front() == '>') return 1;
  if (line.substr(0, value.size()) == value) return value.size();
  return std::min(line.find_last_not_of(" \r"), line.size() - 1) + 1;
}

class Builder final : public YAML::EventHandler {
 public:
  Builder(const std::string& file, const Lines& lines, Diagnostics& diagnostics)
      : file_(std::make_shared<const std::string>(file)), lines_(lines), diagnostics_(diagnostics) {
    root_.kind = Node::Kind::map;
    root_.file = file_;
    root_.mark = root_.key_mark = {1, 1, 2};
  }

  Node take_root() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (has_begun_) {
      refuse(code::refused_yaml, lines_.mark(lines_.offset(mark), 3),
             "a second document begins here", "keep one document in a file: remove the \"---\"");
    }
    has_begun_ = true;
  }
  void OnDocumentEnd() override {}

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    refuse(code::refused_yaml, word(mark), "aliases (*name) are not taken here",
           "write the value out where it is needed");
  }
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    check(mark, anchor);
    Node node = new_node(Node::Kind::null, lines_.mark(lines_.offset(mark), 1));
    // The mark of a value that was left out is that of whatever comes next.
    if (!frames_.empty() && frames_.back().key) node.mark = frames_.back().key->mark;
    attach(std::move(node));
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    check(mark, anchor);
    const std::size_t offset = lines_.offset(mark);
    const std::string_view line = lines_.rest_of_line(offset);
    std::size_t bytes = 0;
    if (is_quoted(line)) {
      bytes = quoted_bytes(lines_.rest(offset));
      // yaml-cpp lets the end of the file close some of them.
      if (bytes == std::string_view::npos) {
        refuse(code::not_yaml, lines_.mark(offset, 1), "this quote is never closed", "");
      }
      bytes = std::min(bytes, line.size());
    } else {
      bytes = plain_bytes(line, value);
    }
    Node node = new_node(Node::Kind::scalar, lines_.mark(offset, bytes));
    // yaml-cpp makes single bytes of \N and \_, which stand for U+0085 and U+00A0.
    if (!is_valid_utf8(value)) {
      refuse(code::bad_character, node.mark, "an escape in this text gives no valid UTF-8",
             "write \\u0085 for \\N, and \\u00a0 for \\_");
    }
    node.is_plain = tag == "?";
    node.text = value;
    attach(std::move(node));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    start(Node::Kind::sequence, mark, anchor);
  }
  void OnSequenceEnd() override { end(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    start(Node::Kind::map, mark, anchor);
  }
  void OnMapEnd() override { end(); }

 private:
  struct Frame {
    Node node;
    std::optional<Node> key;
    std::unordered_map<std::string, Mark> seen;
  };

  [[noreturn]] void refuse(const char* code, Mark mark, std::string message, std::string help) {
    throw Refusal{Diagnostic{code,
                             Severity::error,
                             {*file_, mark.line, mark.column, mark.end_column},
                             "",
                             std::move(message),
                             std::move(help),
                             {}}};
  }
  Mark word(const YAML::Mark& mark) const {
    const std::size_t offset = lines_.offset(mark);
    const std::string_view line = lines_.rest_of_line(offset);
    return lines_.mark(offset, std::min(line.find_first_of(" ,]}"), line.size()));
  }
  /// yaml-cpp marks the first property of a node, so a tag or an anchor stands at the mark.
  void check(const YAML::Mark& mark, YAML::anchor_t anchor) {
    const std::size_t offset = lines_.offset(mark);
    if (anchor != 0) {
      refuse(code::refused_yaml, word(mark), "anchors (&name) are not taken here",
             "write the value out where it is needed");
    }
    if (lines_.rest_of_line(offset).substr(0, 1) == "!") {
      refuse(code::refused_yaml, word(mark), "tags (!name) are not taken here",
             "remove it: the type of a value follows from its key");
    }
  }

  Node new_node(Node::Kind kind, Mark mark) {
    if (++node_count_ > yaml_nodes_max) {
      refuse(code::too_large, mark, fmt::format("the file has more than {} values", yaml_nodes_max),
             "");
    }
    Node node;
    node.kind = kind;
    node.mark = mark;
    node.file = file_;
    return node;
  }
  void start(Node::Kind kind, const YAML::Mark& mark, YAML::anchor_t anchor) {
    check(mark, anchor);
    Node node = new_node(kind, lines_.mark(lines_.offset(mark), 1));
    if (frames_.size() >= yaml_depth_max) {
      refuse(code::too_large, node.mark,
             fmt::format("this is nested more than {} deep", yaml_depth_max), "");
    }
    if (is_key_due()) refuse_key(node);
    frames_.push_back({std::move(node), std::nullopt, {}});
  }
  void end() {
    Node node = std::move(frames_.back().node);
    frames_.pop_back();
    attach(std::move(node));
  }

  bool is_key_due() const {
    return !frames_.empty() && frames_.back().node.kind == Node::Kind::map && !frames_.back().key;
  }
  void refuse_key(const Node& node) {
    refuse(code::wrong_type, node.mark, "a key must be text",
           "text that begins with { or [ needs quotes, and each bracket its closing one");
  }

  void attach(Node node) {
    if (frames_.empty()) {
      root_ = std::move(node);
      return;
    }
    Frame& frame = frames_.back();
    if (is_key_due()) {
      if (node.kind != Node::Kind::scalar) refuse_key(node);
      if (node.text.size() > yaml_key_bytes_max) {
        refuse(code::too_large, node.mark,
               fmt::format("this key is longer than {} bytes", yaml_key_bytes_max), "");
      }
      frame.key = std::move(node);
      return;
    }
    if (frame.node.kind == Node::Kind::map && !take_key(frame, node)) return;
    frame.node.children.push_back(std::move(node));
  }
  /// false: the key was there before.
  bool take_key(Frame& frame, Node& node) {
    node.key = std::move(frame.key->text);
    node.key_mark = frame.key->mark;
    frame.key.reset();
    const auto [first, is_new] = frame.seen.try_emplace(node.key, node.key_mark);
    if (is_new) return true;
    const Mark& mark = first->second;
    diagnostics_.add({code::duplicate_key,
                      Severity::error,
                      node.key_place(),
                      "",
                      fmt::format("the key {} is here twice", penstock::quoted(node.key)),
                      "remove one of them",
                      {*file_, mark.line, mark.column, mark.end_column}});
    return false;
  }

  std::shared_ptr<const std::string> file_;  // shared with the nodes
  const Lines& lines_;
  Diagnostics& diagnostics_;
  std::vector<Frame> frames_;
  Node root_;
  std::size_t node_count_ = 0;
  bool has_begun_ = false;
};

/// What people can do about the parser's complaint.
std::string help_for(const std::string& complaint, std::string_view line) {
  const auto has = [&](std::string_view part) { return complaint.find(part) != std::string::npos; };
  const std::size_t indent = line.find_first_not_of(" \t");
  if (has("tab") || line.substr(0, indent).find('\t') != std::string_view::npos) {
    return "indent with spaces, not with tabs";
  }
  if (has("illegal map value")) return "a value with \": \" in it needs quotes";
  if (has("end of map") || has("end of sequence")) {
    return has("flow") ? "a \"}\" or \"]\" or a comma is missing before this place"
                       : "the indentation of this line fits to nothing above it";
  }
  if (has("EOF in scalar")) return "a closing quote is missing";
  if (has("unknown token") || has("CHAR_IN")) return "text that begins like this needs quotes";
  return "";
}

/// Positions of what yaml-cpp would take wrongly or slowly. nullopt: nothing.
std::optional<Diagnostic> refusal_before_parsing(const std::string& file, std::string_view text,
                                                 const Lines& lines) {
  const auto finding = [&](const char* code, std::size_t offset, std::string message,
                           std::string help) {
    const Mark mark = lines.mark(offset, 1);
    return Diagnostic{code, Severity::error,    {file, mark.line, mark.column, mark.end_column},
                      "",   std::move(message), std::move(help),
                      {}};
  };
  const std::size_t valid = valid_utf8_prefix(text);
  if (valid != text.size()) {
    return finding(code::bad_character, valid, "this is not valid UTF-8",
                   "save the file in the encoding UTF-8");
  }
  std::size_t openers = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    // 0x04 would even end the file silently: yaml-cpp uses it as its end mark.
    if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7F) {
      return finding(code::bad_character, i, fmt::format("the control character 0x{:02x}", c),
                     "write it as an escape in double quotes, as in \"\\x1b\"");
    }
    // yaml-cpp reads a flow collection to the end of its line before it reports anything, with
    // some 100 bytes of memory for each of these.
    if (c == '[' || c == '{' || c == ',') ++openers;
    if (openers > yaml_nodes_max) {
      return finding(code::too_large, i,
                     fmt::format("the file has more than {} values", yaml_nodes_max), "");
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<Node> parse_yaml(const std::string& file, std::string_view text,
                               Diagnostics& diagnostics) {
  if (text.size() > yaml_bytes_max) {
    diagnostics.add(
        {code::too_large, Severity::error, {file}, "", "the file is larger than 1 MiB", "", {}});
    return std::nullopt;
  }
  if (text.substr(0, 3) == "\xEF\xBB\xBF") text.remove_prefix(3);
  diagnostics.add_source(file, std::string(text));
  const Lines lines(text);
  if (auto refused = refusal_before_parsing(file, text, lines)) {
    diagnostics.add(*std::move(refused));
    return std::nullopt;
  }
  Builder builder(file, lines, diagnostics);
  try {
    std::istringstream in{std::string(text)};
    YAML::Parser parser(in);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (Refusal& refusal) {
    diagnostics.add(std::move(refusal.diagnostic));
    return std::nullopt;
  } catch (const YAML::Exception& e) {
    const Mark mark = e.mark.is_null() ? Mark{} : lines.mark(lines.offset(e.mark), 1);
    // It may name one byte of a character.
    std::string complaint;
    append_escaped(complaint, e.msg);
    diagnostics.add({code::not_yaml,
                     Severity::error,
                     {file, mark.line, mark.column, mark.end_column},
                     "",
                     fmt::format("this is not YAML: {}", complaint),
                     help_for(e.msg, line_of(text, mark.line)),
                     {}});
    return std::nullopt;
  }
  return builder.take_root();
}

}  // namespace penstock::config
