#include "buffer/file.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "agent/base/bytes.hpp"
#include "agent/base/log.hpp"
#include "agent/base/unique_fd.hpp"
#include "buffer/check.hpp"
#include "buffer/crash_marker.hpp"
#include "buffer/meta_pages.hpp"
#include "buffer/new_epoch.hpp"

namespace penstock::buffer {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t mib = 1 << 20;
constexpr std::uint64_t preallocate_max = 1024 * mib;
// LMDB leaves pages at the end unwritten that a transaction took and gave back.
constexpr std::uint64_t unwritten_pages_max = 256;

/// A file cut short would raise SIGBUS where its pages are missing.
Result<void> check_length(const fs::path& file, const Env& env) {
  struct stat info = {};
  if (::fstat(env.fd(), &info) != 0) return errno_error(file.string());
  const std::uint64_t wanted = env.file_pages() * env.page_size();
  const auto size = static_cast<std::uint64_t>(info.st_size);
  if (size >= wanted) return {};
  if (wanted - size > unwritten_pages_max * env.page_size()) {
    return Error{Errc::corrupt,
                 fmt::format("{}: cut short, {} of {} bytes", file.string(), size, wanted)};
  }
  if (::ftruncate(env.fd(), static_cast<off_t>(wanted)) != 0) return errno_error(file.string());
  return {};
}

Error damaged(std::string_view what) {
  return Error{Errc::corrupt, fmt::format("the buffer's {} is damaged", what)};
}

/// Of one that is no stream's.
bool is_state_key(std::string_view key) {
  return key == identity_key || key == counters_key ||
         key.substr(0, 1) == std::string_view(&position_prefix, 1);
}

Result<Identity> read_identity(Txn& txn) {
  PENSTOCK_TRY_ASSIGN(const auto value, txn.get(Table::state, identity_key));
  if (!value) return damaged("identity");
  // Its checksum first: a flipped bit makes no newer format.
  if (!is_identity_whole(*value)) return damaged("identity");
  const std::uint32_t format = format_of(*value);
  if (format > format_version) {
    return Error{Errc::invalid,
                 fmt::format("the buffer was made by a newer penstock: its format is {}, this one "
                             "knows up to {}; install that version again, or give buffer.path "
                             "another directory",
                             format, format_version)};
  }
  auto identity = decode_identity(*value);
  if (!identity) return damaged("identity");
  return *std::move(identity);
}

Result<void> fill_newborn(Env& env, const StoreOptions& options, const Clock& clock,
                          const std::vector<OwnedPosition>& positions) {
  Identity identity;
  if (::getrandom(&identity.epoch, sizeof identity.epoch, 0) != sizeof identity.epoch) {
    return errno_error("getrandom");
  }
  identity.created_unix_us = clock.wall_us();
  identity.device = options.device;
  identity.machine_id = options.machine_id;
  Counters counters;
  counters.commit_no = 1;
  PENSTOCK_TRY_ASSIGN(Txn txn, env.begin_write());
  PENSTOCK_TRY(txn.put(Table::state, identity_key, encode_identity(identity)));
  PENSTOCK_TRY(txn.put(Table::state, counters_key, encode_counters(identity.epoch, counters)));
  for (const OwnedPosition& position : positions) {
    const std::string key = encode_position_key(position[0], position[1]);
    PENSTOCK_TRY(
        txn.put(Table::state, key,
                encode_position(identity.epoch, key, {position[0], position[1], position[2]})));
  }
  return txn.commit();
}

/// Makes a new file under another name and lets it take the place of the old one when it is whole:
/// LMDB does not sync the first pages of a new file by itself.
Result<OpenFile> give_birth(const StoreOptions& options, const Directory& directory,
                            const Clock& clock, const std::vector<OwnedPosition>& positions) {
  const std::uint64_t map_bytes = map_bytes_for(options.max_size);
  {
    PENSTOCK_TRY_ASSIGN(const auto env, Env::open(directory.birth_file(), map_bytes, Access::make));
    PENSTOCK_TRY(fill_newborn(*env, options, clock, positions));
  }
  PENSTOCK_TRY(directory.publish_birth());
  return open_existing(directory.file(), map_bytes);
}

/// Gives the blocks behind the last used page back to the disk.
void give_back_blocks(const Env& env) {
  const auto used = static_cast<off_t>(env.file_pages() * env.page_size());
  struct stat info = {};
  if (::fstat(env.fd(), &info) != 0 || info.st_size <= used) return;
  // Only space would be lost if this failed.
  static_cast<void>(::ftruncate(env.fd(), used) == 0);
}

/// In the four tables: batches and loss records.
Result<std::uint64_t> count_entries(Env& env) {
  PENSTOCK_TRY_ASSIGN(Txn txn, env.begin_read());
  std::uint64_t rows = 0;
  for (const Table table : {Table::high, Table::normal, Table::low, Table::parked}) {
    PENSTOCK_TRY_ASSIGN(const std::uint64_t entries, txn.entries(table));
    rows += entries;
  }
  return rows;
}

/// Gives blocks back that were reserved and never written: what reads as zero before does so after.
/// No page of the file is asked, since it may be damaged, but the file system alone. On a full disk
/// the next buffer could not be made beside them.
void give_back_unwritten(const fs::path& file) {
  const UniqueFd fd(::open(file.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  struct stat info = {};
  if (!fd.is_open() || ::fstat(fd.get(), &info) != 0) return;
  // A page of zeros that was only read counts as data while it is in the cache.
  static_cast<void>(::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED));
  for (off_t at = 0; at < info.st_size;) {
    const off_t hole = ::lseek(fd.get(), at, SEEK_HOLE);
    if (hole < 0 || hole >= info.st_size) return;
    at = ::lseek(fd.get(), hole, SEEK_DATA);
    if (at < 0 && errno != ENXIO) return;
    if (at < 0) at = info.st_size;
    constexpr int how = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    // Only space would be lost if this failed.
    if (at <= hole || ::fallocate(fd.get(), how, hole, at - hole) != 0) return;
  }
}

/// The reason to leave the file behind; "" = it is ours to continue. An error where a mark may ask
/// for a new epoch: under the old one, numbers could be used again.
Result<std::string> foreign_reason(const Identity& identity, const StoreOptions& options) {
  if (identity.device != options.device) return std::string("device_changed");
  const bool are_known = !identity.machine_id.empty() && !options.machine_id.empty();
  if (are_known && identity.machine_id != options.machine_id) return std::string("machine_changed");
  PENSTOCK_TRY_ASSIGN(const bool is_asked,
                      is_new_epoch_asked(options.path, epoch_text(identity.epoch)));
  return std::string(is_asked ? "asked_for" : "");
}

Result<OpenFile> replace_foreign(OpenFile old, Checked checked, const StoreOptions& options,
                                 const Directory& directory, const Clock& clock,
                                 OpenReport& report) {
  std::uint64_t events = 0;
  for (const std::uint64_t count : old.state.counters.events) events += count;
  PENSTOCK_TRY_ASSIGN(const std::uint64_t rows, count_entries(*old.env));
  report.previous_epoch = epoch_text(old.state.identity.epoch);
  report.last_numbers = std::move(checked.streams);
  std::string change = report.reason == "asked_for" ? "a new epoch was asked for"
                                                    : "the buffer was made on another machine";
  if (report.reason == "device_changed") {
    change =
        fmt::format("agent.id is now {}, the buffer was made for {}",
                    penstock::quoted(options.device), penstock::quoted(old.state.identity.device));
  }
  give_back_blocks(*old.env);
  old.env.reset();
  if (rows > 0) {
    PENSTOCK_TRY_ASSIGN(report.set_aside, directory.keep_aside("previous", report.previous_epoch));
    const std::string what =
        events > 0 ? fmt::format("{} events", events) : fmt::format("{} loss records", rows);
    report.warnings.push_back(
        fmt::format("{}: a new epoch begins; {} that were not yet forwarded stay in {}", change,
                    what, report.set_aside.string()));
  } else {
    report.warnings.push_back(
        fmt::format("{}: a new epoch begins; nothing was left to forward", change));
  }
  return give_birth(options, directory, clock, checked.positions);
}

/// The file is not opened again: what can be read of it is in `checked`.
Result<OpenFile> replace_unreadable(Checked checked, const StoreOptions& options,
                                    const Directory& directory, const Clock& clock,
                                    OpenReport& report) {
  report.is_new_epoch = true;
  report.was_clean = false;
  report.reason = "quarantined";
  if (checked.epoch != 0) report.previous_epoch = epoch_text(checked.epoch);
  report.last_numbers = std::move(checked.streams);
  const std::string_view epoch =
      report.previous_epoch.empty() ? std::string_view("unknown") : report.previous_epoch;
  give_back_unwritten(directory.file());
  PENSTOCK_TRY_ASSIGN(report.set_aside, directory.keep_aside("corrupt", epoch));
  report.warnings.push_back(fmt::format(
      "the buffer is damaged ({}): it stays in {}, a new epoch begins with {} positions carried "
      "over; penstock buffer salvage {} saves the events that can still be read",
      checked.problem, report.set_aside.string(), checked.positions.size(),
      report.set_aside.string()));
  return give_birth(options, directory, clock, checked.positions);
}

Access access_to(const Directory& directory) {
  return directory.is_read_only() ? Access::read : Access::write;
}

/// A buffer in whose use a process crashed is looked at in full; one in whose use it crashed again
/// although nothing was found is not used any more.
Result<Checked> check(const StoreOptions& options, const Directory& directory) {
  const CrashCount crashes = crash_count(directory.path());
  PENSTOCK_TRY_ASSIGN(
      Checked checked,
      check_apart(directory.file(), map_bytes_for(options.max_size),
                  crashes == CrashCount::none ? CheckDepth::recent : CheckDepth::all,
                  access_to(directory)));
  if (checked.is_sound && crashes == CrashCount::again) {
    checked.is_sound = false;
    checked.problem = "its use ended in a crash, or in damage, twice";
  }
  return checked;
}

}  // namespace

std::uint64_t max_size_limit(unsigned address_bits) {
  return address_bits == 32 ? 1024 * mib : std::uint64_t{1} << 45;
}

std::uint64_t map_bytes_for(std::uint64_t max_size, unsigned address_bits) {
  constexpr std::uint64_t granule = 64 * 1024;  // a multiple of every page size
  const std::uint64_t most = address_bits == 32 ? 1536 * mib : std::uint64_t{1} << 46;
  const std::uint64_t bytes = std::min(most, std::max(2 * max_size, max_size + 64 * mib));
  return (bytes + granule - 1) / granule * granule;
}

Result<State> read_state(Env& env) {
  PENSTOCK_TRY_ASSIGN(Txn txn, env.begin_read());
  State state;
  PENSTOCK_TRY_ASSIGN(state.identity, read_identity(txn));
  const std::uint32_t epoch = state.identity.epoch;
  PENSTOCK_TRY_ASSIGN(const auto value, txn.get(Table::state, counters_key));
  const auto counters = value ? decode_counters(epoch, *value) : std::nullopt;
  if (!counters) return damaged("counter record");
  state.counters = *counters;
  PENSTOCK_TRY_ASSIGN(Cursor cursor, Cursor::open(txn, Table::state));
  PENSTOCK_TRY_ASSIGN(bool found, cursor.first());
  std::uint64_t seen = 0;
  while (found) {
    PENSTOCK_TRY(cursor.check_page());
    ++seen;
    if (const auto id = decode_stream_key(cursor.key())) {
      auto record = decode_stream(epoch, cursor.key(), cursor.value());
      if (!record) return damaged("stream record");
      state.streams.emplace_back(*id, *std::move(record));
    } else if (!is_state_key(cursor.key())) {
      return damaged("table of states");
    }
    PENSTOCK_TRY_ASSIGN(found, cursor.next());
  }
  // A record that is hidden would let its stream begin with numbers that were used.
  PENSTOCK_TRY_ASSIGN(const std::uint64_t records, txn.entries(Table::state));
  if (seen != records) return damaged("table of states");
  return state;
}

Result<std::unique_ptr<Env>> open_whole(const fs::path& file, std::uint64_t map_bytes,
                                        Access access) {
  PENSTOCK_TRY(check_meta_pages(file));
  PENSTOCK_TRY_ASSIGN(std::unique_ptr<Env> env, Env::open(file, map_bytes, access));
  PENSTOCK_TRY(check_length(file, *env));
  return env;
}

Result<OpenFile> open_existing(const fs::path& file, std::uint64_t map_bytes, Access access) {
  OpenFile open;
  PENSTOCK_TRY_ASSIGN(open.env, open_whole(file, map_bytes, access));
  PENSTOCK_TRY_ASSIGN(open.state, read_state(*open.env));
  if (open.state.identity.format < format_version) PENSTOCK_TRY(count_rows(*open.env, open.state));
  return open;
}

Result<OpenFile> open_or_make(const StoreOptions& options, const Directory& directory,
                              const Clock& clock, OpenReport& report) {
  const bool is_tool = options.device.empty();
  if (!is_tool) PENSTOCK_TRY(directory.remove_leftovers());
  std::error_code failed;
  if (!fs::exists(directory.file(), failed) && !failed) {
    if (is_tool) {
      return Error{Errc::invalid,
                   fmt::format("there is no buffer at {}", directory.file().string())};
    }
    report.is_new_epoch = true;
    report.reason = "created";
    return give_birth(options, directory, clock, {});
  }
  PENSTOCK_TRY_ASSIGN(Checked checked, check(options, directory));
  if (!checked.is_sound) {
    if (is_tool) return Error{Errc::corrupt, std::move(checked.problem)};
    PENSTOCK_TRY_ASSIGN(OpenFile born,
                        replace_unreadable(std::move(checked), options, directory, clock, report));
    forget_crashes(directory.path());
    return born;
  }
  PENSTOCK_TRY_ASSIGN(
      OpenFile open,
      open_existing(directory.file(), map_bytes_for(options.max_size), access_to(directory)));
  if (is_tool) return open;
  report.was_clean = open.state.counters.is_clean;
  PENSTOCK_TRY_ASSIGN(report.reason, foreign_reason(open.state.identity, options));
  if (report.reason.empty()) {
    PENSTOCK_TRY(open.env->add_missing_tables());
    return open;
  }
  report.is_new_epoch = true;
  return replace_foreign(std::move(open), std::move(checked), options, directory, clock, report);
}

std::uint64_t reserved_bytes_for(std::uint64_t max_size) {
  return max_size + std::max(mib, max_size / 16);
}

bool reserve_blocks(const StoreOptions& options, const Env& env, OpenReport& report) {
  if (!options.preallocate || options.device.empty() || options.max_size > preallocate_max) {
    return false;
  }
  struct stat info = {};
  struct statvfs disk = {};
  if (::fstat(env.fd(), &info) != 0 || ::fstatvfs(env.fd(), &disk) != 0) return false;
  const std::uint64_t own = static_cast<std::uint64_t>(info.st_blocks) * 512;
  const std::uint64_t wanted = reserved_bytes_for(options.max_size);
  if (own >= wanted) return true;
  const std::uint64_t available = std::uint64_t{disk.f_bavail} * disk.f_frsize;
  std::string why;
  if (available + own < wanted + options.keep_free) {
    why = "the disk has too little room";
  } else if (::fallocate(env.fd(), 0, 0, static_cast<off_t>(wanted)) != 0) {
    why = std::strerror(errno);
  } else if (::fsync(env.fd()) != 0) {
    why = std::strerror(errno);
  }
  if (why.empty()) return true;
  report.warnings.push_back(fmt::format(
      "could not reserve {} MiB for the buffer ({}): going on without", wanted / mib, why));
  return false;
}

}  // namespace penstock::buffer
