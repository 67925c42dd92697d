// AgentConfig: the whole configuration as plain values, and the loader that makes it from files.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.hpp"
#include "config/diagnostics.hpp"
#include "config/option.hpp"
#include "config/section.hpp"

namespace penstock::config {

struct AgentSettings {
  std::string id;  ///< never empty after loading
  bool id_was_given = false;
  std::map<std::string, std::string> tags;
  std::string log_level = "info";
  bool waits_for_sync = false;  ///< clock: wait_for_sync
};

struct CommitSettings {
  std::chrono::microseconds every{};
  std::chrono::microseconds max_delay{};
  std::uint64_t bytes = 0;
};

struct BufferSettings {
  std::filesystem::path path;
  std::uint64_t max_size = 0;
  std::uint64_t keep_free = 0;
  bool preallocate = true;
  double write_budget_bytes_per_s = 0;  ///< 0: no budget
  std::chrono::microseconds max_age{};  ///< 0: off
  CommitSettings commit;
};

struct BrokerAddress {
  std::string url;     ///< as written, without a password
  std::string scheme;  ///< mqtt | mqtts | ws | wss
  std::string host;
  std::uint16_t port = 0;
  std::string path{};  ///< of a WebSocket, with its "/"
  bool uses_tls() const { return scheme == "mqtts" || scheme == "wss"; }
  bool is_websocket() const { return scheme == "ws" || scheme == "wss"; }
  bool operator==(const BrokerAddress&) const = default;
};
/// mqtt://host[:port], mqtts://…, ws://host[:port][/path] or wss://…; IPv6 in brackets. Error text
/// says what is wrong with it.
Result<BrokerAddress> parse_broker(std::string_view url);

struct UpstreamSettings {
  std::vector<BrokerAddress> brokers;
  std::string protocol = "auto";  ///< auto | 5 | 3.1.1
  std::string client_id;          ///< "" = penstock-<agent id>
  std::string user;
  std::optional<Section> section;  ///< holds the secret "password", read at each connect
  bool has_password = false;
  struct Tls {
    std::string ca;
    std::string cert;
    std::string key;
    bool insecure = false;
    bool has_key_password = false;  ///< the secret "key_password" of the section "tls"
    std::vector<std::string> alpn;
  } tls;
  std::string prefix = "penstock";
  std::string topic;  ///< template
  std::string format = "json";
  std::string compression = "none";
  std::uint32_t batch_events_max = 500;
  std::uint64_t batch_bytes_max = 0;
  std::uint32_t in_flight_max = 64;
  std::vector<std::string> receivers;  ///< empty: the broker's acknowledgement is enough
  double rate_limit_bytes_per_s = 0;   ///< 0: off
  std::uint8_t qos = 1;                ///< of data
  std::chrono::microseconds keep_alive{};
  std::chrono::microseconds ack_timeout{};
  std::chrono::microseconds failover_after{};
  std::chrono::microseconds back_to_first{};
  // What only a preset changes.
  bool has_one_topic = false;          ///< of this device: no status, no last will
  bool has_one_client_id = false;      ///< the broker takes no other than client_id
  bool password_is_user = false;       ///< it is sent as the user name, and no password
  std::uint64_t packet_bytes_max = 0;  ///< 0: what the broker tells
};

/// How many streams a buffer of this size may have: a stream leaves a record for ever, of 280 bytes
/// with the longest names. So they take an eighth of it or little more.
inline std::uint32_t streams_max_of(std::uint64_t max_size) {
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(max_size / 2048, UINT32_MAX));
}

struct ConnectorEntry {
  std::string name;
  std::string type;
  std::map<std::string, std::string> tags;
  std::uint32_t streams_max = 4096;
  std::string when_full = "auto";     ///< auto | block | drop_oldest | drop_newest
  std::string priority = "normal";    ///< high | normal | low
  std::uint64_t share_bytes_max = 0;  ///< 0: all of the buffer
  Section section;                    ///< the type's own options
};

struct AgentConfig {
  AgentSettings agent;
  BufferSettings buffer;
  std::optional<UpstreamSettings> upstream;  ///< none: collect and keep
  std::vector<ConnectorEntry> connectors;    ///< in the order of the file
};

/// What the loader knows of a connector type; the caller makes it from connectors::builtin_types().
struct TypeOptions {
  std::string_view type;
  std::string_view summary;
  std::span<const Option> options;
};

struct LoadRequest {
  std::filesystem::path file;
  bool read_fragments = true;  ///< conf.d/*.yaml beside the file
  std::span<const TypeOptions> types;
  /// Called for every well-formed connector if load() is going to fail for another reason, so that
  /// what the connector's type finds is told in the same run.
  std::function<void(const ConnectorEntry&)> check_anyway = {};
  std::filesystem::path machine_id_file = "/etc/machine-id";
};

/// A loaded configuration: values, and the merged tree for `show`.
struct LoadedConfig {
  AgentConfig values;
  std::string shown_text;         ///< merged YAML, secrets masked
  std::string shown_with_origin;  ///< the same with "# file:line" at each key
  std::string shown_json;
  std::vector<std::filesystem::path> files;
};

/// Reads, expands, merges and validates. Every finding goes to `diagnostics` (which must outlive
/// the sections); invalid: there were errors. unavailable: the file cannot be read (reported too).
Result<LoadedConfig> load(const LoadRequest& request, Diagnostics& diagnostics);

/// The buffer's section alone: what is wrong in the other ones is found too and does not matter.
/// Errors as of load().
Result<BufferSettings> load_buffer(const LoadRequest& request, Diagnostics& diagnostics);

/// The tables of the fixed sections, for describe, schema and the documents.
std::span<const Option>
root_options();  ///< agent, buffer, upstream, defaults (connectors is apart)
std::span<const Option> connector_common_options();  ///< type, tags, max_streams …

/// JSON Schema (draft 2020-12) of the whole file for these types.
std::string json_schema(std::span<const TypeOptions> types);
/// Option table as Markdown (for README and documents), text (for a terminal) or JSON. Options of
/// sections have dotted names; in JSON they are "children".
std::string options_as_markdown(std::span<const Option> options);
std::string options_as_text(std::span<const Option> options);
std::string options_as_json(std::span<const Option> options);

/// Paths of design: $STATE_DIRECTORY, /var/lib/penstock for root, else
/// ${XDG_STATE_HOME:-~/.local/state}/penstock.
std::filesystem::path default_state_dir();
/// /etc/penstock/penstock.yaml for root, else ${XDG_CONFIG_HOME:-~/.config}/penstock/penstock.yaml;
/// an ordinary user falls back to the file in /etc when there is none of his own.
std::filesystem::path default_config_file();

}  // namespace penstock::config
