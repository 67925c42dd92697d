// load(): from files to values, with every finding on the way.
#include <fmt/format.h>

#include <algorithm>
#include <fstream>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "agent/base/log.hpp"
#include "agent/base/text.hpp"
#include "config/agent_config.hpp"
#include "config/broker.hpp"
#include "config/checks.hpp"
#include "config/codes.hpp"
#include "config/files.hpp"
#include "config/preset.hpp"
#include "config/quantity.hpp"
#include "config/secret.hpp"
#include "config/shown.hpp"
#include "config/validator.hpp"
#include "config/yaml.hpp"

namespace penstock::config {
namespace {

constexpr Option version_option{.name = "version",
                                .type = OptionType::integer,
                                .doc = "Version of this format",
                                .default_text = "1",
                                .min = "1",
                                .max = "1"};
constexpr Option connectors_option{
    .name = "connectors", .type = OptionType::section, .doc = "Sources, each by its name"};

const TypeOptions* find_type(std::span<const TypeOptions> types, std::string_view name) {
  const auto found =
      std::find_if(types.begin(), types.end(), [&](const auto& type) { return type.type == name; });
  return found == types.end() ? nullptr : &*found;
}

std::string name_help(std::string_view written) {
  std::string name;
  for (const char c : written.substr(0, 64)) {
    const bool is_upper = c >= 'A' && c <= 'Z';
    name += is_upper ? static_cast<char>(c - 'A' + 'a') : c == ' ' || c == '.' ? '_' : c;
  }
  const std::string rule = "write a letter a-z, then a-z 0-9 _ -, 64 in all at most";
  return is_connector_name(name) ? fmt::format("did you mean \"{}\"?\n{}", name, rule) : rule;
}

/// A short name that is the same after each start: 12 hex digits of a hash of the machine's id,
/// which itself must not be shown to others (machine-id(5)).
Result<std::string> id_of_machine(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::string id;
  in >> id;
  if (id.empty() || id == "uninitialized") {
    return Error{Errc::invalid, fmt::format("agent.id is not given and {} is missing: set agent.id",
                                            file.string())};
  }
  const std::string salted = "penstock agent.id " + id;
  return fmt::format("{:016x}", XXH3_64bits(salted.data(), salted.size())).substr(0, 12);
}

/// One run of load().
class Loader {
 public:
  Loader(const LoadRequest& request, Diagnostics& diagnostics)
      : request_(request), diagnostics_(diagnostics) {}

  Result<LoadedConfig> load() {
    LoadedConfig loaded;
    PENSTOCK_TRY_ASSIGN(loaded.files, read(loaded.values));
    if (diagnostics_.has_errors()) {
      if (request_.check_anyway) check_connectors(loaded.values);
      return failure();
    }
    loaded.shown_text = shown_text(*root_, Origin::hidden);
    loaded.shown_with_origin = shown_text(*root_, Origin::shown);
    loaded.shown_json = shown_json(*root_);
    return loaded;
  }

  Result<BufferSettings> load_buffer() {
    AgentConfig config;
    PENSTOCK_TRY(read(config));
    const auto& found = diagnostics_.all();
    const bool is_good = std::all_of(found.begin(), found.end(), [](const Diagnostic& finding) {
      return finding.severity != Severity::error || is_of_another_section(finding.path);
    });
    if (!is_good) return failure();
    return std::move(config.buffer);
  }

 private:
  /// Returns the files that were read.
  Result<std::vector<std::filesystem::path>> read(AgentConfig& config) {
    PENSTOCK_TRY_ASSIGN(ReadFiles read,
                        read_files(request_.file, request_.read_fragments, diagnostics_));
    root_ = std::make_shared<Node>(std::move(read.root));  // shared with the sections
    validate();
    check_and_fill(config);
    return std::move(read.files);
  }

  Error failure() const {
    return {Errc::invalid,
            fmt::format("{} has {} error{}", penstock::quoted(request_.file.string()),
                        diagnostics_.error_count(), diagnostics_.error_count() == 1 ? "" : "s")};
  }

  static bool is_of_another_section(std::string_view path) {
    const std::string_view name = path.substr(0, path.find_first_of(".["));
    return name != "buffer" && (name == connectors_option.name || name == version_option.name ||
                                find_option(root_options(), name) != nullptr);
  }

