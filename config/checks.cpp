#include "config/checks.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "agent/base/log.hpp"
#include "agent/base/wire.hpp"
#include "config/broker.hpp"
#include "config/codes.hpp"
#include "config/preset.hpp"
#include "config/quantity.hpp"
#include "config/topic.hpp"
#include "config/yaml.hpp"

namespace penstock::config {
namespace {

constexpr std::size_t name_bytes_max = 64;

bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return is_lower(c) || (c >= 'A' && c <= 'Z'); }

template <typename Predicate>
bool is_name(std::string_view text, Predicate is_allowed) {
  return !text.empty() && text.size() <= name_bytes_max &&
         std::all_of(text.begin(), text.end(), is_allowed);
}

bool is_tag_name(std::string_view name) {
  return is_name(name,
                 [](char c) {
                   return is_letter(c) || is_digit(c) || c == '_' || c == '.' || c == '-';
                 }) &&
         (is_letter(name.front()) || name.front() == '_');
}

}  // namespace

bool is_connector_name(std::string_view name) {
  return is_name(name, [](char c) { return is_lower(c) || is_digit(c) || c == '_' || c == '-'; }) &&
         is_lower(name.front());
}

bool is_agent_id(std::string_view id) {
  return is_name(
      id, [](char c) { return is_letter(c) || is_digit(c) || c == '.' || c == '_' || c == '-'; });
}

Checks::Checks(Diagnostics& diagnostics) : diagnostics_(diagnostics) {
  for (const Diagnostic& finding : diagnostics.all()) {
    if (finding.severity == Severity::error) bad_paths_.insert(finding.path);
  }
}

bool Checks::is_good(const Section& section, std::string_view name) const {
  const std::string path = joined_path(section.path(), name);
  const auto found = bad_paths_.lower_bound(path);
  // Elements of a list have the paths "brokers[0]" …
  return found == bad_paths_.end() ||
         (*found != path && found->substr(0, path.size() + 1) != path + "[");
}

void Checks::report(const char* code, const Section& section, std::string_view name,
                    const Fault& fault, Severity severity) {
  Place place = section.place(name);
  if (!fault.part.empty()) place = diagnostics_.narrowed(place, fault.part);
  diagnostics_.add(
      {code, severity, place, joined_path(section.path(), name), fault.message, fault.help, {}});
}

void Checks::warn(const char* code, const Section& section, std::string_view name,
                  std::string message, std::string help) {
  report(code, section, name, {std::move(message), std::move(help), ""}, Severity::warning);
}

void Checks::check_agent(const Section& agent) {
  if (is_good(agent, "id") && agent.has("id") && !is_agent_id(agent.text("id"))) {
    report(code::bad_agent_id, agent, "id",
           {fmt::format("{} cannot be an id", penstock::quoted(agent.text("id"))),
            "write 1 to 64 of the characters A-Z a-z 0-9 . _ -", ""});
  }
  check_tags(agent);
}

void Checks::check_tags(const Section& section) {
  for (const auto& [name, value] : section.text_map("tags")) {
    const bool is_reserved = is_reserved_member(name);
    if (!is_reserved && is_tag_name(name)) continue;
    if (diagnostics_.is_full()) return;
    const Place key = section.key_place("tags", name);
    diagnostics_.add(
        {code::bad_tag,
         Severity::error,
         key,
         joined_path(joined_path(section.path(), "tags"), name),
         is_reserved ? fmt::format("every event has a member {} already", penstock::quoted(name))
                     : fmt::format("{} cannot be the name of a tag", penstock::quoted(name)),
         is_reserved ? "choose another name for the tag"
                     : "write a letter or _, then letters, digits, . _ -, 64 in all at most",
         {}});
  }
}

void Checks::check_share(const Section& section, std::uint64_t max_size) {
  constexpr std::uint64_t share_min = std::uint64_t{1} << 20;
  if (!is_good(section, "max_share") || !section.has_written("max_share")) return;
  QuantityFault fault;
  const auto share = parse_share(section.text("max_share"), max_size, &fault);
  if (!share) {
    report(fault.is_missing_unit ? code::needs_unit : code::bad_quantity, section, "max_share",
           {"\"max_share\" " + fault.message, fault.help, ""});
  } else if (*share != 0 && *share < share_min) {
    report(code::out_of_bounds, section, "max_share",
           {"\"max_share\" must be at least 1MiB", "", ""});
  }
}

