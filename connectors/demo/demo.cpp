// The demo connector: made-up readings that can be read again, to try things out without hardware.
#include "connectors/demo/demo.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <string>
#include <vector>

#include "connectors/api/connector.hpp"

namespace penstock::connectors::demo {
namespace {

using config::Option;
using config::OptionType;

constexpr std::string_view signal_names[] = {"sine", "walk", "step", "burst", "counter"};

constexpr Option options[] = {
    {.name = "every",
     .type = OptionType::duration,
     .doc = "Time between two polls",
     .default_text = "1s",
     .min = "1ms"},
    {.name = "signals",
     .type = OptionType::text_list,
     .doc = "Which signals each event has; all of them unless given",
     .choices = signal_names,
     .example = "[sine, counter]"},
    {.name = "seed",
     .type = OptionType::integer,
     .doc = "The same seed gives the same values",
     .default_text = "1",
     .min = "0"},
    {.name = "burst_size",
     .type = OptionType::integer,
     .doc = "Readings in one burst of the signal `burst`",
     .default_text = "5",
     .min = "1",
     .max = "1000000"},
    {.name = "batch",
     .type = OptionType::integer,
     .doc = "Events that each poll makes: with `every: 100ms` and 1000 it is 10,000 a second",
     .default_text = "1",
     .min = "1",
     .max = "10000"},
    {.name = "count",
     .type = OptionType::integer,
     .doc = "Make this many events in all, then no more; 0 = endless",
     .default_text = "0",
     .min = "0"},
};

struct Settings {
  std::chrono::microseconds every{};
  std::vector<std::string> signals;
  std::uint64_t seed = 0;
  std::uint64_t burst_size = 0;
  std::uint64_t batch = 0;
  std::uint64_t count = 0;
};

constexpr std::string_view position_head = "1 ";  // version of the form
constexpr auto index_max = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());

/// "1 <index of the next event>"; nothing if it is not one of ours.
std::optional<std::uint64_t> parse_position(std::string_view bytes) {
  if (!bytes.starts_with(position_head)) return std::nullopt;
  bytes.remove_prefix(position_head.size());
  std::uint64_t index = 0;
  const char* end = bytes.data() + bytes.size();
  const auto [stop, error] = std::from_chars(bytes.data(), end, index);
  if (error != std::errc() || stop != end || index > index_max) return std::nullopt;
  return index;
}

class Demo final : public PollConnector {
 public:
  explicit Demo(Settings settings)
      : PollConnector(settings.every),
        settings_(std::move(settings)),
        signals_(settings_.seed, settings_.burst_size) {}

 protected:
  Result<void> open(Session& session) override {
    session_ = &session;
    next_ = 0;
    const auto bytes = session.resume_from("");
    if (!bytes) return {};
    if (const auto index = parse_position(*bytes)) {
      next_ = *index;
    } else {
      session.log().warn("event=position_unknown position={} next=\"starting again at 0\"",
                         quoted(*bytes));
    }
    return {};
  }

  Result<void> poll(Chunk& out) override {
    const std::uint64_t end = settings_.count == 0 ? index_max : settings_.count;
    const std::uint64_t left = end > next_ ? end - next_ : 0;
    const std::uint64_t size = std::min(settings_.batch, left);
    if (size == 0) return {};
    // The readings of one poll are spread over the interval that ends now.
    const std::int64_t now_us = session_->clock().wall_us();
    const auto distance_us = settings_.every.count() / static_cast<std::int64_t>(settings_.batch);
    for (std::uint64_t i = 0; i < size; ++i) {
      const auto before_us = static_cast<std::int64_t>(size - 1 - i) * distance_us;
      add(out, now_us - before_us, next_ + i);
    }
    next_ += size;
    out.position("", fmt::format("{}{}", position_head, next_));
    return {};
  }

 private:
  void add(Chunk& out, std::int64_t time_unix_us, std::uint64_t index) {
    fields_.clear();
    for (const std::string& name : settings_.signals) {
      fields_.push_back({name, value_of(name, index)});
    }
    out.add(time_unix_us, "", fields_);
  }

  Value value_of(std::string_view name, std::uint64_t index) const {
    if (name == "sine") return signals_.sine(index);
    if (name == "walk") return signals_.walk(index);
    if (name == "step") return signals_.step(index);
    if (name == "burst") return signals_.burst(index);
    return index;
  }

  Settings settings_;
  Signals signals_;
  Session* session_ = nullptr;
  std::uint64_t next_ = 0;
  std::vector<Field> fields_;
};

Result<std::unique_ptr<Connector>> make(const config::Section& section) {
  Settings settings;
  settings.every = section.duration("every");
  settings.signals = section.text_list("signals");
  if (settings.signals.empty()) {
    settings.signals.assign(std::begin(signal_names), std::end(signal_names));
  }
  settings.seed = static_cast<std::uint64_t>(section.integer("seed"));
  settings.burst_size = static_cast<std::uint64_t>(section.integer("burst_size"));
  settings.batch = static_cast<std::uint64_t>(section.integer("batch"));
  settings.count = static_cast<std::uint64_t>(section.integer("count"));
  return std::make_unique<Demo>(std::move(settings));
}

}  // namespace

extern const ConnectorType type;
const ConnectorType type{
    .name = "demo",
    .summary = "made-up signals (sine, walk, steps, bursts, counter) for a first try and for load",
    .is_rereadable = true,
    .options = options,
    .make = make,
};

}  // namespace penstock::connectors::demo
