#include "connectors/http/settings.hpp"

#include <algorithm>

#include "agent/base/log.hpp"
#include "connectors/support/decode_options.hpp"
#include "connectors/support/listen_options.hpp"

namespace penstock::connectors::http {
namespace {

using config::Option;
using config::OptionType;
using support::Transport;

constexpr std::string_view formats[] = {"auto", "text", "json", "influx"};

constexpr Option tls_options[] = {
    {.name = "cert",
     .type = OptionType::text,
     .doc = "PEM file with this server's certificate and its chain; read at the start",
     .example = "/etc/penstock/tls/server.pem"},
    {.name = "key",
     .type = OptionType::text,
     .doc = "PEM file with its private key",
     .example = "/etc/penstock/tls/server.key"},
};

constexpr Option option_table[] = {
    {.name = "listen",
     .type = OptionType::text_list,
     .doc =
         "addresses to take requests at: `tcp://` (HTTP) or `tls://` (HTTPS) with a numeric host "
         "and a port",
     .is_required = true,
     .example = "tcp://127.0.0.1:8080"},
    {.name = "path",
     .type = OptionType::text,
     .doc = "where requests are taken; with `*` at its end also everything below; other paths are "
            "not found",
     .default_text = "/*"},
    {.name = "format",
     .type = OptionType::choice,
     .doc = "what bodies hold. `auto`: `influx` where the path ends with /write, else by content "
            "type: `json` for application/json and application/x-ndjson, `text` (a line is an "
            "event) for text/plain",
     .default_text = "auto",
     .choices = formats},
    support::time_key_option,
    support::time_form_option,
    support::stream_key_option,
    support::influx_precision_option,
    {.name = "token",
     .type = OptionType::secret,
     .doc = "requests must have the header `Authorization: Bearer <token>` (or `Token <token>`)",
     .example = "{file: /etc/penstock/secrets/token}"},
    {.name = "user",
     .type = OptionType::text,
     .doc = "name for basic authentication",
     .example = "plant"},
    {.name = "password",
     .type = OptionType::secret,
     .doc = "password for basic authentication; with `token` too, either will do",
     .example = "{file: /etc/penstock/secrets/password}"},
    {.name = "body_bytes_max",
     .type = OptionType::size,
     .doc = "a longer body is refused, also once unpacked from gzip",
     .default_text = "1MiB",
     .min = "1KiB",
     .max = "16MiB"},
    {.name = "header_bytes_max",
     .type = OptionType::size,
     .doc = "longer headers are refused",
     .default_text = "16KiB",
     .min = "4KiB",
     .max = "1MiB"},
    support::connections_max_option,
    support::connections_per_address_option,
    {.name = "max_requests_per_second",
     .type = OptionType::integer,
     .doc = "above it requests are refused (429); 0 = no limit",
     .default_text = "0",
     .min = "0"},
    {.name = "idle_time",
     .type = OptionType::duration,
     .doc = "a connection whose next request's headers are not complete for so long is closed",
     .default_text = "60s",
     .min = "1s",
     .max = "1h"},
    {.name = "request_time",
     .type = OptionType::duration,
     .doc = "a request whose body is not complete so long after its headers is broken off",
     .default_text = "30s",
     .min = "1s",
     .max = "1h"},
    {.name = "commit_wait",
     .type = OptionType::duration,
     .doc =
         "how long a request waits for the commit before it is answered with 503; its events may "
         "be stored yet",
     .default_text = "30s",
     .min = "1s",
     .max = "1h"},
    support::allow_insecure_option,
    {.name = "tls",
     .type = OptionType::section,
     .doc = "certificate and key of addresses that begin with tls://",
     .children = tls_options},
};

std::string base64(std::string_view text) {
  constexpr std::string_view digits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t at = 0; at < text.size(); at += 3) {
    const std::string_view group = text.substr(at, 3);
    std::uint32_t bits = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      bits = bits << 8 | (i < group.size() ? static_cast<unsigned char>(group[i]) : 0U);
    }
    for (std::size_t i = 0; i < 4; ++i) {
      out += i <= group.size() ? digits[bits >> (18 - 6 * i) & 63] : '=';
    }
  }
  return out;
}