void Checks::check_streams(const Section& section, std::uint32_t streams_max) {
  if (!is_good(section, "max_streams") || !section.has_written("max_streams")) return;
  if (section.integer("max_streams") <= std::int64_t{streams_max}) return;
  warn(code::without_effect, section, "max_streams",
       fmt::format("\"max_streams\" has no effect beyond {}: more would fill the buffer with their "
                   "records, which stay",
                   streams_max),
       "raise buffer.max_size: it takes 2KiB of it for each stream");
}

void Checks::check_buffer(const Section& buffer) {
  if (is_good(buffer, "max_size")) check_share(buffer, buffer.size("max_size"));
  const Section commit = buffer.section("commit");
  if (is_good(buffer, "path") && buffer.has("path") && buffer.text("path").empty()) {
    report(code::inconsistent, buffer, "path", {"the buffer's path is empty", "", ""});
  }
  if (is_good(buffer, "max_size") && is_good(commit, "bytes") &&
      buffer.size("max_size") / 4 < commit.size("bytes")) {
    report(code::inconsistent, commit.has_written("bytes") ? commit : buffer,
           commit.has_written("bytes") ? "bytes" : "max_size",
           {"a commit may take at most a quarter of the buffer",
            "raise buffer.max_size or lower buffer.commit.bytes", ""});
  }
  if (is_good(commit, "every") && is_good(commit, "max_delay") &&
      commit.duration("max_delay") < commit.duration("every")) {
    report(code::inconsistent, commit, commit.has_written("max_delay") ? "max_delay" : "every",
           {"\"max_delay\" must be at least \"every\"", "", ""});
  }
}

std::vector<BrokerAddress> Checks::check_brokers(const Section& upstream) {
  std::vector<BrokerAddress> brokers;
  if (!is_good(upstream, "brokers")) return brokers;
  const std::vector<std::string> urls = upstream.text_list("brokers");
  if (urls.empty() && upstream.has("brokers")) {
    report(code::bad_broker, upstream, "brokers",
           {"no broker is given", "write brokers: [\"mqtt://127.0.0.1:1883\"]", ""});
  }
  for (std::size_t i = 0; i < urls.size() && !diagnostics_.is_full(); ++i) {
    Fault fault;
    if (auto broker = parse_broker(urls[i], fault)) {
      brokers.push_back(*std::move(broker));
      continue;
    }
    Place place = upstream.item_place("brokers", i);
    if (!fault.part.empty()) place = diagnostics_.narrowed(place, fault.part);
    diagnostics_.add({code::bad_broker,
                      Severity::error,
                      place,
                      fmt::format("{}[{}]", joined_path(upstream.path(), "brokers"), i),
                      fault.message,
                      fault.help,
                      {}});
  }
  return brokers;
}

void Checks::check_topics(const Section& upstream) {
  if (!is_good(upstream, "prefix") || !is_good(upstream, "topic")) return;
  const std::string prefix = upstream.text("prefix");
  const std::string topic = upstream.text("topic");
  if (const auto fault = prefix_fault(prefix)) {
    report(code::bad_topic, upstream, "prefix", *fault);
    return;
  }
  if (const auto fault = topic_fault(topic, prefix)) {
    report(code::bad_topic, upstream, upstream.has_written("topic") ? "topic" : "prefix", *fault);
    return;
  }
  if (upstream.text("compression") != "none" && topic.find("{kind}") == std::string::npos) {
    report(code::bad_topic, upstream, "topic",
           {"with compression the topic must hold {kind}",
            "otherwise consumers of plain batches would get compressed ones", ""});
  }
}

