// The members that open every event are the receiver's proof: their order and form are the
// contract.
#include "agent/base/wire.hpp"

#include <catch2/catch.hpp>

namespace penstock {

TEST_CASE("an event opens with time, device, stream, epoch and seq", "[base]") {
  const EventHead head("gw-7", "boiler", "9f3c2a7e");
  std::string out;
  head.append(out, 1'763'933'955'276'123, 1200);
  CHECK(
      out ==
      R"({"time":"2025-11-23T21:39:15.276123Z","device":"gw-7","stream":"boiler","epoch":"9f3c2a7e","seq":1200)");
}

TEST_CASE("a loss record says how many, how sure and why", "[base]") {
  const EventHead head("d", "s", "e");
  std::string exact;
  append_loss_record(exact, head, 0, 5, 12, LossReason::buffer_full, true);
  CHECK(
      exact ==
      R"({"time":"1970-01-01T00:00:00.000000Z","device":"d","stream":"s","epoch":"e","seq":5,"lost":12,"reason":"buffer_full"})");
  std::string unknown;
  append_loss_record(unknown, head, 0, 6, 1, LossReason::source, false);
  CHECK(
      unknown ==
      R"({"time":"1970-01-01T00:00:00.000000Z","device":"d","stream":"s","epoch":"e","seq":6,"lost":1,"exact":false,"reason":"source"})");
}

TEST_CASE("names from configuration cannot break the JSON", "[base]") {
  const EventHead head("a\"b", "s\\t", "e");
  std::string out;
  head.append(out, 0, 0);
  CHECK(out.find(R"("device":"a\"b","stream":"s\\t")") != std::string::npos);
}

TEST_CASE("reserved members", "[base]") {
  CHECK(is_reserved_member("seq"));
  CHECK(is_reserved_member("up_us"));
  CHECK_FALSE(is_reserved_member("message"));
}

}  // namespace penstock
