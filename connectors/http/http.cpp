// The connector type `http`: requests whose events are durable when they are answered.
#include <poll.h>
#include <pthread.h>

#include <thread>

#include "connectors/api/connector.hpp"
#include "connectors/http/keys.hpp"
#include "connectors/http/mhd.hpp"
#include "connectors/http/server.hpp"
#include "connectors/http/settings.hpp"
#include "connectors/support/desk.hpp"

namespace penstock::connectors::http {
namespace {

/// The server runs on a thread of its own, so that it can say 503 while push or flush waits.
class Http final : public Connector {
 public:
  Http(config::Section section, Settings settings)
      : section_(std::move(section)), settings_(std::move(settings)) {}

  Result<void> run(Session& session) override {
    if (session.stop_token().stop_requested()) return {};
    PENSTOCK_TRY(load_mhd());
    PENSTOCK_TRY_ASSIGN(const Access access, Access::read(section_, settings_));
    Desk desk;
    desk.keys.load(session);
    Server server(settings_, access, desk, session.log());
    PENSTOCK_TRY(server.open());
    std::thread serving([&] {
      ::pthread_setname_np(::pthread_self(), "http");
      server.run();
    });
    const Result<void> result = pass_on(session, desk.chunks);
    server.request_stop();
    serving.join();
    return !result.ok() && result.error().code == Errc::stopped ? Result<void>() : result;
  }

 private:
  /// Everything that waits is pushed and committed together; what comes meanwhile is next.
  static Result<void> pass_on(Session& session, support::Desk& desk) {
    while (!session.stop_token().stop_requested()) {
      pollfd waits[] = {{session.stop_fd(), POLLIN, 0}, {desk.left_fd(), POLLIN, 0}};
      ::poll(waits, 2, -1);
      std::vector<Chunk> chunks = desk.take();
      if (chunks.empty()) continue;
      for (Chunk& chunk : chunks) PENSTOCK_TRY(session.push(chunk));
      // Nothing is kept, so nobody may be told 2xx: in time they get 503, and send it again.
      if (session.is_trial()) continue;
      PENSTOCK_TRY(session.flush());
      desk.committed(std::move(chunks));
    }
    return {};
  }

  config::Section section_;
  Settings settings_;
};

Result<std::unique_ptr<Connector>> make(const config::Section& section) {
  PENSTOCK_TRY_ASSIGN(Settings settings, read_settings(section));
  return std::unique_ptr<Connector>(std::make_unique<Http>(section, std::move(settings)));
}

}  // namespace

extern const ConnectorType type;
const ConnectorType type{
    .name = "http",
    .summary = "requests by HTTP(S): JSON, influx lines or text, answered when they are durable",
    .is_rereadable = false,
    .options = options(),
    .make = make,
};

}  // namespace penstock::connectors::http
