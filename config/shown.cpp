#include "config/shown.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "agent/base/text.hpp"
#include "config/excerpt.hpp"
#include "config/quantity.hpp"

namespace penstock::config {
namespace {

bool is_flow(const Node& node) {
  return std::all_of(node.children.begin(), node.children.end(),
                     [](const Node& child) { return child.kind == Node::Kind::scalar; });
}

/// Whether `text` without quotes would be read as the same text.
bool is_plain_text(std::string_view text) {
  constexpr std::string_view first =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_/.";
  if (text.empty() || first.find(text.front()) == std::string_view::npos) return false;
  if (text.find_first_not_of(std::string(first) + ":+-@") != std::string_view::npos) return false;
  const bool is_null = text == "null" || text == "Null" || text == "NULL";
  return text.back() != ':' && !is_null && core_kind(text) == ScalarKind::text;
}

std::string key_text(std::string_view key) {
  if (is_plain_text(key)) return std::string(key);
  std::string json;
  append_json_string(json, key);  // a JSON string is a YAML one too, but for these controls
  std::string out;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const auto byte = static_cast<unsigned char>(json[i]);
    // Every second byte behind C2 that is below A0 is one of U+0080 to U+009F.
    const bool is_c1 = byte == 0xc2 && static_cast<unsigned char>(json[i + 1]) < 0xa0;
    if (byte == 0x7f || is_c1) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned char>(is_c1 ? json[++i] : json[i]));
    } else {
      out += json[i];
    }
  }
  return out;
}

/// Unlike a key, a value would be expanded when it is read again.
std::string value_text(std::string_view text) {
  std::string out;
  for (const char c : key_text(with_masked_passwords(text))) out.append(c == '$' ? 2 : 1, c);
  return out;
}

std::string scalar_text(const Node& node) {
  const bool is_typed = node.is_plain && core_kind(node.text) != ScalarKind::text;
  return is_typed ? node.text : value_text(node.text);
}

class TextWriter {
 public:
  explicit TextWriter(Origin origin) : origin_(origin) {}

  void map(const Node& node, std::size_t indent, bool first_is_indented = false) {
    for (const Node& entry : node.children) {
      if (!first_is_indented) out_.append(indent, ' ');
      first_is_indented = false;
      out_ += key_text(entry.key) + ":";
      value(entry, indent + 2);
    }
  }
  std::string take() { return std::move(out_); }

 private:
  void end_line(const Node& node) {
    if (origin_ == Origin::shown) {
      const Place place = node.key_place();
      std::string file;
      append_escaped(file, place.file);
      out_ += fmt::format("  # {}:{}", file, place.line);
    }
    out_ += "\n";
  }

  void value(const Node& node, std::size_t indent) {
    if (node.kind == Node::Kind::scalar) {
      out_ += " " + scalar_text(node);
      end_line(node);
    } else if (node.children.empty()) {
      out_ += node.kind == Node::Kind::sequence ? " []" : " {}";
      end_line(node);
    } else if (node.kind == Node::Kind::sequence && is_flow(node)) {
      out_ += " [";
      for (const Node& item : node.children) {
        out_ += (&item == &node.children.front() ? "" : ", ") + scalar_text(item);
      }
      out_ += "]";
      end_line(node);
    } else if (node.kind == Node::Kind::sequence) {
      end_line(node);
      for (const Node& item : node.children) {
        out_.append(indent, ' ');
        out_ += "-";
        if (item.kind == Node::Kind::map && !item.children.empty()) {
          out_ += " ";
          map(item, indent + 2, true);
        } else {
          value(item, indent + 2);
        }
      }
    } else {
      end_line(node);
      map(node, indent);
    }
  }

  Origin origin_;
  std::string out_;
};

void append_json(std::string& out, const Node& node) {
  const bool is_map = node.kind == Node::Kind::map || node.kind == Node::Kind::null;
  if (node.kind != Node::Kind::scalar) {
    out += is_map ? '{' : '[';
    for (const Node& child : node.children) {
      if (&child != &node.children.front()) out += ',';
      if (is_map) {
        append_json_string(out, child.key);
        out += ':';
      }
      append_json(out, child);
    }
    out += is_map ? '}' : ']';
    return;
  }
  const ScalarKind kind = node.is_plain ? core_kind(node.text) : ScalarKind::text;
  const auto integer = parse_integer(node.text);
  const auto number = parse_number(node.text);
  if (kind == ScalarKind::boolean) {
    out += node.text.front() == 't' || node.text.front() == 'T' ? "true" : "false";
  } else if (kind == ScalarKind::integer && integer) {
    out += fmt::format("{}", *integer);
  } else if (kind == ScalarKind::number && number) {
    append_json_double(out, *number);
  } else {
    append_json_string(out, with_masked_passwords(node.text));
  }
}

}  // namespace

std::string shown_text(const Node& root, Origin origin) {
  TextWriter writer(origin);
  writer.map(root, 0);
  return writer.take();
}

std::string shown_json(const Node& root) {
  std::string out;
  append_json(out, root);
  return out;
}

}  // namespace penstock::config
