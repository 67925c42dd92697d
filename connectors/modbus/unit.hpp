// Unit: what is known of one unit on the bus, from poll to poll.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "agent/base/clock.hpp"
#include "agent/base/log.hpp"
#include "connectors/api/connector.hpp"
#include "connectors/modbus/bus.hpp"
#include "connectors/modbus/plan.hpp"

namespace penstock::connectors::modbus {

/// Thread: owner only.
class Unit {
 public:
  Unit(UnitPlan plan, const Settings& settings, Log& log);

  /// Whether a poll should ask it: a silent unit rests longer after each attempt.
  bool is_due(std::int64_t now_us) const { return failures_ == 0 || now_us >= due_us_; }

  /// Asks for all values and appends one event: the values, null for those that were refused, and
  /// `error` if anything went wrong. broken: nothing was appended, the bus is to be opened again.
  Answer::Kind poll(Bus& bus, Session& session, Chunk& out);

 private:
  Answer::Kind read_blocks(Bus& bus, Session& session);
  Answer ask(Bus& bus, Session& session, const Block& block);
  void take(const Block& block);
  void refuse(const Block& block, const std::string& why);
  void report_silence(const Answer& answer, std::int64_t now_us);
  void report_answer();
  void append(Chunk& out);

  UnitPlan plan_;
  const Settings& settings_;
  Log& log_;
  std::vector<std::uint16_t> registers_;
  std::vector<Value> values_;                   // by item; monostate where it was not read
  std::vector<std::string> texts_;              // what values_ may look into
  std::map<std::size_t, std::string> refused_;  // item -> why, as last reported
  std::string error_;                           // of this poll
  std::string silence_;                         // why the unit is taken for silent
  unsigned failures_ = 0;                       // polls without an answer, one after the other
  std::int64_t due_us_ = 0;
  std::vector<Field> fields_;
};

}  // namespace penstock::connectors::modbus
