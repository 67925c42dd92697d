// Options for a TLS connection to a broker, as the uplink and connectors have them.
#pragma once

#include "config/option.hpp"

namespace penstock::config {

inline constexpr Option tls_ca_option = {
    .name = "ca",
    .type = OptionType::text,
    .doc = "PEM file of the authorities to trust; the system's unless given",
    .example = "/etc/penstock/tls/ca.pem"};
inline constexpr Option tls_cert_option = {
    .name = "cert",
    .type = OptionType::text,
    .doc = "PEM file of our certificate and its chain, if the broker asks for one",
    .example = "/etc/penstock/tls/gw-7.pem"};
inline constexpr Option tls_key_option = {.name = "key",
                                          .type = OptionType::text,
                                          .doc = "PEM file of its key",
                                          .example = "/etc/penstock/tls/gw-7.key"};
inline constexpr Option tls_insecure_option = {
    .name = "insecure",
    .type = OptionType::boolean,
    .doc = "Check neither the broker's certificate nor its name: for tests",
    .default_text = "false"};

}  // namespace penstock::config
