// The JSON Schema of the file, made of the option tables, for editors and validators.
#include <fmt/format.h>
#include <rapidjson/prettywriter.h>
#include <rapidjson/stringbuffer.h>

#include "config/agent_config.hpp"
#include "config/quantity.hpp"
#include "config/yaml.hpp"

namespace penstock::config {
namespace {

class SchemaWriter {
 public:
  std::string take() { return buffer_.GetString(); }

  void file(std::span<const TypeOptions> types) {
    writer_.StartObject();
    text("$schema", "https://json-schema.org/draft/2020-12/schema");
    text("title", "penstock configuration");
    text("description",
         "Where a number, a boolean or a choice is due, a string with ${VAR} is taken too: it is "
         "checked once the variable is known.");
    text("type", "object");
    key("properties");
    writer_.StartObject();
    key("version");
    writer_.StartObject();
    text("description", "Version of this format");
    key("const");
    writer_.Int(1);
    writer_.EndObject();
    for (const Option& section : root_options()) property(section);
    connectors(types);
    writer_.EndObject();
    closed();
    definitions(types);
    writer_.EndObject();
  }

 private:
  void key(std::string_view name) {
    writer_.Key(name.data(), static_cast<rapidjson::SizeType>(name.size()));
  }
  void string(std::string_view value) {
    writer_.String(value.data(), static_cast<rapidjson::SizeType>(value.size()));
  }
  void text(std::string_view name, std::string_view value) {
    key(name);
    string(value);
  }
  void closed() {
    key("additionalProperties");
    writer_.Bool(false);
  }
  void reference(std::string_view definition) {
    text("$ref", fmt::format("#/$defs/{}", definition));
  }
  /// What a scalar may be besides `write`: a string with a variable.
  template <typename Write>
  void or_variable(Write write) {
    key("anyOf");
    writer_.StartArray();
    writer_.StartObject();
    write();
    writer_.EndObject();
    writer_.StartObject();
    reference("variable");
    writer_.EndObject();
    writer_.EndArray();
  }

  void property(const Option& option) {
    key(option.name);
    writer_.StartObject();
    std::string doc(option.doc);
    if (option.type == OptionType::duration || option.type == OptionType::size ||
        option.type == OptionType::rate) {
      if (!option.min.empty()) doc += fmt::format("; at least {}", option.min);
      if (!option.max.empty()) doc += fmt::format("; at most {}", option.max);
    }
    text("description", doc);
    default_of(option);
    type_of(option);
    writer_.EndObject();
  }

  void default_of(const Option& option) {
    if (option.default_text.empty()) return;
    const ScalarKind kind = core_kind(option.default_text);
    if (option.type == OptionType::text_list || option.type == OptionType::text_map) return;
    key("default");
    const bool is_number = option.type == OptionType::integer || option.type == OptionType::number;
    const auto integer = parse_integer(option.default_text);
    if (option.type == OptionType::boolean && kind == ScalarKind::boolean) {
      writer_.Bool(option.default_text == "true");
    } else if (is_number && integer) {
      writer_.Int64(*integer);
    } else if (is_number) {
      writer_.Double(parse_number(option.default_text).value_or(0));
    } else {
      string(option.default_text);
    }
  }

  void type_of(const Option& option) {
    switch (option.type) {
      case OptionType::boolean: or_variable([&] { text("type", "boolean"); }); return;
      case OptionType::integer:
      case OptionType::number: or_variable([&] { number(option); }); return;
      case OptionType::choice: or_variable([&] { choices(option.choices); }); return;
      case OptionType::duration:
      case OptionType::size:
      case OptionType::rate: or_variable([&] { quantity(option); }); return;
      case OptionType::text: element(option); return;
      case OptionType::secret: reference("secret"); return;
      case OptionType::text_list: list(true, [&] { element(option); }); return;
      case OptionType::text_map:
        text("type", "object");
        key("additionalProperties");
        writer_.StartObject();
        element(option);
        writer_.EndObject();
        return;
      case OptionType::section: section(option.children); return;
      case OptionType::section_list: list(false, [&] { section(option.children); }); return;
    }
  }

  void number(const Option& option) {
    text("type", option.type == OptionType::integer ? "integer" : "number");
    const auto bound = [&](std::string_view name, std::string_view value) {
      if (value.empty()) return;
      key(name);
      if (const auto integer = parse_integer(value)) {
        writer_.Int64(*integer);
      } else {
        writer_.Double(parse_number(value).value_or(0));
      }
    };
    bound("minimum", option.min);
    bound("maximum", option.max);
  }

  /// `protocol: 5` is a number to a validator.
  void choices(std::span<const std::string_view> choices) {
    key("enum");
    writer_.StartArray();
    for (const std::string_view choice : choices) {
      string(choice);
      if (const auto integer = parse_integer(choice)) writer_.Int64(*integer);
    }
    writer_.EndArray();
  }

