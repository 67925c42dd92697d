#include "tests/powercut/disk.hpp"

#include <algorithm>
#include <fstream>

namespace penstock::powercut {

void Disk::change(Names& names, const NameChange& change) {
  if (change.op == Op::create) {
    names[change.from] = change.file;
  } else if (change.op == Op::unlink) {
    names.erase(change.from);
  } else if (const auto found = names.find(change.from); found != names.end()) {
    const std::size_t file = found->second;
    names.erase(found);
    names[change.to] = file;
  }
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
      pending_.push_back({Op::create, std::string(data), {}, files_.size() - 1});
      change(names_, pending_.back());
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
      if (honesty_ == Honesty::honest) sync(files_[open_.at(head.fd)]);
      return;
    case Op::sync_dir:
      if (honesty_ != Honesty::honest) return;
      durable_names_ = names_;
      pending_.clear();
      return;
    case Op::rename: {
      const std::size_t nul = data.find('\0');
      pending_.push_back(
          {Op::rename, std::string(data.substr(0, nul)), std::string(data.substr(nul + 1)), 0});
      change(names_, pending_.back());
      return;
    }
    case Op::unlink:
      pending_.push_back({Op::unlink, std::string(data), {}, 0});
      change(names_, pending_.back());
      return;
    case Op::mark: marked_ = head.offset; return;
  }
}

void Disk::begin(const RecordHead& head, std::string_view data) {
  if (head.op == Op::write || head.op == Op::write_durable) {
    write(files_[open_.at(head.fd)], head.offset, data);
  } else if (head.op == Op::rename || head.op == Op::unlink || head.op == Op::create ||
             head.op == Op::resize) {
    apply(head, data);
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

void Disk::write_image(const std::filesystem::path& folder, Survival survival,
                       std::mt19937_64& random) const {
  Names names = durable_names_;
  std::size_t changes = 0;
  if (survival == Survival::all) changes = pending_.size();
  if (survival == Survival::random) changes = random() % (pending_.size() + 1);
  for (std::size_t i = 0; i < changes; ++i) change(names, pending_[i]);
  for (const auto& [name, file] : names) {
    std::filesystem::create_directories((folder / name).parent_path());
    std::ofstream(folder / name, std::ios::binary) << survivor(files_[file], survival, random);
  }
}

}  // namespace penstock::powercut
