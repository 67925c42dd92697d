// The connector type `modbus`: polls the units of one bus, one after the other.
#include "connectors/api/connector.hpp"
#include "connectors/modbus/bus.hpp"
#include "connectors/modbus/settings.hpp"
#include "connectors/modbus/unit.hpp"

namespace penstock::connectors::modbus {
namespace {

class Modbus final : public PollConnector {
 public:
  explicit Modbus(Settings settings)
      : PollConnector(settings.every), settings_(std::move(settings)), bus_(settings_) {}

 private:
  Result<void> open(Session& session) override {
    session_ = &session;
    if (session.stop_token().stop_requested()) return {};
    bus_.close();
    units_.clear();
    for (UnitPlan& plan : make_plan(settings_)) {
      units_.emplace_back(std::move(plan), settings_, session.log());
    }
    PENSTOCK_TRY(bus_.open());
    session.log().info("event=bus_open address={} units={}", quoted(settings_.address()),
                       units_.size());
    return {};
  }

  Result<void> poll(Chunk& out) override {
    for (Unit& unit : units_) {
      if (session_->stop_token().stop_requested()) return {};
      if (!unit.is_due(session_->clock().steady_us())) continue;
      // A connection that was closed while idle is opened again at once; one that cannot be is for
      // the agent to try again.
      if (unit.poll(bus_, *session_, out) != Answer::Kind::broken) continue;
      if (session_->stop_token().stop_requested()) return {};
      PENSTOCK_TRY(bus_.open());
      if (unit.poll(bus_, *session_, out) != Answer::Kind::broken) continue;
      if (session_->stop_token().stop_requested()) return {};
      return Error{Errc::unavailable, settings_.address() + ": the connection was lost"};
    }
    return {};
  }

  Settings settings_;
  Bus bus_;
  std::vector<Unit> units_;
  Session* session_ = nullptr;  // of the run() that is in progress
};

Result<std::unique_ptr<Connector>> make(const config::Section& section) {
  PENSTOCK_TRY_ASSIGN(Settings settings, read_settings(section));
  return std::unique_ptr<Connector>(std::make_unique<Modbus>(std::move(settings)));
}

}  // namespace

extern const ConnectorType type;
const ConnectorType type{
    .name = "modbus",
    .summary = "registers and coils of Modbus units, over TCP or a serial line",
    .is_rereadable = false,
    .options = options(),
    .make = make,
};

}  // namespace penstock::connectors::modbus