  void quantity(const Option& option) {
    std::string pattern = quantity_pattern(option.type);
    if (option.may_be_off) pattern.insert(pattern.size() - 2, "|off");
    key("anyOf");
    writer_.StartArray();
    writer_.StartObject();
    text("type", "string");
    text("pattern", pattern);
    writer_.EndObject();
    writer_.StartObject();
    key("const");
    writer_.Int(0);
    writer_.EndObject();
    writer_.EndArray();
  }

  /// A text, or one item of a list of text.
  void element(const Option& option) {
    if (option.choices.empty()) {
      text("type", "string");
    } else {
      or_variable([&] { choices(option.choices); });
    }
  }

  template <typename Write>
  void list(bool may_be_single, Write write_item) {
    if (may_be_single) {
      key("anyOf");
      writer_.StartArray();
      writer_.StartObject();
      write_item();
      writer_.EndObject();
      writer_.StartObject();
    }
    text("type", "array");
    key("items");
    writer_.StartObject();
    write_item();
    writer_.EndObject();
    if (may_be_single) {
      writer_.EndObject();
      writer_.EndArray();
    }
  }

  /// A section without a value is an empty one, unless it needs keys.
  void section(std::span<const Option> options) {
    std::vector<std::string_view> required;
    for (const Option& option : options) {
      if (option.is_required) required.push_back(option.name);
    }
    key("type");
    if (required.empty()) {
      writer_.StartArray();
      string("object");
      string("null");
      writer_.EndArray();
    } else {
      string("object");
    }
    key("properties");
    writer_.StartObject();
    for (const Option& option : options) property(option);
    writer_.EndObject();
    closed();
    require(required);
  }

  void require(const std::vector<std::string_view>& names) {
    if (names.empty()) return;
    key("required");
    writer_.StartArray();
    for (const std::string_view name : names) string(name);
    writer_.EndArray();
  }

  void connectors(std::span<const TypeOptions> types) {
    key("connectors");
    writer_.StartObject();
    text("description", "Sources, each by its name");
    key("type");
    writer_.StartArray();
    string("object");
    string("null");
    writer_.EndArray();
    key("patternProperties");
    writer_.StartObject();
    key("^[a-z][a-z0-9_-]{0,63}$");
    writer_.StartObject();
    text("type", "object");
    require({"type"});
    key("properties");
    writer_.StartObject();
    key("type");
    writer_.StartObject();
    type_names(types);
    writer_.EndObject();
    writer_.EndObject();
    key("allOf");
    writer_.StartArray();
    for (const TypeOptions& type : types) branch(type);
    writer_.EndArray();
    writer_.EndObject();
    writer_.EndObject();
    closed();
    writer_.EndObject();
  }

  void type_names(std::span<const TypeOptions> types) {
    or_variable([&] {
      std::vector<std::string_view> names;
      for (const TypeOptions& type : types) names.push_back(type.type);
      choices(names);
    });
  }

  void branch(const TypeOptions& type) {
    writer_.StartObject();
    key("if");
    writer_.StartObject();
    require({"type"});
    key("properties");
    writer_.StartObject();
    key("type");
    writer_.StartObject();
    text("const", type.type);
    writer_.EndObject();
    writer_.EndObject();
    writer_.EndObject();
    key("then");
    writer_.StartObject();
    reference(fmt::format("connector_{}", type.type));
    writer_.EndObject();
    writer_.EndObject();
  }

  void definitions(std::span<const TypeOptions> types) {
    key("$defs");
    writer_.StartObject();
    key("variable");
    writer_.StartObject();
    text("type", "string");
    text("pattern", "\\$\\{[A-Za-z_]");
    writer_.EndObject();
    secret_definition();
    for (const TypeOptions& type : types) {
      std::vector<Option> all(connector_common_options().begin(), connector_common_options().end());
      all.insert(all.end(), type.options.begin(), type.options.end());
      key(fmt::format("connector_{}", type.type));
      writer_.StartObject();
      text("description", type.summary);
      section(all);
      writer_.EndObject();
    }
    writer_.EndObject();
  }

  void secret_definition() {
    key("secret");
    writer_.StartObject();
    text("type", "object");
    key("properties");
    writer_.StartObject();
    for (const auto& [name, doc] :
         {std::pair{"file", "Path of a file that only the agent's user or root may read"},
          std::pair{"env", "Name of an environment variable"},
          std::pair{"credential", "Name of a systemd credential"}}) {
      key(name);
      writer_.StartObject();
      text("type", "string");
      text("description", doc);
      writer_.EndObject();
    }
    writer_.EndObject();
    closed();
    key("minProperties");
    writer_.Int(1);
    key("maxProperties");
    writer_.Int(1);
    writer_.EndObject();
  }

  rapidjson::StringBuffer buffer_;
  rapidjson::PrettyWriter<rapidjson::StringBuffer> writer_{buffer_};
};

}  // namespace

std::string json_schema(std::span<const TypeOptions> types) {
  SchemaWriter writer;
  writer.file(types);
  return writer.take() + "\n";
}

}  // namespace penstock::config