  void validate() {
    std::vector<Option> table{version_option};
    table.insert(table.end(), root_options().begin(), root_options().end());
    table.push_back(connectors_option);
    Validator validator(diagnostics_);
    validator.check_map(*root_, table, "");
    for (Node& section : root_->children) {
      if (section.key != "connectors") continue;
      if (section.kind == Node::Kind::map) {
        for (Node& entry : section.children) {
          if (!diagnostics_.is_full()) validate_connector(entry, validator);
        }
      } else {
        validator.check_map(section, std::span<const Option>{}, "connectors");
      }
    }
    for (const auto& use : validator.secrets()) {
      const Result<Secret> secret = read_secret(*use.node);
      if (secret.ok()) continue;
      // A file that is not there yet must not keep the agent from collecting: what is for the
      // broker is read at each connection. An environment does not change any more.
      const bool may_come = secret.error().code == Errc::unavailable &&
                            use.path.starts_with("upstream.") &&
                            use.node->children.front().key != "env";
      diagnostics_.add({may_come ? code::unusable_file : code::unreadable_secret,
                        may_come ? Severity::warning : Severity::error,
                        use.node->children.front().place(),
                        use.path,
                        secret.error().text,
                        may_come
                            ? "the agent collects and keeps, and connects once this is mended"
                            : "a secret's file belongs to the agent's user or root, with mode 0600",
                        {}});
    }
  }

  void validate_connector(Node& entry, Validator& validator) {
    const std::string path = joined_path("connectors", entry.key);
    if (!is_connector_name(entry.key)) {
      diagnostics_.add(
          {code::bad_connector_name,
           Severity::error,
           entry.key_place(),
           path,
           fmt::format("{} cannot be the name of a connector", penstock::quoted(entry.key)),
           name_help(entry.key),
           {}});
    }
    const Node* named = entry.find("type");
    const TypeOptions* type = nullptr;
    if (named != nullptr && named->kind == Node::Kind::scalar) {
      type = find_type(request_.types, named->text);
      if (type == nullptr) report_unknown_type(*named, path);
    }
    if (type != nullptr) apply_defaults(entry, *type);
    const std::span<const Option> tables[] = {
        connector_common_options(), type == nullptr ? std::span<const Option>{} : type->options};
    validator.check_map(entry, tables, path, /*knows_all=*/type != nullptr);
  }

  void report_unknown_type(const Node& named, const std::string& path) {
    std::vector<std::string_view> names;
    for (const TypeOptions& known : request_.types) names.push_back(known.type);
    const std::string_view near = nearest(std::string_view(named.text).substr(0, 64), names);
    std::string help = near.empty() ? "" : fmt::format("did you mean \"{}\"?\n", near);
    help += fmt::format("types: {}", fmt::join(names, " "));
    diagnostics_.add({code::unknown_type,
                      Severity::error,
                      named.place(),
                      joined_path(path, "type"),
                      fmt::format("there is no connector type {}", penstock::quoted(named.text)),
                      std::move(help),
                      {}});
  }

  /// A copy of defaults.every, so that its bounds are checked for the type and `show` tells where
  /// it came from.
  void apply_defaults(Node& entry, const TypeOptions& type) {
    const Node* defaults = root_->find("defaults");
    const Node* every = defaults == nullptr ? nullptr : defaults->find("every");
    const Option* option = find_option(type.options, "every");
    if (every == nullptr || option == nullptr || option->type != OptionType::duration) return;
    if (entry.kind != Node::Kind::map || entry.find("every") != nullptr) return;
    if (every->kind == Node::Kind::scalar && parse_duration(every->text)) {
      entry.children.push_back(*every);
    }
  }

  Section section(std::string_view name) {
    const Node* node = root_->find(name);
    const Option* option = find_option(root_options(), name);
    return SectionMaker::make(root_, node, option->children, std::string(name), &diagnostics_);
  }

  void check_and_fill(AgentConfig& config) {
    Checks checks(diagnostics_);
    const Section agent = section("agent");
    checks.check_agent(agent);
    fill_agent(agent, config.agent);
    const Section buffer = section("buffer");
    checks.check_buffer(buffer);
    fill_buffer(buffer, config.buffer);
    if (const Node* written = root_->find("upstream")) {
      const Section upstream = section("upstream");
      if (written->kind == Node::Kind::map) {
        checks.check_upstream(upstream, config.agent.id);
      }
      fill_upstream(upstream, config.upstream.emplace());
      apply_preset(upstream, config.agent.id, *config.upstream);
    }
    const Node* connectors = root_->find("connectors");
    if (connectors == nullptr || connectors->kind != Node::Kind::map) return;
    for (const Node& entry : connectors->children) {
      const TypeOptions* type = nullptr;
      if (const Node* named = entry.find("type")) type = find_type(request_.types, named->text);
      const std::string path = joined_path("connectors", entry.key);
      const Section common =
          SectionMaker::make(root_, &entry, connector_common_options(), path, &diagnostics_);
      checks.check_tags(common);
      checks.check_share(common, config.buffer.max_size);
      checks.check_streams(common, streams_max_of(config.buffer.max_size));
      if (type == nullptr) continue;
      config.connectors.push_back(
          {entry.key, common.text("type"), common.text_map("tags"),
           static_cast<std::uint32_t>(common.integer("max_streams")),
           own_or(common, buffer, "when_full"), own_or(common, buffer, "priority"),
           parse_share(own_or(common, buffer, "max_share"), config.buffer.max_size).value_or(0),
           SectionMaker::make(root_, &entry, type->options, path, &diagnostics_)});
    }
  }

