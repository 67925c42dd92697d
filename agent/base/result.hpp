// Result<T>: a value or an Error. Every call that the outside world can make fail returns one.
#pragma once

#include <cerrno>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include "agent/base/assert.hpp"

namespace penstock {

/// What the caller should do about an error.
enum class Errc {
  stopped,      ///< nothing: stop was asked for
  unavailable,  ///< try again later
  invalid,      ///< fix the input; trying again cannot help
  full,         ///< slow down, or make room
  corrupt,      ///< set aside and report
};

std::string_view to_string(Errc code);

/// Says what, which and where. Logged once, by whoever decides what happens next.
struct Error {
  Errc code = Errc::unavailable;
  std::string text;
};

/// Errc::unavailable with "what: strerror(err)".
Error errno_error(std::string_view what, int err = errno);

template <typename T>
class [[nodiscard]] Result {
 public:
  template <typename U = T, typename = std::enable_if_t<std::is_convertible_v<U&&, T> &&
                                                        !std::is_same_v<std::decay_t<U>, Error> &&
                                                        !std::is_same_v<std::decay_t<U>, Result>>>
  Result(U&& value) : held_(std::in_place_index<0>, std::forward<U>(value)) {}
  Result(Error error) : held_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return held_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& value() & {
    PENSTOCK_ASSERT(ok());
    return *std::get_if<0>(&held_);
  }
  const T& value() const& {
    PENSTOCK_ASSERT(ok());
    return *std::get_if<0>(&held_);
  }
  T&& value() && {
    PENSTOCK_ASSERT(ok());
    return std::move(*std::get_if<0>(&held_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  const Error& error() const {
    PENSTOCK_ASSERT(!ok());
    return *std::get_if<1>(&held_);
  }

 private:
  std::variant<T, Error> held_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  const Error& error() const {
    PENSTOCK_ASSERT(!ok());
    return *error_;
  }

 private:
  std::optional<Error> error_;
};

}  // namespace penstock

/// Returns the error of a Result<void> (or drops the value of a Result<T>) to the caller.
#define PENSTOCK_TRY(expression)                                  \
  do {                                                            \
    if (auto penstock_try_ = (expression); !penstock_try_.ok()) { \
      return penstock_try_.error();                               \
    }                                                             \
  } while (false)

#define PENSTOCK_CONCAT_INNER(a, b) a##b
#define PENSTOCK_CONCAT(a, b) PENSTOCK_CONCAT_INNER(a, b)

/// PENSTOCK_TRY_ASSIGN(auto fd, open_file(path)); assigns the value or returns the error.
#define PENSTOCK_TRY_ASSIGN(target, expression) \
  PENSTOCK_TRY_ASSIGN_INNER(PENSTOCK_CONCAT(penstock_try_, __LINE__), target, expression)
#define PENSTOCK_TRY_ASSIGN_INNER(name, target, expression) \
  auto name = (expression);                                 \
  if (!name.ok()) return name.error();                      \
  target = std::move(name).value()