void Checks::check_receivers(const Section& upstream) {
  if (!is_good(upstream, "ack") || !is_good(upstream, "receivers")) return;
  const std::vector<std::string> names = upstream.text_list("receivers");
  if (upstream.text("ack") != "receiver") {
    if (!names.empty()) {
      warn(code::without_effect, upstream, "receivers",
           "\"receivers\" has no effect: the broker's acknowledgement counts",
           "write ack: receiver if batches are to wait for them");
    }
    return;
  }
  if (names.empty()) {
    report(code::inconsistent, upstream, upstream.has_written("receivers") ? "receivers" : "ack",
           {"\"ack: receiver\" needs the names of receivers", "write receivers: [archive]", ""});
  }
  for (std::size_t i = 0; i < names.size() && !diagnostics_.is_full(); ++i) {
    const bool is_repeated =
        std::find(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(i), names[i]) !=
        names.begin() + static_cast<std::ptrdiff_t>(i);
    if (is_connector_name(names[i]) && !is_repeated) continue;
    diagnostics_.add({code::bad_topic,
                      Severity::error,
                      upstream.item_place("receivers", i),
                      fmt::format("{}[{}]", joined_path(upstream.path(), "receivers"), i),
                      is_repeated ? "this receiver is named twice"
                                  : "a receiver's name is a level of its topic: a-z, then up to 63 "
                                    "of a-z 0-9 _ -",
                      "",
                      {}});
  }
}

void Checks::check_qos(const Section& upstream) {
  if (!is_good(upstream, "qos") || !is_good(upstream, "ack") || upstream.integer("qos") != 0)
    return;
  if (upstream.text("ack") == "receiver") return;
  warn(code::weaker, upstream, "qos",
       "with \"qos: 0\" what was on its way when a connection ends is lost, and nothing tells",
       "write qos: 1, or have receivers acknowledge with ack: receiver");
}

void Checks::check_security(const Section& upstream, const std::vector<BrokerAddress>& brokers) {
  const Section tls = upstream.section("tls");
  const bool has_tls_broker =
      std::any_of(brokers.begin(), brokers.end(), [](const auto& b) { return b.uses_tls(); });
  if (tls.has("cert") != tls.has("key") && is_good(tls, "cert") && is_good(tls, "key")) {
    report(code::inconsistent, tls, tls.has("cert") ? "cert" : "key",
           {"\"cert\" and \"key\" belong together", "give both or neither", ""});
  }
  if (tls.has("key_password") && !tls.has("key")) {
    report(code::inconsistent, tls, "key_password",
           {"\"key_password\" is of no use without \"key\"", "give key: FILE", ""});
  }
  for (const std::string& protocol : tls.text_list("alpn")) {
    if (!protocol.empty() && protocol.size() <= 255) continue;
    report(code::inconsistent, tls, "alpn",
           {"a protocol's name has 1 to 255 bytes", "write alpn: [\"mqtt\"]", ""});
  }
  if (is_good(tls, "insecure") && tls.boolean("insecure")) {
    warn(code::insecure, tls, "insecure",
         "the broker's certificate is not checked: anyone on the way can read and change the data",
         "name its authority with ca: FILE instead");
  }
  if (upstream.has_written("tls") && !brokers.empty() && !has_tls_broker) {
    warn(code::without_effect, upstream, "tls",
         "\"tls\" has no effect: no broker is mqtts:// or wss://", "");
  }
  if (!upstream.has("password") || !is_good(upstream, "password")) return;
  if (!upstream.has("user") && upstream.text("protocol") != "5" && !makes_user(upstream)) {
    report(code::inconsistent, upstream, "password",
           {"a password needs a user",
            "MQTT 3.1.1 knows no password alone: give user, or protocol: 5", ""});
  }
  for (std::size_t i = 0; i < brokers.size(); ++i) {
    if (brokers[i].uses_tls() || is_loopback(brokers[i])) continue;
    warn(code::insecure, upstream, "password",
         fmt::format("the password goes to {} unencrypted", penstock::quoted(brokers[i].host)),
         "use mqtts:// or wss:// if the broker has it");
    return;
  }
}

void Checks::check_upstream(const Section& upstream, std::string_view id) {
  const std::vector<BrokerAddress> brokers = check_brokers(upstream);
  check_topics(upstream);
  check_receivers(upstream);
  check_qos(upstream);
  check_security(upstream, brokers);
  check_preset(upstream, brokers, id);
}

}  // namespace penstock::config
