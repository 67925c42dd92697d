// Owners for LMDB's environment, transaction and cursor, and its errors as ours. The only user of
// <lmdb.h>.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>

#include "agent/base/result.hpp"
#include "buffer/layout.hpp"

struct MDB_env;
struct MDB_txn;
struct MDB_cursor;

namespace penstock::buffer {

class Env;

/// A transaction; dropped without commit() it changes nothing. Views of keys and values live until
/// the next write in it, or its end.
class Txn {
 public:
  Txn(Env& env, MDB_txn* txn) : env_(&env), txn_(txn) {}

  Result<std::optional<std::string_view>> get(Table table, std::string_view key);
  Result<void> put(Table table, std::string_view key, std::string_view value);
  /// The same, where the value that is there may be one that has pages of its own.
  Result<void> replace(Table table, std::string_view key, std::string_view value);
  /// Room for `size` bytes under a key; the caller fills it before the next call.
  Result<char*> put_reserved(Table table, std::string_view key, std::size_t size);
  /// The same, for a key behind all others of the table.
  Result<char*> append_reserved(Table table, std::string_view key, std::size_t size);
  /// Whether the key was there.
  Result<bool> erase(Table table, std::string_view key);

  /// Pages that hold data, of all tables and LMDB's own lists.
  Result<std::uint64_t> pages();
  /// The same without the list of free pages: what a copy would need.
  Result<std::uint64_t> table_pages();
  /// Of a reading one: pages that the last commit gave up. Each was replaced by one it wrote.
  Result<std::uint64_t> pages_freed_last();
  Result<std::uint64_t> entries(Table table);  ///< 0 if there is no such table
  /// Whether LMDB's list of free pages, as far as its next commits use it, names pages that can be;
  /// reads about bytes_max of it. corrupt: it does not.
  Result<void> check_free_list(std::size_t bytes_max);
  bool has(Table table) const;  ///< files made before parking have no table for it

  /// Durable when it returns ok. Any error: the outcome is unknown, and the environment must be
  /// opened again.
  Result<void> commit();

 private:
  friend class Cursor;
  friend class Env;
  struct Abort {
    void operator()(MDB_txn* txn) const;
  };
  Result<char*> reserve(Table table, std::string_view key, std::size_t size, unsigned flags);
  Result<std::uint64_t> pages_of(unsigned table);

  Env* env_;
  std::unique_ptr<MDB_txn, Abort> txn_;
};

/// A place in a table. Must not outlive its transaction.
class Cursor {
 public:
  static Result<Cursor> open(Txn& txn, Table table);
  /// Over LMDB's own list of pages that commits gave up.
  static Result<Cursor> open_free_list(Txn& txn);

  // Each returns whether there is such an entry; key() and value() are then its own.
  Result<bool> first();
  Result<bool> last();
  Result<bool> next();
  Result<bool> previous();
  /// The first entry whose key is not below `key`.
  Result<bool> seek(std::string_view key);
  /// Removes the present entry. corrupt: as check().
  Result<void> erase();
  /// Whether the present entry is what LMDB believes of it, so that it can be read whole and
  /// erased. corrupt: it is not; LMDB would free more or less than the entry takes. Not after other
  /// writes.
  Result<void> check();
  /// Whether the page that the present entry is in is laid out as it must be, and the entry too.
  /// corrupt: it is not. Only for a page of the file, not one that a transaction has changed.
  Result<void> check_page();

  std::string_view key() const { return key_; }
  std::string_view value() const { return value_; }

 private:
  struct Close {
    void operator()(MDB_cursor* cursor) const;
  };
  Cursor(Env& env, MDB_cursor* cursor) : env_(&env), cursor_(cursor) {}
  static Result<Cursor> open(Txn& txn, unsigned table);
  Result<bool> move(int operation);
  Result<void> check_entry();

  Env* env_;
  std::unique_ptr<MDB_cursor, Close> cursor_;
  std::string_view key_;
  std::string_view value_;
  const char* checked_page_ = nullptr;
};

enum class Access {
  read,  ///< for files of which nothing else can be had, as on a read-only file system
  write,
  make,  ///< a missing file and its tables are made
};

/// One LMDB file without LMDB's own locks: the caller serialises every call, also reads.
class Env {
 public:
  /// Opens `file`, or makes it with empty tables (then nothing of it is durable before a commit and
  /// an fsync). corrupt: LMDB does not take the file for one of its own, or a table is missing.
  static Result<std::unique_ptr<Env>> open(const std::filesystem::path& file,
                                           std::uint64_t map_bytes, Access access);
  ~Env();
  Env(const Env&) = delete;
  Env& operator=(const Env&) = delete;

  Result<Txn> begin_write();
  Result<Txn> begin_read();
  /// Makes tables that an older penstock did not have.
  Result<void> add_missing_tables();

  std::size_t page_size() const { return page_size_; }
  /// Pages of the file that were ever used, with free ones among them.
  std::uint64_t file_pages() const;
  /// Blocks that the file has behind these pages.
  std::uint64_t bytes_ahead() const;
  /// Sees to it that there are so many, and reserves `more` with them where it must and can. full:
  /// the disk or a quota refuses; where a file system cannot reserve nothing is known, and it is
  /// ok.
  Result<void> reserve_ahead(std::uint64_t bytes, std::uint64_t more);
  std::uint64_t map_bytes() const;
  int fd() const;
  /// Whether the map was too small for a write: it must be opened with a larger one.
  bool was_map_full() const { return was_map_full_; }
  /// Whether something failed in a way that a sound file does not explain, nor its disk.
  bool has_met_damage() const { return has_met_damage_; }

 private:
  friend class Txn;
  friend class Cursor;
  explicit Env(MDB_env* env) : env_(env) {}
  Result<Txn> begin(unsigned flags, std::string_view what);
  Result<void> open_tables(bool make);
  Result<void> open_table(Txn& txn, std::size_t index, bool make);
  Error error(std::string_view what, int code);
  Error damage(std::string_view what);
  bool is_at_its_place(const char* page);
  bool is_mapped(const char* place) const;

  MDB_env* env_;
  unsigned tables_[table_count] = {};  // 0: missing
  std::size_t page_size_ = 0;
  std::uint64_t reserved_end_ = 0;  // of the blocks; 0: not known
  bool was_map_full_ = false;
  bool has_met_damage_ = false;
  std::uintptr_t map_ = 0;  // where the map begins, as the first page that was looked at says
};

}  // namespace penstock::buffer
