// Checker: opens one state of the disk with the real store and looks for what was promised.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/power/disk.hpp"
#include "tests/power/plan.hpp"

namespace penstock::power {

/// What had returned, or only begun, when the power went.
struct Promise {
  std::uint64_t committed = 0;
  Numbers oldest{};  ///< of each stream, after that commit
  std::size_t life = 0;
  bool is_life_opened = false;
  std::vector<std::uint64_t> left_behind;                   ///< events of each life that ended
  std::vector<std::shared_ptr<const std::string>> damaged;  ///< files that must be kept

  void note(const RecordHead& mark, const Disk& disk);

 private:
  Numbers next_oldest_{};
};

/// One check of one state.
class Checker {
 public:
  Checker(const Plan& plan, const Promise& promise, const std::filesystem::path& root)
      : plan_(plan), promise_(promise), root_(root) {}

  /// "" = fine.
  std::string check();

 private:
  /// What the store turned out to hold.
  struct Found {
    std::uint64_t commit = 0;
    std::size_t life = 0;
    Numbers next{};
    bool is_fresh = false;  // a life without commits
  };

  std::size_t life_of(std::uint64_t commit) const;
  Found after(std::uint64_t commit) const;
  std::vector<Found> possible() const;
  bool has_positions(const buffer::Store& store, std::uint64_t commit) const;
  std::optional<Found> find_state();
  std::string check_stream(const buffer::Store& store, std::uint32_t id, std::size_t stream,
                           const Found& state, std::optional<std::uint64_t> oldest) const;
  std::string check_rows(const Found& state) const;
  std::string check_previous(std::size_t life) const;
  std::string check_kept(const Found& state) const;
  std::string goes_on(const Found& state);

  const Plan& plan_;
  const Promise& promise_;
  const std::filesystem::path& root_;
  std::unique_ptr<buffer::Store> store_;
  std::array<std::uint32_t, stream_count> ids_{};
};

}  // namespace penstock::power
