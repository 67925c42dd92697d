#include "connectors/modbus/unit.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "connectors/modbus/value.hpp"

namespace penstock::connectors::modbus {

Unit::Unit(UnitPlan plan, const Settings& settings, Log& log)
    : plan_(std::move(plan)),
      settings_(settings),
      log_(log),
      values_(settings.items.size()),
      texts_(settings.items.size()) {}

Answer::Kind Unit::poll(Bus& bus, Session& session, Chunk& out) {
  std::fill(values_.begin(), values_.end(), Value{});
  error_.clear();
  const Answer::Kind kind = read_blocks(bus, session);
  if (kind != Answer::Kind::broken) append(out);
  return kind;
}

Answer::Kind Unit::read_blocks(Bus& bus, Session& session) {
  for (std::size_t i = 0; i < plan_.blocks.size();) {
    const Block& block = plan_.blocks[i];
    const Answer answer = ask(bus, session, block);
    if (answer.kind == Answer::Kind::broken) return answer.kind;
    if (answer.kind == Answer::Kind::silent) {
      report_silence(answer, session.clock().steady_us());
      return answer.kind;
    }
    report_answer();
    if (answer.kind == Answer::Kind::good) {
      take(block);
    } else if (answer.kind == Answer::Kind::refused && block.items.size() > 1) {
      // One bad register must not take its neighbours with it: from now on each is asked alone.
      std::vector<Block> single = split(block, settings_.items);
      plan_.blocks.erase(plan_.blocks.begin() + static_cast<std::ptrdiff_t>(i));
      plan_.blocks.insert(plan_.blocks.begin() + static_cast<std::ptrdiff_t>(i),
                          std::make_move_iterator(single.begin()),
                          std::make_move_iterator(single.end()));
      continue;
    } else {
      refuse(block, answer.text);
    }
    ++i;
  }
  return Answer::Kind::good;
}

Answer Unit::ask(Bus& bus, Session& session, const Block& block) {
  // A unit that was silent gets one chance a poll, so that it does not hold up its neighbours.
  const int attempts = failures_ > 0 ? 1 : 1 + settings_.retries;
  Answer answer{Answer::Kind::broken, "stop was asked for"};
  for (int i = 0; i < attempts; ++i) {
    if (session.stop_token().stop_requested()) return answer;
    if (!bus.is_open()) {
      if (const auto opened = bus.open(); !opened.ok()) {
        return {Answer::Kind::broken, opened.error().text};
      }
    }
    if (settings_.pause.count() > 0 && !session.sleep_for(settings_.pause)) return answer;
    answer = bus.read(plan_.unit, block, registers_);
    if (answer.kind == Answer::Kind::good || answer.kind == Answer::Kind::refused) break;
  }
  return answer;
}

void Unit::take(const Block& block) {
  for (const std::size_t index : block.items) {
    const Item& item = settings_.items[index];
    const std::size_t first = item.address - block.address;
    values_[index] = value_of(item, std::span(registers_).subspan(first, item.size), texts_[index]);
    if (refused_.erase(index) > 0) {
      log_.info("event=register_back unit={} name={}", plan_.unit, quoted(item.name));
    }
  }
}

void Unit::refuse(const Block& block, const std::string& why) {
  for (const std::size_t index : block.items) {
    const Item& item = settings_.items[index];
    const std::string text =
        fmt::format("{} ({} {}): {}", item.name, to_string(item.table), item.address, why);
    if (!error_.empty()) error_ += "; ";
    error_ += text;
    std::string& known = refused_[index];
    if (known != why) {
      log_.warn("event=register_refused unit={} name={} table={} address={} error={}", plan_.unit,
                quoted(item.name), to_string(item.table), item.address, quoted(why));
    }
    known = why;
  }
}

void Unit::report_silence(const Answer& answer, std::int64_t now_us) {
  ++failures_;
  const std::int64_t doubled = settings_.every.count() << std::min(failures_, 20U);
  const std::int64_t rest_us =
      std::min(doubled, std::max(settings_.backoff_max.count(), settings_.every.count()));
  due_us_ = now_us + rest_us;
  error_ = answer.text;
  if (silence_.empty()) {
    log_.warn("event=unit_down unit={} error={} retry_in_ms={}", plan_.unit, quoted(answer.text),
              rest_us / 1000);
  }
  silence_ = answer.text;
}

void Unit::report_answer() {
  if (failures_ == 0) return;
  log_.info("event=unit_up unit={} after_attempts={}", plan_.unit, failures_);
  failures_ = 0;
  silence_.clear();
}

void Unit::append(Chunk& out) {
  fields_.clear();
  fields_.push_back({"unit", static_cast<std::int64_t>(plan_.unit)});
  std::vector<std::string> names;  // views into it must not move
  names.reserve(plan_.items.size());
  for (const std::size_t index : plan_.items) {
    const Item& item = settings_.items[index];
    fields_.push_back({item.name, values_[index]});
    if (item.measured_in.empty()) continue;
    names.push_back(item.name + "_unit");
    fields_.push_back({names.back(), std::string_view(item.measured_in)});
  }
  if (!error_.empty()) fields_.push_back({"error", std::string_view(error_)});
  out.add(0, settings_.stream_per_unit ? std::to_string(plan_.unit) : std::string(), fields_);
}

}  // namespace penstock::connectors::modbus
