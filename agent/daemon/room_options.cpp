#include "agent/daemon/room_options.hpp"

#include <algorithm>

namespace penstock::daemon {
namespace {

Result<forward::Credentials> read_credentials(const config::UpstreamSettings& upstream) {
  forward::Credentials credentials;
  credentials.user = upstream.user;
  if (upstream.has_password && upstream.section) {
    PENSTOCK_TRY_ASSIGN(const config::Secret password, upstream.section->secret("password"));
    (upstream.password_is_user ? credentials.user : credentials.password) = password.reveal();
  }
  if (upstream.tls.has_key_password && upstream.section) {
    PENSTOCK_TRY_ASSIGN(const config::Secret password,
                        upstream.section->section("tls").secret("key_password"));
    credentials.key_password = password.reveal();
  }
  return credentials;
}

forward::TagNames tag_names(const config::AgentConfig& config) {
  forward::TagNames names;
  const auto add = [&names](const std::string& connector, const auto& tags) {
    for (const auto& [name, value] : tags) names[connector].insert(name);
  };
  for (const config::ConnectorEntry& entry : config.connectors) {
    add(entry.name, config.agent.tags);
    add(entry.name, entry.tags);
  }
  add("_agent", config.agent.tags);
  return names;
}

}  // namespace

pipeline::IntakeOptions intake_options(const config::AgentConfig& config, const std::string& boot) {
  pipeline::IntakeOptions options;
  options.device = config.agent.id;
  options.tags = config.agent.tags;
  options.boot = boot;
  options.clock.build_time_us = PENSTOCK_BUILD_TIME_S * std::int64_t{1'000'000};
  options.clock.waits_for_sync = config.agent.waits_for_sync;
  options.commit_every = config.buffer.commit.every;
  options.commit_max_delay = config.buffer.commit.max_delay;
  // So that what is taken before sources are told to wait never fills a small buffer.
  options.commit_bytes = std::min(config.buffer.commit.bytes, config.buffer.max_size / 32);
  options.streams_max = config::streams_max_of(config.buffer.max_size);
  options.write_budget_bytes_per_s = config.buffer.write_budget_bytes_per_s;
  if (config.upstream) {
    options.batch_events_max = config.upstream->batch_events_max;
    options.batch_bytes_max = config.upstream->batch_bytes_max;
    options.event_bytes_max = std::min(options.event_bytes_max, options.batch_bytes_max - 2);
  }
  return options;
}

namespace {

buffer::WhenFull when_full_of(const std::string& text, bool is_rereadable) {
  if (text == "block") return buffer::WhenFull::block;
  if (text == "drop_oldest") return buffer::WhenFull::drop_oldest;
  if (text == "drop_newest") return buffer::WhenFull::drop_newest;
  return is_rereadable ? buffer::WhenFull::block : buffer::WhenFull::drop_oldest;
}

buffer::Priority priority_of(const std::string& text) {
  if (text == "high") return buffer::Priority::high;
  return text == "low" ? buffer::Priority::low : buffer::Priority::normal;
}

}  // namespace

pipeline::SourceOptions source_options(const BuiltConnector& built) {
  pipeline::SourceOptions options;
  options.name = built.entry->name;
  options.type = built.entry->type;
  const bool is_rereadable = built.connector->is_rereadable().value_or(built.type->is_rereadable);
  options.when_full = when_full_of(built.entry->when_full, is_rereadable);
  options.is_rereadable = is_rereadable;
  options.priority = priority_of(built.entry->priority);
  options.share_bytes_max = built.entry->share_bytes_max;
  options.tags = built.entry->tags;
  options.streams_max = built.entry->streams_max;
  return options;
}

forward::ForwardOptions forward_options(const config::AgentConfig& config,
                                        const config::UpstreamSettings& upstream,
                                        const std::string& boot) {
  forward::ForwardOptions options;
  options.brokers = upstream.brokers;
  options.protocol = forward::parse_protocol_choice(upstream.protocol);
  options.client_id =
      upstream.client_id.empty() ? "penstock-" + config.agent.id : upstream.client_id;
  options.has_one_client_id = upstream.has_one_client_id;
  if (!upstream.user.empty() || upstream.has_password || upstream.tls.has_key_password) {
    options.credentials = [upstream] { return read_credentials(upstream); };
  }
  options.tls = {upstream.tls.ca, upstream.tls.cert, upstream.tls.key, upstream.tls.insecure};
  options.tls.alpn = upstream.tls.alpn;
  options.device = config.agent.id;
  options.tells_status = !upstream.has_one_topic;
  options.boot = boot;
  options.version = PENSTOCK_VERSION;
  options.prefix = upstream.prefix;
  options.topic = upstream.topic;
  options.compression = forward::parse_compression(upstream.compression);
  options.format = forward::parse_format(upstream.format);
  options.tags = tag_names(config);
  options.packet_bytes_max = upstream.packet_bytes_max;
  options.in_flight_max = upstream.in_flight_max;
  options.receivers = upstream.receivers;
  options.rate_limit_bytes_per_s = static_cast<std::uint64_t>(upstream.rate_limit_bytes_per_s);
  options.qos = upstream.qos;
  options.keep_alive = std::chrono::duration_cast<std::chrono::seconds>(upstream.keep_alive);
  options.ack_timeout = upstream.ack_timeout;
  options.failover_after = upstream.failover_after;
  options.back_to_first = upstream.back_to_first;
  return options;
}

}  // namespace penstock::daemon
