// Episode: something that comes and goes, told when it begins and when it is really over.
#pragma once

#include <cstdint>

namespace penstock::pipeline {

/// A state that flaps is one episode: it ends once the state has been away for `calm_us`.
class Episode {
 public:
  static constexpr std::int64_t calm_us = 30'000'000;

  enum class Change { none, began, ended };
  /// now_us: of the steady clock.
  Change note(bool is_there, std::int64_t now_us) {
    if (is_there) {
      last_us_ = now_us;
      if (is_on_) return Change::none;
      is_on_ = true;
      began_us_ = now_us;
      return Change::began;
    }
    if (!is_on_ || now_us - last_us_ < calm_us) return Change::none;
    is_on_ = false;
    return Change::ended;
  }
  bool is_on() const { return is_on_; }
  std::int64_t began_us() const { return began_us_; }
  std::int64_t last_us() const { return last_us_; }

 private:
  bool is_on_ = false;
  std::int64_t began_us_ = 0;
  std::int64_t last_us_ = 0;  // when it was last there
};

}  // namespace penstock::pipeline
