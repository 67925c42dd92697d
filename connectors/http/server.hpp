// Server: takes HTTP requests, leaves their events at the desk, and answers when they are durable.
#pragma once

#include <memory>

#include "connectors/api/connector.hpp"
#include "connectors/http/keys.hpp"
#include "connectors/http/settings.hpp"
#include "connectors/support/desk.hpp"

namespace penstock::connectors::http {

/// What the server shares with the connector's thread; once loaded, the keys are the server's.
struct Desk {
  KeyMemory keys;
  support::Desk chunks;
};

/// By libmicrohttpd, which is loaded by then, without threads of its own. Thread: open and run on
/// one, the other may only ask it to stop.
class Server {
 public:
  /// All of them outlive the server.
  Server(const Settings& settings, const Access& access, Desk& desk, Log& log);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  /// Answers what still waits with 503.
  ~Server();

  /// unavailable: an address or the certificate cannot be used.
  Result<void> open();
  /// Serves until request_stop(); answers what is durable by then, and everything else with 503.
  void run();
  /// Thread: any.
  void request_stop();

 private:
  class Core;
  std::unique_ptr<Core> core_;
};

}  // namespace penstock::connectors::http
