// If Result mixed up value and error, every room above would act on rubbish.
#include "agent/base/result.hpp"

#include <catch2/catch.hpp>
#include <memory>

namespace penstock {
namespace {

Result<int> half(int value) {
  if (value % 2 != 0) return Error{Errc::invalid, "odd"};
  return value / 2;
}

Result<int> quarter(int value) {
  PENSTOCK_TRY_ASSIGN(const int first, half(value));
  PENSTOCK_TRY_ASSIGN(const int second, half(first));
  return second;
}

Result<void> must_be_even(int value) {
  PENSTOCK_TRY(half(value));
  return {};
}

}  // namespace

TEST_CASE("a result holds a value or an error", "[base]") {
  CHECK(half(8).ok());
  CHECK(*half(8) == 4);
  CHECK_FALSE(half(7).ok());
  CHECK(half(7).error().text == "odd");
  CHECK(half(7).error().code == Errc::invalid);
}

TEST_CASE("the macros hand errors on and take values", "[base]") {
  CHECK(*quarter(8) == 2);
  CHECK(quarter(6).error().text == "odd");
  CHECK(must_be_even(2).ok());
  CHECK_FALSE(must_be_even(3).ok());
}

TEST_CASE("a result may hold what can only be moved", "[base]") {
  Result<std::unique_ptr<int>> result = std::make_unique<int>(5);
  REQUIRE(result.ok());
  const std::unique_ptr<int> taken = std::move(result).value();
  CHECK(*taken == 5);
}

TEST_CASE("an errno error names the call and the reason", "[base]") {
  const Error error = errno_error("open x", ENOENT);
  CHECK(error.code == Errc::unavailable);
  CHECK(error.text == "open x: No such file or directory");
}

}  // namespace penstock
