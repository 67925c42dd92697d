#include "config/merge.hpp"

#include <fmt/format.h>

#include <unordered_map>

#include "agent/base/log.hpp"
#include "config/codes.hpp"

namespace penstock::config {
namespace {

void report_conflict(const Node& first, const Node& second, const std::string& path,
                     bool is_connector, Diagnostics& diagnostics) {
  if (is_connector) {
    diagnostics.add({code::connector_twice, Severity::error, second.key_place(), path,
                     fmt::format("connector {} is defined twice", penstock::quoted(second.key)),
                     "rename one, or remove one\n"
                     "fragments may add connectors but not change them",
                     first.key_place()});
  } else {
    diagnostics.add({code::set_twice, Severity::error, second.key_place(), path,
                     fmt::format("{} is set twice", penstock::quoted(path)),
                     "remove one of them: fragments add, they do not override", first.key_place()});
  }
}

void merge_maps(Node& into, Node from, const std::string& path, Diagnostics& diagnostics) {
  std::unordered_map<std::string, std::size_t> places;
  for (std::size_t i = 0; i < into.children.size(); ++i) places.emplace(into.children[i].key, i);
  for (Node& entry : from.children) {
    const auto known = places.find(entry.key);
    if (known == places.end()) {
      into.children.push_back(std::move(entry));
      continue;
    }
    Node& first = into.children[known->second];
    const std::string entry_path = joined_path(path, entry.key);
    if (path == "connectors") {
      report_conflict(first, entry, entry_path, true, diagnostics);
    } else if (entry.kind == Node::Kind::null) {
      continue;
    } else if (first.kind == Node::Kind::null) {
      first = std::move(entry);
    } else if (first.kind == Node::Kind::map && entry.kind == Node::Kind::map) {
      merge_maps(first, std::move(entry), entry_path, diagnostics);
    } else if (entry_path != "version" || first.text != entry.text) {
      report_conflict(first, entry, entry_path, false, diagnostics);
    }
  }
}

}  // namespace

void merge(Node& into, Node from, Diagnostics& diagnostics) {
  merge_maps(into, std::move(from), "", diagnostics);
}

}  // namespace penstock::config
