// Settings: the http connector's options as plain values.
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "config/section.hpp"
#include "connectors/support/decoder.hpp"
#include "connectors/support/listen_address.hpp"

namespace penstock::connectors::http {

struct Settings {
  std::vector<support::ListenAddress> addresses;
  std::string cert;
  std::string key;
  std::string path;                       ///< exact, or what lies below where it ends with "*"
  std::optional<support::Format> format;  ///< nothing: by path and content type
  support::DecodeOptions decode;
  std::string user;
  std::size_t body_bytes_max = 1024 * 1024;
  std::size_t header_bytes_max = 16 * 1024;
  std::size_t connections_max = 64;
  std::size_t connections_per_address_max = 16;
  std::chrono::microseconds idle_time{60'000'000};
  std::chrono::microseconds request_time{30'000'000};
  std::chrono::microseconds commit_wait{30'000'000};
  double requests_per_second_max = 0;  ///< 0 = no limit
};

std::span<const config::Option> options();

/// invalid: reported through the section, with its place.
Result<Settings> read_settings(const config::Section& section);

/// What a request has to show. Holds secrets: read when run() begins, so that a changed file
/// counts.
class Access {
 public:
  /// unavailable, invalid: as Section::secret.
  static Result<Access> read(const config::Section& section, const Settings& settings);
  bool is_open() const { return token_.is_empty() && basic_.is_empty(); }
  /// `authorization` is the header of this name. Takes as long for a wrong one as for a right one.
  bool allows(std::string_view authorization) const;

 private:
  config::Secret token_;
  config::Secret basic_;  // base64 of "user:password", as it is sent
};

}  // namespace penstock::connectors::http
