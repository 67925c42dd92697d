#include "tests/contract/fixtures.hpp"

#include <fmt/format.h>

#include "tests/support/temp_dir.hpp"

namespace penstock::tests::contract {
namespace {

using std::filesystem::path;

std::string file_yaml(const path& folder) {
  return fmt::format("start: beginning\npaths: [\"{}/*.log\"]\n", folder.string());
}
void file_feed(const path& folder, std::size_t index) {
  append_file(folder / "app.log", fmt::format("line {}\n", index));
}

std::string host_yaml(const path& folder) {
  return fmt::format("every: 1s\nproc_root: {0}/proc\nsys_root: {0}/sys\ncollect: [load]\n",
                     folder.string());
}
void host_feed(const path& folder, std::size_t index) {
  std::filesystem::create_directories(folder / "proc");
  write_file(folder / "proc/loadavg", fmt::format("{}.5 0.1 0.1 1/80 100\n", index));
}

std::string demo_yaml(const path&) { return "every: 1s\nseed: 3\n"; }
void demo_feed(const path&, std::size_t) {}

constexpr Fixture all[] = {
    {"file", file_yaml, file_feed},
    {"host", host_yaml, host_feed},
    {"demo", demo_yaml, demo_feed},
};

}  // namespace

std::span<const Fixture> fixtures() { return all; }

const Fixture* find_fixture(std::string_view type) {
  for (const Fixture& fixture : all) {
    if (fixture.type == type) return &fixture;
  }
  return nullptr;
}

}  // namespace penstock::tests::contract
