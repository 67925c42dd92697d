// ConnectorSession: what the agent lends to a connector while it runs.
#pragma once

#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/clock.hpp"
#include "agent/base/log.hpp"
#include "agent/base/unique_fd.hpp"
#include "agent/pipeline/source.hpp"
#include "connectors/api/connector.hpp"

namespace penstock::pipeline {

class Inbox;
struct Source;

/// Made by Intake::open_session, and dropped before the Intake. Positions are those that were
/// durable when it was opened, and each later commit's.
/// Threads: the connector's functions belong to the one inside run(); request_stop, stats and
/// settle to any.
class ConnectorSession final : public connectors::Session {
 public:
  ConnectorSession(Inbox& inbox, Source& source, const Clock& clock);
  ConnectorSession(const ConnectorSession&) = delete;
  ConnectorSession& operator=(const ConnectorSession&) = delete;
  /// What was pushed stays queued and will be stored.
  ~ConnectorSession() override;

  std::optional<std::string> resume_from(std::string_view part) const override;
  std::vector<std::string> known_parts() const override;
  /// After request_stop one more chunk is taken (what the connector has in hand); of a source that
  /// can be read again only if there is room. Then, and whenever it would block, the answer is
  /// `stopped`.
  Result<void> push(connectors::Chunk& chunk) override;
  Result<void> flush() override;
  bool sleep_for(std::chrono::microseconds time) override;
  std::stop_token stop_token() const override { return stop_.get_token(); }
  int stop_fd() const override { return stop_fd_.get(); }
  const Clock& clock() const override { return clock_; }
  Log& log() override { return log_; }

  /// Blocks until everything pushed is durable, so that resume_from is decided: to be called before
  /// run() is called again. stopped: stop was asked for first.
  Result<void> settle() { return flush(); }
  /// Ends push, flush and sleep_for, makes stop_fd readable. Idempotent, final.
  void request_stop();
  SourceStats stats() const;

 private:
  Inbox& inbox_;
  Source& source_;
  const Clock& clock_;
  std::stop_source stop_;
  UniqueFd stop_fd_;
  Log log_;
};

}  // namespace penstock::pipeline