/// Looks at every byte whatever it finds.
bool is_same_secret(std::string_view given, std::string_view wanted) {
  unsigned difference = given.size() == wanted.size() ? 0 : 1;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const char c = i < given.size() ? given[i] : '\0';
    difference |= static_cast<unsigned char>(c) ^ static_cast<unsigned char>(wanted[i]);
  }
  return difference == 0;
}

bool take_word(std::string_view& text, std::string_view word) {
  const bool is_equal = text.size() > word.size() &&
                        std::equal(word.begin(), word.end(), text.begin(), [](char a, char b) {
                          return a == (b >= 'A' && b <= 'Z' ? b - 'A' + 'a' : b);
                        });
  if (is_equal) text.remove_prefix(word.size());
  return is_equal;
}

Result<void> check_access(const config::Section& section, const Settings& settings) {
  const bool has_password = section.has_written("password");
  if (settings.user.empty() == has_password) {
    return section.invalid(has_password ? "password" : "user",
                           "one of user and password is missing", "write both");
  }
  if (settings.user.find(':') != std::string::npos) {
    return section.invalid("user", "a user's name holds no colon");
  }
  const bool is_open = !has_password && !section.has_written("token");
  const auto far = std::find_if(settings.addresses.begin(), settings.addresses.end(),
                                [](const auto& address) { return !address.is_local(); });
  if (is_open && far != settings.addresses.end() && !section.boolean("allow_insecure")) {
    return section.invalid("listen",
                           quoted(far->text) + " can be reached from other machines, by anyone",
                           "set a token, or user and password, or write allow_insecure: true");
  }
  return {};
}

}  // namespace

std::span<const Option> options() { return option_table; }

Result<Settings> read_settings(const config::Section& section) {
  Settings settings;
  PENSTOCK_TRY_ASSIGN(settings.addresses,
                      support::read_listen_addresses(section, {Transport::tcp, Transport::tls}));
  const config::Section tls = section.section("tls");
  settings.cert = tls.text("cert");
  settings.key = tls.text("key");
  for (const support::ListenAddress& address : settings.addresses) {
    if (address.transport == Transport::tls && (settings.cert.empty() || settings.key.empty())) {
      return section.invalid("tls", "HTTPS needs a certificate and its key",
                             "write tls: {cert: FILE, key: FILE}");
    }
  }
  settings.path = section.text("path");
  if (!settings.path.starts_with('/')) {
    return section.invalid("path", "a path begins with /", "write path: /events");
  }
  settings.format = support::parse_format(section.text("format"));
  settings.decode = support::read_decode_options(section);
  settings.user = section.text("user");
  PENSTOCK_TRY(check_access(section, settings));
  settings.body_bytes_max = static_cast<std::size_t>(section.size("body_bytes_max"));
  settings.header_bytes_max = static_cast<std::size_t>(section.size("header_bytes_max"));
  settings.connections_max = static_cast<std::size_t>(section.integer("max_connections"));
  settings.connections_per_address_max =
      static_cast<std::size_t>(section.integer("max_connections_per_address"));
  settings.idle_time = section.duration("idle_time");
  settings.request_time = section.duration("request_time");
  settings.commit_wait = section.duration("commit_wait");
  settings.requests_per_second_max =
      static_cast<double>(section.integer("max_requests_per_second"));
  return settings;
}

Result<Access> Access::read(const config::Section& section, const Settings& settings) {
  Access access;
  PENSTOCK_TRY_ASSIGN(access.token_, section.secret("token"));
  PENSTOCK_TRY_ASSIGN(const config::Secret password, section.secret("password"));
  if (!settings.user.empty()) {
    access.basic_ = config::Secret(base64(settings.user + ":" + password.reveal()));
  }
  return access;
}

bool Access::allows(std::string_view authorization) const {
  if (is_open()) return true;
  if (take_word(authorization, "basic ")) {
    return !basic_.is_empty() && is_same_secret(authorization, basic_.reveal());
  }
  if (!take_word(authorization, "bearer ") && !take_word(authorization, "token ")) return false;
  return !token_.is_empty() && is_same_secret(authorization, token_.reveal());
}

}  // namespace penstock::connectors::http
