// What the contract suite must know of each connector type: how to configure it, and how to feed
// its source.
#pragma once

#include <filesystem>
#include <memory>
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
  /// its events itself does nothing here. false: nobody takes it yet, so call again. Called from
  /// the thread of run() as well, but for senders.
  bool (*feed)(const std::filesystem::path& folder, std::size_t index);
  /// Whether `feed` talks to the running connector, and may wait for it: then it is called from a
  /// thread of its own.
  bool is_sender = false;
  /// Makes the source unreachable for as long as the result is kept; nullptr: it always is there.
  std::shared_ptr<void> (*take_away)(const std::filesystem::path& folder) = nullptr;
  /// Lets the source lose events that it has not given, while nobody reads it; nullptr: it keeps
  /// all, or nobody can know, or (as UDP's) it loses only while it is read.
  void (*lose)(const std::filesystem::path& folder) = nullptr;
};

std::span<const Fixture> fixtures();
const Fixture* find_fixture(std::string_view type);

}  // namespace penstock::tests::contract
