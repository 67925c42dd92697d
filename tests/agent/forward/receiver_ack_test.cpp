#include "agent/forward/receiver_ack.hpp"

#include <catch2/catch.hpp>
#include <string>

using namespace penstock::forward;

TEST_CASE("what a receiver has comes back as it was written, streams in order") {
  const auto ack = parse_receiver_ack(
      "{ \"run\" : \"r1\",\n\"streams\":{\"log/a\":[0,18446744073709551615],\"boiler\":[ 3, 5 "
      ",9,10]},"
      "\"epoch\":\"9f3c2a7e\"} ");
  REQUIRE(ack.ok());
  CHECK(ack->epoch == "9f3c2a7e");
  CHECK(ack->run == "r1");
  REQUIRE(ack->streams.size() == 2);
  CHECK(ack->streams[0].name == "boiler");
  CHECK(ack->streams[0].bounds == std::vector<std::uint64_t>{3, 5, 9, 10});
  CHECK(ack->streams[1].bounds.back() == 18446744073709551615U);
  CHECK(
      format_receiver_ack(*ack) ==
      R"({"epoch":"9f3c2a7e","run":"r1","streams":{"boiler":[3,5,9,10],"log/a":[0,18446744073709551615]}})");
  CHECK(parse_receiver_ack(R"({"epoch":"e","run":"r","streams":{}})").ok());
}

TEST_CASE("anything else than what a receiver publishes is refused") {
  const std::string text = GENERATE(
      "", "null", "[]", "{}", R"({"epoch":"e","run":"r"})", R"({"epoch":"e","streams":{}})",
      R"({"run":"r","streams":{}})", R"({"epoch":"","run":"r","streams":{}})",
      R"({"epoch":"e","run":"r","streams":{}}x)", R"({"epoch":"e","run":"r","streams":{})",
      R"({"epoch":"e","epoch":"e","run":"r","streams":{}})",
      R"({"epoch":"e","run":"r","streams":{},"more":1})", R"({"epoch":1,"run":"r","streams":{}})",
      R"({"epoch":"e","run":"r","streams":[]})", R"({"epoch":"e","run":"r","streams":{"a":5}})",
      R"({"epoch":"e","run":"r","streams":{"a":[]}})",
      R"({"epoch":"e","run":"r","streams":{"a":[5]}})",
      R"({"epoch":"e","run":"r","streams":{"a":[5,5]}})",
      R"({"epoch":"e","run":"r","streams":{"a":[7,5]}})",
      R"({"epoch":"e","run":"r","streams":{"a":[0,5,5,6]}})",
      R"({"epoch":"e","run":"r","streams":{"a":[0,05]}})",
      R"({"epoch":"e","run":"r","streams":{"a":[-1,5]}})",
      R"({"epoch":"e","run":"r","streams":{"a":[0,1.5]}})",
      R"({"epoch":"e","run":"r","streams":{"a":[0,18446744073709551616]}})",
      R"({"epoch":"e","run":"r","streams":{"a":[0,1],"a":[0,1]}})",
      R"({"epoch":"e","run":"r","streams":{"a\u0062":[0,1]}})",
      R"({"epoch":"e","run":"r","streams":{"a b":[0,1]}})",
      R"({"epoch":"e","run":"r","streams":{"a":[0,1],}})");
  CAPTURE(text);
  CHECK_FALSE(parse_receiver_ack(text).ok());
}

TEST_CASE("what a receiver has is bounded") {
  ReceiverAck ack{"e", "r", {{"a", {}}}};
  for (std::uint64_t i = 0; i < 2 * receiver_ack_ranges_max; ++i)
    ack.streams[0].bounds.push_back(i);
  CHECK(parse_receiver_ack(format_receiver_ack(ack)).ok());
  ack.streams[0].bounds.insert(ack.streams[0].bounds.end(), {500, 501});
  CHECK_FALSE(parse_receiver_ack(format_receiver_ack(ack)).ok());
  CHECK_FALSE(parse_receiver_ack(std::string(receiver_ack_bytes_max + 1, ' ')).ok());
  const std::string long_name(513, 'n');
  CHECK_FALSE(
      parse_receiver_ack(R"({"epoch":"e","run":"r","streams":{")" + long_name + R"(":[0,1]}})")
          .ok());
}
