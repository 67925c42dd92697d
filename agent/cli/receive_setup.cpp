#include "agent/cli/receive_setup.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <fstream>

#include "agent/base/log.hpp"
#include "agent/cli/receive_ack.hpp"
#include "config/checks.hpp"

namespace penstock::cli {
namespace {

constexpr std::uint32_t throwaway_session_expiry_s = 3600;

Result<void> check_options(const ReceiveOptions& options) {
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

}  // namespace

Result<std::vector<forward::SubscriptionOptions>> links_of(const ReceiveOptions& options) {
  PENSTOCK_TRY(check_options(options));
  const Result<std::string> password = read_password(options.password_file);
  if (!password.ok()) return password.error();
  std::vector<forward::SubscriptionOptions> links;
  for (const std::string& url : options.broker_urls) {
    const Result<config::BrokerAddress> broker = config::parse_broker(url);
    if (!broker.ok()) return broker.error();
    const auto is_same = [&broker](const forward::SubscriptionOptions& other) {
      return other.connect.broker.host == broker->host && other.connect.broker.port == broker->port;
    };
    if (std::any_of(links.begin(), links.end(), is_same)) {
      return Error{Errc::invalid, penstock::quoted(url) + " is given twice"};
    }
    forward::SubscriptionOptions link;
    link.connect.broker = broker.value();
    link.connect.user = options.user;
    link.connect.password = *password;
    link.connect.tls = {options.ca_file, options.cert_file, options.key_file, options.is_insecure};
    link.connect.timeout = std::chrono::seconds(5);
    link.is_persistent = true;
    if (has_throwaway_session(options)) link.session_expiry_s = throwaway_session_expiry_s;
    links.push_back(std::move(link));
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
