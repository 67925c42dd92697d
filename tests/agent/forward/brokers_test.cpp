#include "agent/forward/brokers.hpp"

#include <catch2/catch.hpp>

using namespace penstock::forward;

namespace {

constexpr std::int64_t second = 1'000'000;

BrokerSettings with(std::size_t count) {
  BrokerSettings settings;
  settings.count = count;
  settings.seed = 7;
  return settings;
}

}  // namespace

TEST_CASE("back-off grows to its bound, is random and starts anew after success") {
  Brokers brokers(with(1));
  CHECK(brokers.retry_at(5) == 5);
  std::int64_t longest = 0;
  for (int failure = 1; failure <= 40; ++failure) {
    brokers.on_down(0, Stage::connect, false);
    const std::int64_t most =
        std::min<std::int64_t>(60 * second, (second / 2) << std::min(failure - 1, 20));
    for (int draw = 0; draw < 20; ++draw) {
      const std::int64_t delay = brokers.retry_at(0);
      CHECK(delay >= second / 10);
      CHECK(delay <= most);
      longest = std::max(longest, delay);
    }
  }
  CHECK(longest > 40 * second);
  brokers.on_up(0);
  brokers.on_working();
  brokers.on_down(0, Stage::up, false);
  CHECK(brokers.retry_at(0) <= second / 2);
}

TEST_CASE("a connection that comes up but never works does not reset the back-off") {
  Brokers brokers(with(1));
  for (int i = 0; i < 10; ++i) {
    brokers.on_up(0);
    brokers.on_down(0, Stage::up, false);
  }
  std::int64_t longest = 0;
  for (int i = 0; i < 50; ++i) longest = std::max(longest, brokers.retry_at(0));
  CHECK(longest > 20 * second);
}

TEST_CASE("the next broker follows after failover_after without a working connection") {
  Brokers brokers(with(3));
  brokers.on_up(0);
  brokers.on_working();
  brokers.on_down(10 * second, Stage::up, false);
  brokers.choose(29 * second);
  CHECK(brokers.current() == 0);
  brokers.on_down(29 * second, Stage::connect, false);
  CHECK(brokers.retry_at(29 * second) <= 30 * second);  // not later than the switch
  brokers.choose(30 * second);
  CHECK(brokers.current() == 1);
  brokers.choose(49 * second);
  CHECK(brokers.current() == 1);
  brokers.choose(50 * second);
  CHECK(brokers.current() == 2);
  brokers.choose(70 * second);
  CHECK(brokers.current() == 0);
}

TEST_CASE("the first broker is tried again, and a failure there goes straight back") {
  Brokers brokers(with(2));
  brokers.on_down(0, Stage::connect, false);
  brokers.choose(20 * second);
  REQUIRE(brokers.current() == 1);
  brokers.on_up(21 * second);
  brokers.on_working();
  CHECK_FALSE(brokers.is_time_for_first(620 * second));
  CHECK(brokers.time_for_first_us() == 621 * second);
  REQUIRE(brokers.is_time_for_first(621 * second));
  brokers.try_first(621 * second);
  CHECK(brokers.current() == 0);
  brokers.on_down(622 * second, Stage::connect, false);
  CHECK(brokers.current() == 1);
  CHECK(brokers.retry_at(622 * second) == 622 * second);

  brokers.on_up(623 * second);
  brokers.try_first(1'300 * second);
  brokers.on_up(1'301 * second);
  CHECK(brokers.current() == 0);
  CHECK_FALSE(brokers.is_time_for_first(9'000 * second));
}

TEST_CASE("MQTT 3.1.1 follows only a refused version or three silent closes") {
  SECTION("refused: at once, without waiting") {
    Brokers brokers(with(1));
    CHECK(brokers.protocol() == Protocol::v5);
    brokers.on_down(0, Stage::refused, true);
    CHECK(brokers.protocol() == Protocol::v3_1_1);
    CHECK(brokers.retry_at(3) == 3);
  }
  SECTION("three silent closes") {
    Brokers brokers(with(1));
    brokers.on_down(0, Stage::connack, false);
    brokers.on_down(0, Stage::connect, false);
    brokers.on_down(0, Stage::connack, false);
    CHECK(brokers.protocol() == Protocol::v5);
    brokers.on_down(0, Stage::connack, false);
    CHECK(brokers.protocol() == Protocol::v3_1_1);
  }
  SECTION("never for a broker that has answered MQTT 5") {
    Brokers brokers(with(1));
    brokers.on_up(0);
    for (int i = 0; i < 9; ++i) brokers.on_down(0, Stage::connack, false);
    CHECK(brokers.protocol() == Protocol::v5);
  }
  SECTION("and not for ever, when 3.1.1 is not answered either") {
    Brokers brokers(with(1));
    for (int i = 0; i < 3; ++i) brokers.on_down(0, Stage::connack, false);
    REQUIRE(brokers.protocol() == Protocol::v3_1_1);
    brokers.on_down(0, Stage::connack, false);
    CHECK(brokers.protocol() == Protocol::v5);
  }
  SECTION("a guess is tried again with each connection, a refusal is kept") {
    Brokers brokers(with(1));
    for (int i = 0; i < 3; ++i) brokers.on_down(0, Stage::connack, false);
    for (int i = 0; i < 3; ++i) {
      REQUIRE(brokers.protocol() == Protocol::v3_1_1);
      brokers.on_up(0);
      brokers.on_down(0, Stage::up, false);
      CHECK(brokers.protocol() == Protocol::v5);
      brokers.on_down(0, Stage::connack, false);
    }
    brokers.on_up(0);
    brokers.on_down(0, Stage::up, false);
    const bool is_refused = GENERATE(false, true);
    if (is_refused) {
      brokers.on_down(0, Stage::refused, true);
    } else {
      brokers.on_up(0);
    }
    for (int i = 0; i < 9; ++i) brokers.on_down(0, Stage::connack, false);
    CHECK(brokers.protocol() == (is_refused ? Protocol::v3_1_1 : Protocol::v5));
  }
  SECTION("each broker is remembered by itself") {
    Brokers brokers(with(2));
    brokers.on_down(0, Stage::refused, true);
    brokers.choose(20 * second);
    REQUIRE(brokers.current() == 1);
    CHECK(brokers.protocol() == Protocol::v5);
    brokers.choose(40 * second);
    CHECK(brokers.protocol() == Protocol::v3_1_1);
  }
  SECTION("a fixed protocol stays") {
    BrokerSettings settings = with(1);
    settings.protocol = ProtocolChoice::v5;
    Brokers brokers(settings);
    brokers.on_down(0, Stage::refused, true);
    CHECK(brokers.protocol() == Protocol::v5);
  }
}