  /// What a connector says itself, or what the buffer says for all.
  static std::string own_or(const Section& own, const Section& buffer, std::string_view name) {
    return own.has_written(name) ? own.text(name) : buffer.text(name);
  }

  void fill_agent(const Section& agent, AgentSettings& settings) {
    settings.id_was_given = agent.has("id");
    settings.id = agent.text("id");
    settings.tags = agent.text_map("tags");
    settings.log_level = agent.section("log").text("level");
    settings.waits_for_sync = agent.text("clock") == "wait_for_sync";
    if (settings.id_was_given) return;
    Result<std::string> id = id_of_machine(request_.machine_id_file);
    if (id.ok()) {
      settings.id = *std::move(id);
    } else {
      diagnostics_.add({code::bad_agent_id,
                        Severity::error,
                        {request_.file.string()},
                        "agent.id",
                        id.error().text,
                        "write agent: {id: NAME}",
                        {}});
    }
  }

  static void fill_buffer(const Section& buffer, BufferSettings& settings) {
    // Absolute, so that messages tell which one it is.
    settings.path =
        std::filesystem::absolute(buffer.has("path") ? std::filesystem::path(buffer.text("path"))
                                                     : default_state_dir() / "buffer");
    settings.max_size = buffer.size("max_size");
    settings.keep_free = buffer.size("keep_free");
    settings.preallocate = buffer.boolean("preallocate");
    settings.write_budget_bytes_per_s = buffer.rate("write_budget");
    settings.max_age = buffer.duration("max_age");
    const Section commit = buffer.section("commit");
    settings.commit = {commit.duration("every"), commit.duration("max_delay"),
                       commit.size("bytes")};
  }

  static void fill_upstream(const Section& upstream, UpstreamSettings& settings) {
    for (const std::string& url : upstream.text_list("brokers")) {
      Result<BrokerAddress> broker = parse_broker(url);
      if (broker.ok()) settings.brokers.push_back(*std::move(broker));
    }
    settings.protocol = upstream.text("protocol");
    settings.client_id = upstream.text("client_id");
    settings.user = upstream.text("user");
    settings.section = upstream;
    settings.has_password = upstream.has("password");
    const Section tls = upstream.section("tls");
    settings.tls = {tls.text("ca"),          tls.text("cert"),        tls.text("key"),
                    tls.boolean("insecure"), tls.has("key_password"), tls.text_list("alpn")};
    settings.prefix = upstream.text("prefix");
    settings.topic = upstream.text("topic");
    settings.format = upstream.text("format");
    settings.compression = upstream.text("compression");
    const Section batch = upstream.section("batch");
    settings.batch_events_max = static_cast<std::uint32_t>(batch.integer("events"));
    settings.batch_bytes_max = batch.size("bytes");
    settings.in_flight_max = static_cast<std::uint32_t>(upstream.integer("in_flight"));
    if (upstream.text("ack") == "receiver") settings.receivers = upstream.text_list("receivers");
    settings.rate_limit_bytes_per_s = upstream.rate("rate_limit");
    settings.qos = static_cast<std::uint8_t>(upstream.integer("qos"));
    settings.keep_alive = upstream.duration("keep_alive");
    settings.ack_timeout = upstream.duration("ack_timeout");
    const Section failover = upstream.section("failover");
    settings.failover_after = failover.duration("after");
    settings.back_to_first = failover.duration("back_to_first");
  }

  /// A connector with findings of its own is not handed to its type.
  void check_connectors(const AgentConfig& config) {
    std::vector<std::string> bad;
    for (const Diagnostic& finding : diagnostics_.all()) {
      if (finding.severity == Severity::error) bad.push_back(finding.path + ".");
    }
    for (const ConnectorEntry& entry : config.connectors) {
      const std::string path = entry.section.path() + ".";
      const bool is_bad = std::any_of(bad.begin(), bad.end(), [&](const std::string& finding) {
        return finding.starts_with(path);
      });
      if (!is_bad) request_.check_anyway(entry);
    }
  }

  const LoadRequest& request_;
  Diagnostics& diagnostics_;
  std::shared_ptr<Node> root_;  // shared with the sections, which keep it alive
};

}  // namespace

Result<LoadedConfig> load(const LoadRequest& request, Diagnostics& diagnostics) {
  return Loader(request, diagnostics).load();
}

Result<BufferSettings> load_buffer(const LoadRequest& request, Diagnostics& diagnostics) {
  return Loader(request, diagnostics).load_buffer();
}

}  // namespace penstock::config
