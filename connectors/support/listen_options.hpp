// The options of a connector that listens, to be put into its table.
#pragma once

#include <string_view>

#include "config/option.hpp"
#include "connectors/support/tls_server.hpp"

namespace penstock::connectors::support {

inline constexpr std::string_view socket_modes[] = {"0600", "0660", "0666"};

inline constexpr config::Option allow_insecure_option{
    .name = "allow_insecure",
    .type = config::OptionType::boolean,
    .doc =
        "listen without TLS where other machines can reach it: whoever can send there can write "
        "into the buffer",
    .default_text = "false"};
inline constexpr config::Option socket_mode_option{
    .name = "socket_mode",
    .type = config::OptionType::choice,
    .doc = "permissions of a Unix socket's file: who may send",
    .default_text = "0660",
    .choices = socket_modes};
inline constexpr config::Option message_bytes_max_option{
    .name = "message_bytes_max",
    .type = config::OptionType::size,
    .doc =
        "a longer message is cut here, at a character boundary, and marked with `cut`; the rest "
        "of it is skipped",
    .default_text = "64KiB",
    .min = "64B",
    .max = "1MiB"};
inline constexpr config::Option connections_max_option{
    .name = "max_connections",
    .type = config::OptionType::integer,
    .doc = "connections at once; further ones are closed",
    .default_text = "64",
    .min = "1",
    .max = "10000"};
inline constexpr config::Option connections_per_address_option{
    .name = "max_connections_per_address",
    .type = config::OptionType::integer,
    .doc = "connections at once from one address",
    .default_text = "16",
    .min = "1",
    .max = "10000"};
inline constexpr config::Option idle_time_option{
    .name = "idle_time",
    .type = config::OptionType::duration,
    .doc = "a connection that completes no message for so long is closed; `off`: never",
    .default_text = "60s",
    .min = "1s",
    .max = "30d",
    .may_be_off = true};
inline constexpr config::Option messages_per_second_option{
    .name = "max_messages_per_second",
    .type = config::OptionType::integer,
    .doc =
        "of one connection, or of all that comes to one datagram address: above it connections "
        "wait, and the kernel drops datagrams; 0 = no limit",
    .default_text = "0",
    .min = "0"};

}  // namespace penstock::connectors::support
