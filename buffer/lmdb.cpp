#include "buffer/lmdb.hpp"

#include <fmt/core.h>
#include <lmdb.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "buffer/lmdb_layout.hpp"

namespace penstock::buffer {
namespace {

constexpr MDB_dbi free_list = 0;
constexpr unsigned env_flags = MDB_NOSUBDIR | MDB_NOLOCK | MDB_NORDAHEAD;

MDB_val val(std::string_view bytes) { return {bytes.size(), const_cast<char*>(bytes.data())}; }

std::string_view view(const MDB_val& value) {
  return {static_cast<const char*>(value.mv_data), value.mv_size};
}

/// Whether the value follows its key, not in pages of its own.
bool is_in_page(std::string_view key, std::string_view value) {
  return value.data() == key.data() + key.size();
}

template <typename Number>
Number load(const char* at) {
  Number number;
  std::memcpy(&number, at, sizeof number);
  return number;
}

/// Whether its nodes fill what they have to fill.
bool is_leaf_whole(const char* page, std::size_t page_size) {
  using namespace lmdb_layout;
  const auto half = [&](std::size_t at) { return load<std::uint16_t>(page + at); };
  const std::size_t lower = half(lower_at);
  const std::size_t upper = half(upper_at);
  if ((half(flags_at) & kind_mask) != leaf_flag) return false;
  if (lower < page_header || lower > upper || upper > page_size) return false;
  std::size_t bytes = 0;
  for (std::size_t slot = page_header; slot + 2 <= lower; slot += 2) {
    const std::size_t node = half(slot);
    if (node < upper || node + node_header > page_size) return false;
    const bool has_own_pages = (half(node + node_flags_at) & big_data_flag) != 0;
    const std::size_t value = half(node) | std::size_t{half(node + 2)} << 16U;
    const std::size_t size =
        node_header + half(node + key_size_at) + (has_own_pages ? word : value);
    if (size > page_size - node) return false;
    bytes += (size + 1) / 2 * 2;
  }
  return bytes == page_size - upper;
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
      found && cursor.key() == key && !is_in_page(cursor.key(), cursor.value());
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

Result<void> Txn::check_free_list(std::size_t bytes_max) {
  const std::uint64_t pages = env_->file_pages();
  PENSTOCK_TRY_ASSIGN(Cursor cursor, Cursor::open_free_list(*this));
  PENSTOCK_TRY_ASSIGN(bool found, cursor.first());
  for (std::size_t bytes = 0; found && bytes < bytes_max; bytes += cursor.value().size()) {
    // LMDB: the key is a transaction's number; the value a list's length and page numbers that
    // fall.
    PENSTOCK_TRY(cursor.check_page());
    const std::string_view value = cursor.value();
    std::size_t length = 0;
    if (value.size() >= sizeof length) std::memcpy(&length, value.data(), sizeof length);
    bool is_sound = cursor.key().size() == sizeof length && length < value.size() / sizeof length;
    std::size_t before = pages;
    for (std::size_t i = 1; is_sound && i <= length; ++i) {
      std::size_t number = 0;
      std::memcpy(&number, value.data() + i * sizeof number, sizeof number);
      is_sound = number > 1 && number < before;
      before = number;
    }
    if (!is_sound) return Error{Errc::corrupt, "the list of free pages is damaged"};
    PENSTOCK_TRY_ASSIGN(found, cursor.next());
  }
  return {};
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

/// LMDB frees as many pages as a long value's first one says, and moves what is in a page by the
/// size that a node says.
Result<void> Cursor::check_entry() {
  using namespace lmdb_layout;
  const std::size_t page_size = env_->page_size();
  if (is_in_page(key_, value_)) {
    if (node_header + key_.size() + value_.size() <= node_max(page_size)) return {};
  } else {
    const char* const page = value_.data() - page_header;
    const auto kind = load<std::uint16_t>(page + flags_at) & kind_mask;
    if (load<std::size_t>(page) == load<std::size_t>(key_.data() + key_.size()) &&
        kind == overflow_flag &&
        load<std::uint32_t>(page + pages_at) == value_pages(value_.size(), page_size)) {
      return {};
    }
  }
  return env_->damage("an entry does not have the pages that it needs");
}

Result<void> Cursor::check_page() {
  // Pages of the map begin at multiples of their size.
  const auto into = reinterpret_cast<std::uintptr_t>(key_.data()) % env_->page_size();
  const char* const page = key_.data() - into;
  if (page != std::exchange(checked_page_, page) &&
      !(is_leaf_whole(page, env_->page_size()) && env_->is_at_its_place(page))) {
    return env_->damage("a page is damaged");
  }
  return check_entry();
}

Result<void> Cursor::erase() {
  // After other writes its views may be those of a page that is gone.
  PENSTOCK_TRY_ASSIGN(const bool is_there, move(MDB_GET_CURRENT));
  if (!is_there) return env_->damage("an entry is gone");
  PENSTOCK_TRY(check_entry());
  const int code = mdb_cursor_del(cursor_.get(), 0);
  if (code != 0) return env_->error("delete", code);
  return {};
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

/// LMDB believes what a page says of its own number when it replaces it.
bool Env::is_at_its_place(const char* page) {
  const auto address = reinterpret_cast<std::uintptr_t>(page);
  const std::uintptr_t map = address - load<std::size_t>(page) * page_size_;
  if (map_ == 0) map_ = map;
  return map == map_;
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
