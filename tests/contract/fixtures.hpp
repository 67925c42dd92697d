// What the contract suite must know of each connector type: how to configure it, and how to feed
// its source.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace penstock::tests::contract {

/// A new type adds one of these to fixtures.cpp.
struct Fixture {
  std::string_view type;
  /// The type's own options for a source that lies in `folder`; the first line is a plain `key:
  /// value`.
  std::string (*yaml)(const std::filesystem::path& folder);
  /// Lets the source give its event number `index` (counted from 0, in order). A source that makes
  /// its events itself does nothing here. Called from the thread of run() as well.
  void (*feed)(const std::filesystem::path& folder, std::size_t index);
};

std::span<const Fixture> fixtures();
const Fixture* find_fixture(std::string_view type);

}  // namespace penstock::tests::contract
