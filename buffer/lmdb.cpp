#include "buffer/lmdb.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <lmdb.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "buffer/lmdb_layout.hpp"

namespace penstock::buffer {
namespace {

constexpr MDB_dbi free_list = 0;
constexpr unsigned env_flags = MDB_NOSUBDIR | MDB_NOLOCK | MDB_NORDAHEAD;

MDB_val val(std::string_view bytes) { return {bytes.size(), const_cast<char*>(bytes.data())}; }

std::string_view view(const MDB_val& value) {
  return {static_cast<const char*>(value.mv_data), value.mv_size};
}

bool is_disk_full(int fd) {
  struct statvfs disk = {};
  return ::fstatvfs(fd, &disk) == 0 && disk.f_bavail < 64;
}

Errc errc_of(int code) {
  switch (code) {
    case MDB_MAP_FULL:
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return Errc::full;
    case MDB_VERSION_MISMATCH: return Errc::invalid;
    // LMDB's own codes are negative; all others of them come of what it reads.
    default: return code < 0 ? Errc::corrupt : Errc::unavailable;
  }
}

/// Whether no limit of the process keeps a file from this size.
bool may_grow(std::uint64_t bytes) {
  rlimit limit = {};
  return ::getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur >= bytes;
}

/// Whether memory ran out although there is some: the demand was absurd.
bool has_memory() {
  constexpr std::size_t plenty = std::size_t{64} << 20;
  const std::unique_ptr<void, decltype(&std::free)> taken(std::malloc(plenty), &std::free);
  return taken != nullptr;
}

}  // namespace

void Txn::Abort::operator()(MDB_txn* txn) const { mdb_txn_abort(txn); }

Result<std::optional<std::string_view>> Txn::get(Table table, std::string_view key) {
  MDB_val k = val(key);
  MDB_val v = {};
  const int code = mdb_get(txn_.get(), env_->tables_[index_of(table)], &k, &v);
  if (code == MDB_NOTFOUND) return std::optional<std::string_view>();
  if (code != 0) return env_->error("read", code);
  return std::optional<std::string_view>(view(v));
}

Result<void> Txn::put(Table table, std::string_view key, std::string_view value) {
  MDB_val k = val(key);
  MDB_val v = val(value);
  const int code = mdb_put(txn_.get(), env_->tables_[index_of(table)], &k, &v, 0);
  if (code != 0) return env_->error("write", code);
  return {};
}

Result<void> Txn::replace(Table table, std::string_view key, std::string_view value) {
  PENSTOCK_TRY_ASSIGN(Cursor cursor, Cursor::open(*this, table));
  PENSTOCK_TRY_ASSIGN(const bool found, cursor.seek(key));
  const bool has_own_pages =
      found && cursor.key() == key && !lmdb_layout::is_in_page(cursor.key(), cursor.value());
  if (has_own_pages) PENSTOCK_TRY(cursor.erase());
  return put(table, key, value);
}

Result<char*> Txn::put_reserved(Table table, std::string_view key, std::size_t size) {
  return reserve(table, key, size, MDB_RESERVE);
}

Result<char*> Txn::append_reserved(Table table, std::string_view key, std::size_t size) {
  return reserve(table, key, size, MDB_RESERVE | MDB_APPEND);
}

Result<char*> Txn::reserve(Table table, std::string_view key, std::size_t size, unsigned flags) {
  MDB_val k = val(key);
  MDB_val v = {size, nullptr};
  const int code = mdb_put(txn_.get(), env_->tables_[index_of(table)], &k, &v, flags);
  if (code != 0) return env_->error("write", code);
  return static_cast<char*>(v.mv_data);
}

Result<bool> Txn::erase(Table table, std::string_view key) {
  PENSTOCK_TRY_ASSIGN(Cursor cursor, Cursor::open(*this, table));
  PENSTOCK_TRY_ASSIGN(const bool found, cursor.seek(key));
  if (!found || cursor.key() != key) return false;
  PENSTOCK_TRY(cursor.erase());
  return true;
}

Result<std::uint64_t> Txn::pages() {
  PENSTOCK_TRY_ASSIGN(const std::uint64_t own, pages_of(free_list));
  PENSTOCK_TRY_ASSIGN(const std::uint64_t pages, table_pages());
  return pages + own;
}

Result<std::uint64_t> Txn::table_pages() {
  constexpr MDB_dbi main = 1;
  constexpr std::uint64_t meta_pages = 2;
  PENSTOCK_TRY_ASSIGN(std::uint64_t pages, pages_of(main));
  for (const MDB_dbi table : env_->tables_) {
    if (table == 0) continue;
    PENSTOCK_TRY_ASSIGN(const std::uint64_t more, pages_of(table));
    pages += more;
  }
  return pages + meta_pages;
}

Result<std::uint64_t> Txn::pages_of(unsigned table) {
  MDB_stat stat = {};
  const int code = mdb_stat(txn_.get(), table, &stat);
  if (code != 0) return env_->error("count pages", code);
  return std::uint64_t{stat.ms_branch_pages} + stat.ms_leaf_pages + stat.ms_overflow_pages;
}

Result<std::uint64_t> Txn::pages_freed_last() {
  PENSTOCK_TRY_ASSIGN(Cursor cursor, Cursor::open_free_list(*this));
  PENSTOCK_TRY_ASSIGN(const bool found, cursor.last());
  // LMDB: the key is the transaction's number, the value a list that begins with its length.
  std::size_t number = 0;
  std::size_t length = 0;
  if (!found || cursor.key().size() != sizeof number || cursor.value().size() < sizeof length) {
    return std::uint64_t{0};
  }
  std::memcpy(&number, cursor.key().data(), sizeof number);
  std::memcpy(&length, cursor.value().data(), sizeof length);
  return std::uint64_t{number == mdb_txn_id(txn_.get()) ? length : 0};
}

bool Txn::has(Table table) const { return env_->tables_[index_of(table)] != 0; }

Result<std::uint64_t> Txn::entries(Table table) {
  if (!has(table)) return std::uint64_t{0};
  MDB_stat stat = {};
  const int code = mdb_stat(txn_.get(), env_->tables_[index_of(table)], &stat);
  if (code != 0) return env_->error("count rows", code);
  return std::uint64_t{stat.ms_entries};
}

Result<void> Txn::commit() {
  const int code = mdb_txn_commit(txn_.release());
  if (code != 0) return env_->error("commit", code);
  return {};
}

void Cursor::Close::operator()(MDB_cursor* cursor) const { mdb_cursor_close(cursor); }

Result<Cursor> Cursor::open(Txn& txn, Table table) {
  return open(txn, txn.env_->tables_[index_of(table)]);
}

Result<Cursor> Cursor::open_free_list(Txn& txn) { return open(txn, free_list); }

Result<Cursor> Cursor::open(Txn& txn, unsigned table) {
  MDB_cursor* cursor = nullptr;
  const int code = mdb_cursor_open(txn.txn_.get(), table, &cursor);
  if (code != 0) return txn.env_->error("open cursor", code);
  return Cursor(*txn.env_, cursor);
}

Result<bool> Cursor::move(int operation) {
  MDB_val k = val(key_);
  MDB_val v = {};
  const int code = mdb_cursor_get(cursor_.get(), &k, &v, static_cast<MDB_cursor_op>(operation));
  key_ = {};
  value_ = {};
  if (code == MDB_NOTFOUND) return false;
  if (code != 0) return env_->error("read", code);
  key_ = view(k);
  value_ = view(v);
  return true;
}

Result<bool> Cursor::first() { return move(MDB_FIRST); }
Result<bool> Cursor::last() { return move(MDB_LAST); }
Result<bool> Cursor::next() { return move(MDB_NEXT); }
Result<bool> Cursor::previous() { return move(MDB_PREV); }
Result<bool> Cursor::seek(std::string_view key) {
  key_ = key;
  return move(MDB_SET_RANGE);
}

Result<void> Cursor::erase() {
  // After other writes its views may be those of a page that is gone.
  PENSTOCK_TRY_ASSIGN(const bool is_there, move(MDB_GET_CURRENT));
  if (!is_there) return env_->damage("an entry is gone");
  PENSTOCK_TRY(check());
  const int code = mdb_cursor_del(cursor_.get(), 0);
  if (code != 0) return env_->error("delete", code);
  return {};
}

Result<void> Cursor::check() {
  // A page that is in memory already was looked at when it came there.
  return env_->is_mapped(key_.data()) ? check_page() : check_entry();
}

Env::~Env() { mdb_env_close(env_); }

Result<std::unique_ptr<Env>> Env::open(const std::filesystem::path& file, std::uint64_t map_bytes,
                                       Access access) {
  MDB_env* raw = nullptr;
  if (const int code = mdb_env_create(&raw); code != 0) {
    return Error{Errc::unavailable, fmt::format("LMDB: {}", mdb_strerror(code))};
  }
  std::unique_ptr<Env> env(new Env(raw));
  int code = mdb_env_set_mapsize(raw, map_bytes);
  if (code == 0) code = mdb_env_set_maxdbs(raw, table_count);
  const unsigned flags = access == Access::read ? env_flags | MDB_RDONLY : env_flags;
  if (code == 0) code = mdb_env_open(raw, file.c_str(), flags, 0600);
  if (code != 0) return env->error(fmt::format("open {}", file.string()), code);
  MDB_stat stat = {};
  mdb_env_stat(raw, &stat);
  env->page_size_ = stat.ms_psize;
  PENSTOCK_TRY(env->open_tables(access == Access::make));
  return env;
}

Result<void> Env::open_tables(bool make) {
  PENSTOCK_TRY_ASSIGN(Txn txn, make ? begin_write() : begin_read());
  for (std::size_t i = 0; i < table_count; ++i) PENSTOCK_TRY(open_table(txn, i, make));
  return txn.commit();
}

Result<void> Env::open_table(Txn& txn, std::size_t index, bool make) {
  const int code =
      mdb_dbi_open(txn.txn_.get(), table_names[index], make ? MDB_CREATE : 0, &tables_[index]);
  if (code == MDB_NOTFOUND && index == index_of(Table::parked)) {
    tables_[index] = 0;
    return {};
  }
  if (code != 0) return error(fmt::format("open table {}", table_names[index]), code);
  return {};
}

Result<void> Env::add_missing_tables() {
  if (tables_[index_of(Table::parked)] != 0) return {};
  PENSTOCK_TRY_ASSIGN(Txn txn, begin_write());
  PENSTOCK_TRY(open_table(txn, index_of(Table::parked), true));
  return txn.commit();
}

Result<Txn> Env::begin(unsigned flags, std::string_view what) {
  MDB_txn* txn = nullptr;
  const int code = mdb_txn_begin(env_, nullptr, flags, &txn);
  if (code != 0) return error(what, code);
  return Txn(*this, txn);
}

Result<Txn> Env::begin_write() { return begin(0, "begin a transaction"); }
Result<Txn> Env::begin_read() { return begin(MDB_RDONLY, "begin reading"); }

std::uint64_t Env::file_pages() const {
  MDB_envinfo info = {};
  mdb_env_info(env_, &info);
  return info.me_last_pgno + 1;
}

std::uint64_t Env::bytes_ahead() const {
  struct stat info = {};
  std::uint64_t end = reserved_end_;
  if (::fstat(fd(), &info) == 0) {
    end = std::max(end, static_cast<std::uint64_t>(info.st_blocks) * 512);
  }
  return end - std::min(end, file_pages() * page_size_);
}

Result<void> Env::reserve_ahead(std::uint64_t bytes, std::uint64_t more) {
  if (bytes_ahead() >= bytes) return {};
  const std::uint64_t from = file_pages() * page_size_;
  int code = 0;
  for (const std::uint64_t wanted : {bytes + more, bytes}) {
    if (::fallocate(fd(), FALLOC_FL_KEEP_SIZE, static_cast<off_t>(from),
                    static_cast<off_t>(wanted)) == 0) {
      reserved_end_ = from + wanted;
      return {};
    }
    code = errno;
  }
  if (errc_of(code) == Errc::full) return Error{Errc::full, std::strerror(code)};
  return {};
}

std::uint64_t Env::map_bytes() const {
  MDB_envinfo info = {};
  mdb_env_info(env_, &info);
  return info.me_mapsize;
}

int Env::fd() const {
  int fd = -1;
  mdb_env_get_fd(env_, &fd);
  return fd;
}

Error Env::damage(std::string_view what) {
  has_met_damage_ = true;
  return Error{Errc::corrupt, std::string(what)};
}

Error Env::error(std::string_view what, int code) {
  if (code == MDB_MAP_FULL) was_map_full_ = true;
  const bool is_absurd = code == EINVAL || (code == ENOMEM && has_memory()) ||
                         (code == EFBIG && may_grow(map_bytes()));
  if (is_absurd || errc_of(code) == Errc::corrupt) has_met_damage_ = true;
  // A write cut short by a full disk is reported as EIO.
  if (code == EIO && is_disk_full(fd())) code = ENOSPC;
  if (code == EFBIG && is_absurd) {
    return Error{Errc::corrupt, fmt::format("{}: a page far beyond the others", what)};
  }
  return Error{errc_of(code), fmt::format("{}: {}", what, mdb_strerror(code))};
}

}  // namespace penstock::buffer
