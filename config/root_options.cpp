// The option tables of the fixed sections.
#include "config/agent_config.hpp"
#include "config/tls_options.hpp"

namespace penstock::config {
namespace {

constexpr std::string_view log_levels[] = {"trace", "debug", "info", "warn", "error"};
constexpr std::string_view clocks[] = {"trust", "wait_for_sync"};
constexpr std::string_view full_policies[] = {"auto", "block", "drop_oldest", "drop_newest"};
constexpr std::string_view priorities[] = {"high", "normal", "low"};
constexpr std::string_view protocols[] = {"auto", "5", "3.1.1"};
constexpr std::string_view compressions[] = {"none", "zstd", "gzip"};
constexpr std::string_view presets[] = {"none", "aws_iot", "azure_iot_hub", "thingsboard"};
constexpr std::string_view acks[] = {"broker", "receiver"};
constexpr std::string_view formats[] = {"json", "ndjson", "influx", "cbor", "thingsboard"};

constexpr Option log_options[] = {
    {.name = "level",
     .type = OptionType::choice,
     .doc = "How much is logged",
     .default_text = "info",
     .choices = log_levels},
};

constexpr Option agent_options[] = {
    {.name = "id",
     .type = OptionType::text,
     .doc = "Name of this device, in every topic and event: up to 64 of `A-Z a-z 0-9 . _ -`; made "
            "from /etc/machine-id unless given",
     .example = "gw-7"},
    {.name = "tags",
     .type = OptionType::text_map,
     .doc = "Members that every event of this agent gets",
     .example = "{site: plant-7}"},
    {.name = "log", .type = OptionType::section, .doc = "The agent's log", .children = log_options},
    {.name = "clock",
     .type = OptionType::choice,
     .doc = "Whether the time of an unsynchronised clock is believed; with `wait_for_sync` what "
            "the agent "
            "stamps is marked until the kernel says that NTP or the like keeps the clock right",
     .default_text = "trust",
     .choices = clocks},
};

constexpr Option commit_options[] = {
    {.name = "every",
     .type = OptionType::duration,
     .doc = "Events are on disk at the latest this long after they were taken; 0: at once",
     .default_text = "1s",
     .min = "0ms",
     .max = "1m"},
    {.name = "max_delay",
     .type = OptionType::duration,
     .doc = "How far `write_budget` may stretch that",
     .default_text = "10s",
     .min = "10ms",
     .max = "10m"},
    {.name = "bytes",
     .type = OptionType::size,
     .doc = "A commit that has grown to this size does not wait any longer",
     .default_text = "2MiB",
     .min = "64KiB",
     .max = "16MiB"},
};

constexpr Option buffer_options[] = {
    {.name = "path",
     .type = OptionType::text,
     .doc = "Directory of the buffer, a relative one from the working directory; unless given, "
            "`buffer` in the state directory (/var/lib/penstock for root)",
     .example = "/var/lib/penstock/buffer"},
    {.name = "max_size",
     .type = OptionType::size,
     .doc = "The buffer never holds more than this; on a 32-bit machine 1GiB at most",
     .default_text = "1GiB",
     .min = "8MiB",
     .max = sizeof(void*) == 4 ? "1GiB" : "16TiB"},
    {.name = "keep_free",
     .type = OptionType::size,
     .doc = "Room on its file system that the buffer leaves to others",
     .default_text = "64MiB"},
    {.name = "preallocate",
     .type = OptionType::boolean,
     .doc = "Reserve the file's blocks at start (up to 1GiB), so that a disk filled by others "
            "stops nothing",
     .default_text = "true"},
    {.name = "write_budget",
     .type = OptionType::rate,
     .doc = "Above it, commits are made less often, down to one every `commit.max_delay`; spares "
            "flash",
     .default_text = "500MB/day",
     .min = "1MB/day",
     .may_be_off = true},
    {.name = "commit",
     .type = OptionType::section,
     .doc = "When events are written",
     .children = commit_options},
    {.name = "when_full",
     .type = OptionType::choice,
     .doc = "auto: sources that can be read again wait; for others the oldest events make room, "
            "and a loss record says so",
     .default_text = "auto",
     .choices = full_policies},
    {.name = "priority",
     .type = OptionType::choice,
     .doc = "Which connectors are sent first; the lowest make room first",
     .default_text = "normal",
     .choices = priorities},
    {.name = "max_share",
     .type = OptionType::text,
     .doc = "The most that one connector may take of the buffer: a percentage or a size; off: all",
     .default_text = "off"},
    {.name = "max_age",
     .type = OptionType::duration,
     .doc = "Events that were stored longer ago than this become loss records; only time with the "
            "buffer open counts, whatever the clock says",
     .default_text = "off",
     .min = "1m",
     .may_be_off = true},
};

constexpr Option tls_options[] = {
    tls_ca_option,
    tls_cert_option,
    tls_key_option,
    {.name = "key_password",
     .type = OptionType::secret,
     .doc = "Password of an encrypted key, read at each connect",
     .example = "{file: /etc/penstock/secrets/key}"},
    {.name = "alpn",
     .type = OptionType::text_list,
     .doc = "Protocols named in the handshake (ALPN), for brokers that share port 443 with others",
     .example = "[\"mqtt\"]"},
    tls_insecure_option,
};

constexpr Option batch_options[] = {
    {.name = "events",
     .type = OptionType::integer,
     .doc = "A message has at most this many events",
     .default_text = "500",
     .min = "1",
     .max = "10000"},
    {.name = "bytes",
     .type = OptionType::size,
     .doc = "A message has at most about this size, uncompressed",
     .default_text = "96KiB",
     .min = "4KiB",
     .max = "1MiB"},
};

constexpr Option failover_options[] = {
    {.name = "after",
     .type = OptionType::duration,
     .doc = "A broker that cannot be reached for so long is left for the next one",
     .default_text = "20s",
     .min = "1s",
     .max = "1d"},
    {.name = "back_to_first",
     .type = OptionType::duration,
     .doc = "How long to stay with another broker before the first one is tried again",
     .default_text = "10m",
     .min = "1s",
     .max = "30d",
     .may_be_off = true},
};

constexpr Option upstream_options[] = {
    {.name = "brokers",
     .type = OptionType::text_list,
     .doc = "`mqtt://host:port`, `mqtts://host:port` (TLS), `ws://host:port/path` or `wss://…` "
            "(WebSocket; the path is `/mqtt` unless given), the preferred one first",
     .is_required = true,
     .example = "[\"mqtt://127.0.0.1:1883\"]"},
    {.name = "preset",
     .type = OptionType::choice,
     .doc = "Whose limits `penstock check` knows: those of AWS IoT Core, Azure IoT Hub or "
            "ThingsBoard; the latter two also fix the topic, and there is no status",
     .default_text = "none",
     .choices = presets},
    {.name = "protocol",
     .type = OptionType::choice,
     .doc = "MQTT version; auto: 5, or 3.1.1 with a broker that does not speak 5",
     .default_text = "auto",
     .choices = protocols},
    {.name = "client_id",
     .type = OptionType::text,
     .doc = "MQTT client identifier; `penstock-` and the agent's id unless given",
     .example = "penstock-gw-7"},
    {.name = "user", .type = OptionType::text, .doc = "User name", .example = "gw-7"},
    {.name = "password",
     .type = OptionType::secret,
     .doc = "Password, read at each connect",
     .example = "{file: /etc/penstock/secrets/mqtt}"},
    {.name = "tls",
     .type = OptionType::section,
     .doc = "For brokers with `mqtts://` or `wss://`; TLS 1.2 or newer",
     .children = tls_options},
    {.name = "qos",
     .type = OptionType::integer,
     .doc = "Quality of service of data. 0 is weaker: the broker acknowledges nothing, so what was "
            "on its way when a connection ends is lost and nothing tells, unless `ack: receiver`",
     .default_text = "1",
     .min = "0",
     .max = "1"},
    {.name = "prefix",
     .type = OptionType::text,
     .doc = "First level of every topic",
     .default_text = "penstock"},
    {.name = "topic",
     .type = OptionType::text,
     .doc = "Template of the topics of data, from `{prefix} {device} {kind} {stream}`",
     .default_text = "{prefix}/{device}/{kind}/{stream}"},
    {.name = "format",
     .type = OptionType::choice,
     .doc = "How a batch is written: a JSON array, JSON lines, InfluxDB's line protocol, CBOR, or "
            "the JSON of ThingsBoard's device API",
     .default_text = "json",
     .choices = formats},
    {.name = "compression",
     .type = OptionType::choice,
     .doc = "Batches are sent compressed, and `{kind}` in their topic is `zstd` or `gzip`",
     .default_text = "none",
     .choices = compressions},
    {.name = "batch",
     .type = OptionType::section,
     .doc = "What goes into one message",
     .children = batch_options},
    {.name = "in_flight",
     .type = OptionType::integer,
     .doc =
         "Most batches sent before the first of them is acknowledged; more than 8 only where the "
         "line's round trip asks for it, and at most 2 MiB",
     .default_text = "64",
     .min = "1",
     .max = "64"},
    {.name = "ack",
     .type = OptionType::choice,
     .doc = "Whose word counts: a batch leaves the buffer when the broker has acknowledged it, or "
            "when every one of `receivers` has it too",
     .default_text = "broker",
     .choices = acks},
    {.name = "receivers",
     .type = OptionType::text_list,
     .doc = "With `ack: receiver`: the names under which receivers publish what they have",
     .example = "[\"archive\"]"},
    {.name = "rate_limit",
     .type = OptionType::rate,
     .doc = "Sends no faster than this",
     .default_text = "off",
     .min = "1KiB/s",
     .may_be_off = true},
    {.name = "keep_alive",
     .type = OptionType::duration,
     .doc = "MQTT keep-alive interval, in whole seconds",
     .default_text = "60s",
     .min = "5s",
     .max = "18h"},
    {.name = "ack_timeout",
     .type = OptionType::duration,
     .doc = "A connection on which nothing was acknowledged for so long is given up",
     .default_text = "30s",
     .min = "1s",
     .max = "1h"},
    {.name = "failover",
     .type = OptionType::section,
     .doc = "Changing between brokers",
     .children = failover_options},
};

constexpr Option default_options[] = {
    {.name = "every",
     .type = OptionType::duration,
     .doc = "Interval of each connector that has an option `every` and does not set it",
     .min = "1ms",
     .example = "10s"},
};

constexpr Option sections[] = {
    {.name = "agent",
     .type = OptionType::section,
     .doc = "Who this agent is",
     .children = agent_options},
    {.name = "buffer",
     .type = OptionType::section,
     .doc = "Where events wait on disk",
     .children = buffer_options},
    {.name = "upstream",
     .type = OptionType::section,
     .doc = "Where events go; without it the agent collects and keeps",
     .children = upstream_options},
    {.name = "defaults",
     .type = OptionType::section,
     .doc = "What connectors take unless they say otherwise",
     .children = default_options},
};

constexpr Option common_options[] = {
    {.name = "type",
     .type = OptionType::text,
     .doc = "What it reads: a type of `penstock list`",
     .is_required = true,
     .example = "file"},
    {.name = "tags",
     .type = OptionType::text_map,
     .doc = "Members that every event of this connector gets, beside those of the agent",
     .example = "{line: \"2\"}"},
    {.name = "max_streams",
     .type = OptionType::integer,
     .doc = "Streams of its own, those of earlier runs too; further parts share the connector's "
            "stream and carry the member `part`",
     .default_text = "4096",
     .min = "1",
     .max = "65536"},
    {.name = "when_full",
     .type = OptionType::choice,
     .doc = "What happens when the buffer, or its share, is full; `buffer.when_full` unless given",
     .choices = full_policies,
     .example = "drop_newest"},
    {.name = "priority",
     .type = OptionType::choice,
     .doc = "Whether it is sent before others, and makes room after them; `buffer.priority` unless "
            "given",
     .choices = priorities,
     .example = "high"},
    {.name = "max_share",
     .type = OptionType::text,
     .doc = "The most that it may take of the buffer, as `25%` or `64MiB`; `buffer.max_share` "
            "unless given",
     .example = "25%"},
};

}  // namespace

std::span<const Option> root_options() { return sections; }
std::span<const Option> connector_common_options() { return common_options; }

}  // namespace penstock::config
