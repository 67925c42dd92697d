// The connector type `mqtt`: topics of a local broker, acknowledged when they are durable.
#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include <thread>

#include "agent/base/log.hpp"
#include "connectors/api/connector.hpp"
#include "connectors/mqtt/ledger.hpp"
#include "connectors/mqtt/settings.hpp"
#include "connectors/mqtt/subscriber.hpp"
#include "connectors/support/desk.hpp"

namespace penstock::connectors::mqtt {
namespace {

/// So many connections that a broker closes instead of answering MQTT 5 mean that it does
/// not know it.
constexpr int closed_max = 3;

/// Beside a running agent: its session, and what waits in it, is left alone.
Settings for_trial(Settings settings) {
  settings.client_id += fmt::format("-probe-{}", ::getpid());
  settings.is_clean = true;
  for (std::string& topic : settings.topics) {
    constexpr std::string_view shared = "$share/";
    if (!topic.starts_with(shared)) continue;
    const std::size_t end = topic.find('/', shared.size());
    topic.erase(0, end == std::string::npos ? topic.size() : end + 1);
  }
  return settings;
}

/// The connection is served on a thread of its own, so that pings go on while push or flush waits.
class Mqtt final : public Connector {
 public:
  Mqtt(config::Section section, Settings settings)
      : section_(std::move(section)),
        settings_(std::move(settings)),
        ledger_(settings_.broker.url + '\0' + settings_.client_id) {}

  /// Otherwise the broker keeps nothing for us: waiting would only move the loss there.
  std::optional<bool> is_rereadable() const override {
    return settings_.qos > 0 && !settings_.is_clean;
  }

  Result<void> run(Session& session) override {
    if (session.stop_token().stop_requested()) return {};
    ledger_.load(session);
    // Without this all that the ledger says of QoS 1 was pushed, and is durable by now.
    if (!std::exchange(has_all_pushed_, false)) ledger_.forget_qos1();
    PENSTOCK_TRY_ASSIGN(const config::Secret password, section_.secret("password"));
    const Settings settings = session.is_trial() ? for_trial(settings_) : settings_;
    const Result<void> result = settings.version
                                    ? converse(session, settings, *settings.version, password)
                                    : find_version(session, settings, password);
    return !result.ok() && result.error().code == Errc::stopped ? Result<void>() : result;
  }

 private:
  Result<void> find_version(Session& session, const Settings& settings,
                            const config::Secret& password) {
    if (found_ == Version::v5) {
      const Result<void> result = converse(session, settings, Version::v5, password);
      if (found_ == Version::v5) return result;
      session.log().info("event=protocol_older broker={} protocol=3.1.1",
                         penstock::quoted(settings_.broker.url));
    }
    return converse(session, settings, Version::v311, password);
  }

  /// One connection, from CONNECT on.
  Result<void> converse(Session& session, const Settings& settings, Version version,
                        const config::Secret& password) {
    support::Desk desk;
    Subscriber subscriber(settings, version, ledger_, desk, session);
    PENSTOCK_TRY_ASSIGN(const Subscriber::Opened opened, subscriber.open(password));
    if (opened != Subscriber::Opened::yes) return no_answer(version, opened);
    knows_5_ = knows_5_ || version == Version::v5;
    Result<void> end;
    std::thread serving([&] {
      ::pthread_setname_np(::pthread_self(), "mqtt");
      end = subscriber.run();
    });
    const Result<void> passed = pass_on(session, desk, subscriber.ended_fd());
    subscriber.request_stop();
    serving.join();
    PENSTOCK_TRY(passed);
    if (session.stop_token().stop_requested()) return {};
    // What came before the end is whole: the broker need not send it again.
    for (Chunk& chunk : desk.take()) PENSTOCK_TRY(session.push(chunk));
    has_all_pushed_ = true;
    return end;
  }

  Result<void> no_answer(Version version, Subscriber::Opened opened) {
    const bool is_refusal = opened == Subscriber::Opened::refused_version;
    if (version == Version::v5 && (is_refusal || (!knows_5_ && ++closed_ >= closed_max))) {
      found_ = Version::v311;
    }
    return Error{Errc::unavailable,
                 settings_.broker.url +
                     (is_refusal ? ": the broker does not speak MQTT 5"
                                 : ": the broker closed the connection instead of answering")};
  }

  /// Everything that waits is pushed and committed together; what comes meanwhile is next. ok: stop
  /// was asked for, or the connection has ended.
  Result<void> pass_on(Session& session, support::Desk& desk, int ended_fd) const {
    for (;;) {
      pollfd waits[] = {
          {session.stop_fd(), POLLIN, 0}, {ended_fd, POLLIN, 0}, {desk.left_fd(), POLLIN, 0}};
      ::poll(waits, 3, -1);
      // What was not pushed yet is not acknowledged either, and comes again.
      if (waits[0].revents != 0 || waits[1].revents != 0) return {};
      std::vector<Chunk> chunks = desk.take();
      if (chunks.empty()) continue;
      for (Chunk& chunk : chunks) PENSTOCK_TRY(session.push(chunk));
      if (settings_.qos > 0) PENSTOCK_TRY(session.flush());
      desk.committed(std::move(chunks));
    }
  }

  config::Section section_;
  Settings settings_;
  Ledger ledger_;
  bool has_all_pushed_ = false;  // by the last run
  Version found_ = Version::v5;  // protocol: auto
  bool knows_5_ = false;         // the broker has answered it
  int closed_ = 0;               // connections without an answer, as long as it has not
};

Result<std::unique_ptr<Connector>> make(const config::Section& section) {
  PENSTOCK_TRY_ASSIGN(Settings settings, read_settings(section));
  return std::unique_ptr<Connector>(std::make_unique<Mqtt>(section, std::move(settings)));
}

}  // namespace

extern const ConnectorType type;
const ConnectorType type{
    .name = "mqtt",
    .summary = "topics of an MQTT broker nearby, acknowledged when they are durable",
    .is_rereadable = true,
    .options = options(),
    .make = make,
};

}  // namespace penstock::connectors::mqtt
