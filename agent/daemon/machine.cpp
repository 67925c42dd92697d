#include "agent/daemon/machine.hpp"

#include <cstdlib>
#include <fstream>

namespace penstock::daemon {
namespace {

std::string first_word_of(const char* path) {
  std::ifstream file(path);
  std::string word;
  file >> word;
  return word;
}

}  // namespace

std::string boot_id() {
  const std::string id = first_word_of("/proc/sys/kernel/random/boot_id");
  return id.size() >= 8 ? id.substr(0, 8) : std::string(8, '0');
}

std::string machine_id() { return first_word_of("/etc/machine-id"); }

ProcessFigures process_figures() {
  ProcessFigures figures;
  std::ifstream file("/proc/self/status");
  std::string line;
  while (std::getline(file, line)) {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::string name = line.substr(0, colon);
    if (name == "RssAnon")
      figures.rss_anon_kib = std::strtoull(line.c_str() + colon + 1, nullptr, 10);
    if (name == "VmRSS") figures.rss_kib = std::strtoull(line.c_str() + colon + 1, nullptr, 10);
    if (name == "Threads") figures.threads = std::strtoull(line.c_str() + colon + 1, nullptr, 10);
  }
  return figures;
}

}  // namespace penstock::daemon
