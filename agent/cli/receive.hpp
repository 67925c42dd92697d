// `penstock receive`: the reference receiver. Subscribes, applies the receiver's rule, prints each
// new event once.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "agent/cli/commands.hpp"

namespace penstock::cli {

/// What the command line says. Durations of 0 mean "off".
struct ReceiveOptions {
  std::vector<std::string> broker_urls;  ///< mqtt, mqtts, ws or wss; all at once
  std::vector<std::string> topics;       ///< filters; empty: all data and zstd topics of "penstock"
  std::string user;                      ///< "": no user name
  std::string password_file;             ///< first line is the password; "": none
  std::string ca_file;                   ///< PEM file of trusted authorities; "": the system's
  std::string cert_file;                 ///< PEM file of our certificate; "": none
  std::string key_file;                  ///< PEM file of its key
  std::string key_password_file;         ///< first line is the key's password; "": not encrypted
  std::vector<std::string> alpn;         ///< protocols to offer by TLS
  bool is_insecure = false;              ///< neither certificate nor host name is checked
  std::string client_id;                 ///< "": made up; named by the state file if there is one
  std::uint64_t expect = 0;  ///< end once that many new events came, loss records not counted
  std::chrono::microseconds run_for{0};                ///< end after this long
  std::chrono::microseconds gap_after{60'000'000};     ///< an open hole becomes a gap
  std::chrono::microseconds summary_every{5'000'000};  ///< progress lines on stderr
  bool from_start = false;                             ///< every stream has to begin at 0
  bool strict_order = false;                           ///< a late number is a finding too
  std::string state_file;                              ///< what was covered, kept over runs
  std::string prefix = "penstock";                     ///< of the topics
  std::string ack_name;   ///< publish what is kept, for agents with ack: receiver; "": do not
  bool is_json = false;   ///< stderr as JSON lines
  bool is_quiet = false;  ///< no progress, no summary; findings stay
};

/// Runs until a limit is met, nobody reads stdout any more, or SIGINT, SIGTERM or SIGHUP comes (a
/// second one ends the process at once; the handlers stay until the end). Returns the exit code: 0
/// nothing wrong; 1 a gap, a conflict, more streams than can be checked, or with strict_order a
/// late number; 64 bad options; 65 a payload that is no batch (and nothing worse), or a damaged
/// state file; 69 the broker was never reached; 74 a file or stdout cannot be used; 75 `expect` not
/// met in time, or another receiver has the state file; 77 the broker refuses user, password or
/// client id. Thread: main.
int receive(const ReceiveOptions& options);

/// Adds the subcommand `receive`, as those of commands.hpp.
void add_receive_command(CLI::App& app, const Globals& globals, int& exit_code);

}  // namespace penstock::cli
