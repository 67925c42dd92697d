#include "tests/power/disk.hpp"

#include <algorithm>
#include <fstream>

namespace penstock::power {
namespace {

std::string_view folder_of(std::string_view name) {
  const std::size_t slash = name.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : name.substr(0, slash);
}

}  // namespace

void Disk::change(Names& names, const NameChange& change) {
  for (const auto& [name, node] : change) {
    if (node == nothing) {
      names.erase(name);
    } else {
      names[name] = node;
    }
  }
}

bool Disk::is_in(const NameChange& change, std::string_view folder) {
  return std::any_of(change.begin(), change.end(), [folder](const auto& entry) {
    return !entry.first.empty() && folder_of(entry.first) == folder;
  });
}

void Disk::note(NameChange made) {
  change(names_, made);
  pending_.push_back(std::move(made));
}

void Disk::sync_names(std::string_view folder) {
  for (auto pending = pending_.begin(); pending != pending_.end();) {
    if (is_in(*pending, folder)) {
      change(durable_names_, *pending);
      pending = pending_.erase(pending);
    } else {
      ++pending;
    }
  }
}

void Disk::rename_or_link(Op op, std::string_view names) {
  const std::size_t nul = names.find('\0');
  const std::string from(names.substr(0, nul));
  NameChange made{{std::string(names.substr(nul + 1)), names_.at(from)}};
  if (op == Op::rename) made.emplace_back(from, nothing);
  note(std::move(made));
}

const std::string& Disk::content_of(const std::string& name) const {
  return files_.at(names_.at(name)).current;
}

void Disk::write(File& file, std::uint64_t offset, std::string_view data) {
  const std::size_t end = offset + data.size();
  if (file.current.size() < end) file.current.resize(end);
  file.current.replace(offset, data.size(), data);
  for (std::size_t block = offset / block_bytes; block * block_bytes < end; ++block) {
    file.versions[block].push_back(file.current.substr(block * block_bytes, block_bytes));
  }
}

void Disk::sync(File& file) {
  file.durable = file.current;
  file.versions.clear();
}

void Disk::sync_range(File& file, std::uint64_t offset, std::size_t size) {
  const std::size_t end = offset + size;
  if (file.durable.size() < end) file.durable.resize(end);
  for (std::size_t block = offset / block_bytes; block * block_bytes < end; ++block) {
    const std::size_t at = block * block_bytes;
    const std::size_t length = std::min(block_bytes, file.current.size() - at);
    if (file.durable.size() < at + length) file.durable.resize(at + length);
    file.durable.replace(at, length, file.current, at, length);
    file.versions.erase(block);
  }
}

void Disk::apply(const RecordHead& head, std::string_view data) {
  switch (head.op) {
    case Op::create:
      files_.emplace_back();
      open_[head.fd] = files_.size() - 1;
      note({{std::string(data), files_.size() - 1}});
      return;
    case Op::open: {
      const std::size_t file = names_.at(std::string(data));
      open_[head.fd] = file;
      if (head.offset == 1) files_[file].current.clear();
      return;
    }
    case Op::write: write(files_[open_.at(head.fd)], head.offset, data); return;
    case Op::write_durable: {
      File& file = files_[open_.at(head.fd)];
      write(file, head.offset, data);
      if (honesty_ != Honesty::ignores_all) sync_range(file, head.offset, data.size());
      return;
    }
    case Op::resize: files_[open_.at(head.fd)].current.resize(head.offset); return;
    case Op::sync:
      if (honesty_ <= Honesty::ignores_dir_syncs) sync(files_[open_.at(head.fd)]);
      return;
    case Op::sync_dir:
      if (honesty_ == Honesty::honest) sync_names(data);
      return;
    case Op::rename:
    case Op::link: rename_or_link(head.op, data); return;
    case Op::unlink: note({{std::string(data), nothing}}); return;
    case Op::make_dir: note({{std::string(data), directory}}); return;
    case Op::mark: return;
  }
}

void Disk::begin(const RecordHead& head, std::string_view data) {
  switch (head.op) {
    case Op::write:
    case Op::write_durable: write(files_[open_.at(head.fd)], head.offset, data); return;
    case Op::create:
    case Op::resize:
    case Op::rename:
    case Op::link:
    case Op::unlink:
    case Op::make_dir: apply(head, data); return;
    default: return;
  }
}

std::string Disk::survivor(const File& file, Survival survival, std::mt19937_64& random) const {
  if (survival == Survival::all) return file.current;
  std::string content = file.durable;
  if (survival == Survival::none) return content;
  if (random() % 2 == 0) content.resize(file.current.size());
  for (const auto& [block, versions] : file.versions) {
    const std::size_t pick = random() % (versions.size() + 1);
    if (pick == versions.size()) continue;
    const std::size_t at = block * block_bytes;
    if (at >= content.size()) continue;
    const std::size_t length = std::min(versions[pick].size(), content.size() - at);
    content.replace(at, length, versions[pick], 0, length);
  }
  return content;
}

Disk::Names Disk::surviving_names(Survival survival, std::mt19937_64& random) const {
  if (survival == Survival::all) return names_;
  Names names = durable_names_;
  if (survival == Survival::none) return names;
  if (random() % 2 == 0) {
    const std::size_t changes = random() % (pending_.size() + 1);
    for (std::size_t i = 0; i < changes; ++i) change(names, pending_[i]);
  } else {
    for (const NameChange& pending : pending_) {
      if (random() % 2 == 0) change(names, pending);
    }
  }
  return names;
}

void Disk::write_image(const std::filesystem::path& folder, Survival survival,
                       std::mt19937_64& random) const {
  const Names names = surviving_names(survival, random);
  const auto has_folder = [&names](std::string_view name) {
    for (name = folder_of(name); !name.empty(); name = folder_of(name)) {
      const auto found = names.find(std::string(name));
      if (found == names.end() || found->second != directory) return false;
    }
    return true;
  };
  std::map<std::size_t, std::filesystem::path> written;
  for (const auto& [name, node] : names) {
    if (name.empty() || !has_folder(name)) continue;
    if (node == directory) {
      std::filesystem::create_directory(folder / name);
      continue;
    }
    const auto [first, is_first] = written.emplace(node, folder / name);
    if (is_first) {
      std::ofstream(folder / name, std::ios::binary) << survivor(files_[node], survival, random);
    } else {
      std::filesystem::create_hard_link(first->second, folder / name);
    }
  }
}

}  // namespace penstock::power
