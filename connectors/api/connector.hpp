// The connector interface: one virtual method to write, one small object lent by the agent.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>

#include "agent/base/clock.hpp"
#include "agent/base/log.hpp"
#include "agent/base/result.hpp"
#include "config/option.hpp"
#include "config/section.hpp"
#include "connectors/api/event.hpp"

namespace penstock::connectors {

/// Lent to a connector while run() is in progress.
/// Thread: the one inside run(); stop_token() and stop_fd() may be used from any.
class Session {
 public:
  virtual ~Session() = default;

  /// Last durable position of `part`; nullopt before the first, or once it was forgotten.
  virtual std::optional<std::string> resume_from(std::string_view part) const = 0;
  /// Every part that has a durable position, in no order. For sources whose parts come and go.
  virtual std::vector<std::string> known_parts() const = 0;

  /// Hands over a chunk and leaves it empty, ready for reuse. Blocks while the connector's queue is
  /// full: that wait IS the back-pressure. An empty chunk is ok and does nothing.
  /// stopped: stop was asked for and the chunk was not taken; its content is unchanged.
  virtual Result<void> push(Chunk& chunk) = 0;

  /// Blocks until all pushed chunks are durable; then the source may forget them.
  /// stopped: stop was asked for first. unavailable: the buffer failed; nothing more is durable
  /// than resume_from() will say after the restart.
  virtual Result<void> flush() = 0;

  /// Waits; false as soon as stop is asked for.
  virtual bool sleep_for(std::chrono::microseconds time) = 0;
  virtual std::stop_token stop_token() const = 0;
  /// Readable once stop is asked for: poll(2) it beside your own descriptors.
  virtual int stop_fd() const = 0;

  /// Whether what is pushed is only shown, and kept nowhere (`penstock probe`). A source that
  /// forgets what it was told is durable must not be told, and a session of the agent's at the
  /// source not be used.
  virtual bool is_trial() const { return false; }

  virtual const Clock& clock() const = 0;
  /// Named conn.<id>.
  virtual Log& log() = 0;
};

/// A source of events; one object per entry under `connectors:`. Constructing it opens nothing.
/// run() may be called again after it returned; it is never called twice at once.
class Connector {
 public:
  virtual ~Connector() = default;

  /// Reads the source until stop, on a thread of its own. ok: stop was asked for, or the source has
  /// ended for good. unavailable: called again with back-off, from the last durable position.
  /// invalid: stays down and is reported.
  virtual Result<void> run(Session& session) = 0;

  /// Where it depends on the options: whether this very source can be read again from a position.
  /// nullopt: as its type says.
  virtual std::optional<bool> is_rereadable() const { return std::nullopt; }
};

/// A source that is asked at an interval: a register, /proc, a REST resource.
class PollConnector : public Connector {
 public:
  explicit PollConnector(std::chrono::microseconds every) : every_(every) {}

  /// Polls at multiples of the interval; a poll that took longer skips the ones it missed.
  Result<void> run(Session& session) final;

 protected:
  /// Before the first poll of each run().
  virtual Result<void> open(Session& session) {
    static_cast<void>(session);
    return {};
  }
  /// Reads once and appends to `out`; returns within one interval.
  virtual Result<void> poll(Chunk& out) = 0;

 private:
  std::chrono::microseconds every_;
};

/// The one constant that a connector's folder exports, named `type`.
struct ConnectorType {
  std::string_view name;     ///< YAML `type:`
  std::string_view summary;  ///< one line, for `penstock list`
  /// Whether the source can be read again from a position. Such a source waits when the buffer is
  /// full.
  bool is_rereadable = false;
  std::span<const config::Option> options;
  /// Opens nothing. invalid: already reported through the section, with its place.
  Result<std::unique_ptr<Connector>> (*make)(const config::Section& section);
};

/// Every type built in, in the order of connectors/CMakeLists.txt.
std::span<const ConnectorType* const> builtin_types();
const ConnectorType* find_type(std::string_view name);

}  // namespace penstock::connectors
