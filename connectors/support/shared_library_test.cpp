#include "connectors/support/shared_library.hpp"

#include <catch2/catch.hpp>

namespace penstock::connectors::support {

TEST_CASE("a shared library: a function of it is found by name") {
  const auto library = SharedLibrary::load("libm.so.6", "libc6");
  REQUIRE(library.ok());
  double (*square_root)(double) = nullptr;
  REQUIRE(library->find("sqrt", square_root).ok());
  CHECK(square_root(9.0) == 3.0);
}

TEST_CASE("a shared library: one that is missing is told with its package") {
  const auto library = SharedLibrary::load("libpenstock-none.so.7", "penstock-none");
  REQUIRE_FALSE(library.ok());
  CHECK(library.error().code == Errc::unavailable);
  CHECK(library.error().text.find("libpenstock-none.so.7") != std::string::npos);
  CHECK(library.error().text.find("the package penstock-none") != std::string::npos);
}

TEST_CASE("a shared library: a function that is missing is told by its name") {
  const auto library = SharedLibrary::load("libm.so.6", "libc6");
  REQUIRE(library.ok());
  void (*none)() = nullptr;
  const auto found = library->find("penstock_none", none);
  REQUIRE_FALSE(found.ok());
  CHECK(found.error().text.find("penstock_none") != std::string::npos);
}

TEST_CASE("once: what failed is tried again, what was ok is not") {
  Once once;
  int calls = 0;
  const auto second_is_ok = [&]() -> Result<void> {
    if (++calls == 1) return Error{Errc::unavailable, "not yet"};
    return {};
  };
  CHECK_FALSE(once.run(second_is_ok).ok());
  CHECK(once.run(second_is_ok).ok());
  CHECK(once.run(second_is_ok).ok());
  CHECK(calls == 2);
}

}  // namespace penstock::connectors::support
