#include "agent/cli/receive_setup.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <fstream>
#include <string_view>
#include <utility>

#include "agent/base/log.hpp"
#include "agent/cli/receive_ack.hpp"
#include "agent/forward/tls.hpp"
#include "config/checks.hpp"
#include "config/topic.hpp"

namespace penstock::cli {
namespace {

constexpr std::uint32_t throwaway_session_expiry_s = 3600;

/// The configuration's names of options for TLS, as this command has them.
std::string in_our_words(std::string text) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 4> names{{
      {"tls.key_password", "--key-password-file"},
      {"tls.ca", "--ca"},
      {"tls.cert", "--cert"},
      {"tls.key", "--key"},
  }};
  for (const auto& [name, option] : names) {
    for (std::size_t at = text.find(name); at != std::string::npos; at = text.find(name, at)) {
      text.replace(at, name.size(), option);
    }
  }
  return text;
}

Result<void> check_topics(const ReceiveOptions& options) {
  if (const auto fault = config::prefix_fault(options.prefix)) {
    return Error{Errc::invalid,
                 fmt::format("--prefix {}: {}", penstock::quoted(options.prefix), fault->message)};
  }
  for (const std::string& topic : options.topics) {
    const std::string_view fault = config::filter_fault(topic);
    if (fault.empty()) continue;
    return Error{Errc::invalid, fmt::format("--topic {}: {}", penstock::quoted(topic), fault)};
  }
  return {};
}

/// What needs what, whatever the brokers are.
Result<void> check_tls_options(const ReceiveOptions& options) {
  if (options.cert_file.empty() != options.key_file.empty()) {
    return Error{Errc::invalid, "--cert and --key need each other"};
  }
  if (options.key_file.empty() && !options.key_password_file.empty()) {
    return Error{Errc::invalid, "--key-password-file needs --key"};
  }
  for (const std::string& name : options.alpn) {
    if (name.size() > 255) return Error{Errc::invalid, "--alpn takes a name of up to 255 bytes"};
  }
  return {};
}

bool has_tls_options(const ReceiveOptions& options) {
  return options.is_insecure || !options.ca_file.empty() || !options.cert_file.empty() ||
         !options.alpn.empty();
}

Result<void> check_options(const ReceiveOptions& options) {
  PENSTOCK_TRY(check_topics(options));
  PENSTOCK_TRY(check_tls_options(options));
  if (options.user.empty() && !options.password_file.empty()) {
    return Error{Errc::invalid, "--password-file needs --user"};
  }
  const auto is_control = [](unsigned char c) { return std::iscntrl(c) != 0; };
  if (std::any_of(options.client_id.begin(), options.client_id.end(), is_control)) {
    return Error{Errc::invalid, "the client id holds a control character"};
  }
  if (options.ack_name.empty()) return {};
  if (options.state_file.empty()) {
    return Error{Errc::invalid, "--ack needs --state: what was told to agents must be kept"};
  }
  if (!config::is_connector_name(options.ack_name)) {
    return Error{Errc::invalid, "--ack takes a name of a-z 0-9 _ -, as the agents have it"};
  }
  return {};
}

Result<std::string> read_password(const std::string& path) {
  std::string password;
  if (path.empty()) return password;
  std::ifstream file(path);
  if (std::getline(file, password)) return password;
  return Error{Errc::unavailable, "cannot read a password from " + penstock::quoted(path)};
}

Error for_command_line(Error error) {
  constexpr std::string_view in_configuration =
      "write them as user: NAME and password: {file: PATH}, beside brokers";
  const std::size_t at = error.text.find(in_configuration);
  if (at != std::string::npos) {
    error.text.replace(at, in_configuration.size(), "use --user NAME --password-file FILE");
  }
  return error;
}

}  // namespace

Result<std::vector<forward::SubscriptionOptions>> links_of(const ReceiveOptions& options) {
  PENSTOCK_TRY(check_options(options));
  PENSTOCK_TRY_ASSIGN(const std::string password, read_password(options.password_file));
  forward::TlsFiles tls{options.ca_file, options.cert_file, options.key_file, options.is_insecure};
  PENSTOCK_TRY_ASSIGN(tls.key_password, read_password(options.key_password_file));
  tls.alpn = options.alpn;
  std::vector<forward::SubscriptionOptions> links;
  for (const std::string& url : options.broker_urls) {
    const Result<config::BrokerAddress> broker = config::parse_broker(url);
    if (!broker.ok()) return for_command_line(broker.error());
    const auto is_same = [&broker](const forward::SubscriptionOptions& other) {
      return other.connect.broker.host == broker->host && other.connect.broker.port == broker->port;
    };
    if (std::any_of(links.begin(), links.end(), is_same)) {
      return Error{Errc::invalid, penstock::quoted(url) + " is given twice"};
    }
    forward::SubscriptionOptions link;
    link.connect.broker = broker.value();
    link.connect.user = options.user;
    link.connect.password = password;
    link.connect.tls = tls;
    link.connect.timeout = std::chrono::seconds(10);
    link.is_persistent = true;
    if (has_throwaway_session(options)) link.session_expiry_s = throwaway_session_expiry_s;
    links.push_back(std::move(link));
  }
  const bool has_tls = std::any_of(links.begin(), links.end(),
                                   [](const auto& link) { return link.connect.broker.uses_tls(); });
  if (!has_tls && has_tls_options(options)) {
    return Error{Errc::invalid,
                 "--ca, --cert, --key, --alpn and --insecure are for mqtts:// and "
                 "wss://: no --broker has TLS"};
  }
  if (has_tls) {
    const Result<void> usable = forward::check_tls_files(tls);
    if (!usable.ok()) return Error{Errc::unavailable, in_our_words(usable.error().text)};
  }
  return links;
}

std::vector<std::string> topics_of(const ReceiveOptions& options) {
  std::vector<std::string> topics = options.topics;
  if (topics.empty()) {
    for (const char* kind : {"data", "zstd", "gzip"}) {
      topics.push_back(fmt::format("{}/+/{}/#", options.prefix, kind));
    }
  }
  if (!options.ack_name.empty()) topics.push_back(status_filter(options.prefix));
  return topics;
}

bool has_throwaway_session(const ReceiveOptions& options) {
  return options.client_id.empty() && options.state_file.empty();
}

}  // namespace penstock::cli
