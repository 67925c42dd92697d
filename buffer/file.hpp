// The file of a buffer: birth, opening, and what is done when it is not ours to continue.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "buffer/directory.hpp"
#include "buffer/layout.hpp"
#include "buffer/lmdb.hpp"
#include "buffer/store.hpp"

namespace penstock::buffer {

/// Everything of the table `state` but the positions.
struct State {
  Identity identity;
  Counters counters;
  std::vector<std::pair<std::uint32_t, StreamRecord>> streams;
};

struct OpenFile {
  std::unique_ptr<Env> env;
  State state;
};

inline constexpr unsigned own_address_bits = 8 * sizeof(void*);
/// The most that StoreOptions::max_size may be where addresses have so many bits.
std::uint64_t max_size_limit(unsigned address_bits = own_address_bits);
/// The map that a buffer of this size needs: a full map would refuse deletes for good. A process of
/// a 32-bit machine has room for one of 1.5 GiB.
std::uint64_t map_bytes_for(std::uint64_t max_size, unsigned address_bits = own_address_bits);

/// The blocks to reserve for a buffer of this size: what the last commits freed can be used again
/// only some commits later, so the file grows somewhat beyond what its data take.
std::uint64_t reserved_bytes_for(std::uint64_t max_size);

/// A file that LMDB takes for whole, with what is in it not yet looked at. Errors as below.
Result<std::unique_ptr<Env>> open_whole(const std::filesystem::path& file, std::uint64_t map_bytes,
                                        Access access = Access::write);
/// corrupt: a record is damaged.
Result<State> read_state(Env& env);

/// Counts what each stream holds, key by key: for files that have no accounts.
Result<void> count_rows(Env& env, State& state);

/// Opens a file that is there, of this format or an older one. corrupt: LMDB refuses it, or a
/// record of its state is damaged. invalid: made by a newer penstock or on a machine of another
/// word size.
Result<OpenFile> open_existing(const std::filesystem::path& file, std::uint64_t map_bytes,
                               Access access = Access::write);

/// Opens the buffer's file, makes one where there is none, and sets aside one that belongs to
/// another device or machine or cannot be read. A tool (options.device empty) gets the file as it
/// is or an error.
Result<OpenFile> open_or_make(const StoreOptions& options, const Directory& directory,
                              const Clock& clock, OpenReport& report);

/// Reserves max_size bytes of disk for the file, if asked to and sensible. Says whether they are
/// reserved; a refusal becomes a warning.
bool reserve_blocks(const StoreOptions& options, const Env& env, OpenReport& report);

}  // namespace penstock::buffer
