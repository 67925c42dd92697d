#include "buffer/dense_copy.hpp"

#include <algorithm>

namespace penstock::buffer {
namespace {

constexpr std::size_t bytes_per_commit = 16 << 20;  // held in memory until then
constexpr std::uint64_t rows_per_progress = 64;

/// Puts entries into a file, a bounded number of bytes in each of its transactions.
class Writer {
 public:
  explicit Writer(Env& env) : env_(env) {}

  Result<void> append(Table table, std::string_view key, std::string_view value) {
    if (!txn_) {
      PENSTOCK_TRY_ASSIGN(Txn txn, env_.begin_write());
      txn_ = std::move(txn);
    }
    PENSTOCK_TRY_ASSIGN(char* const place, txn_->append_reserved(table, key, value.size()));
    std::copy(value.begin(), value.end(), place);
    bytes_ += key.size() + value.size();
    return bytes_ < bytes_per_commit ? Result<void>() : commit();
  }

  Result<void> commit() {
    if (!txn_) return {};
    Txn txn = *std::move(txn_);
    txn_.reset();
    bytes_ = 0;
    return txn.commit();
  }

 private:
  Env& env_;
  std::optional<Txn> txn_;
  std::size_t bytes_ = 0;
};

}  // namespace

Result<std::unique_ptr<Env>> copy_dense(
    Env& from, const std::filesystem::path& file, std::uint64_t map_bytes,
    const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
  PENSTOCK_TRY_ASSIGN(std::unique_ptr<Env> to, Env::open(file, map_bytes, Access::make));
  PENSTOCK_TRY_ASSIGN(Txn source, from.begin_read());
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < table_count; ++i) {
    PENSTOCK_TRY_ASSIGN(const std::uint64_t entries, source.entries(static_cast<Table>(i)));
    total += entries;
  }
  std::uint64_t done = 0;
  Writer writer(*to);
  for (std::size_t i = 0; i < table_count; ++i) {
    const auto table = static_cast<Table>(i);
    if (!source.has(table)) continue;
    PENSTOCK_TRY_ASSIGN(Cursor cursor, Cursor::open(source, table));
    PENSTOCK_TRY_ASSIGN(bool found, cursor.first());
    while (found) {
      PENSTOCK_TRY(writer.append(table, cursor.key(), cursor.value()));
      if (++done % rows_per_progress == 0 && progress) progress(done, total);
      PENSTOCK_TRY_ASSIGN(found, cursor.next());
    }
  }
  PENSTOCK_TRY(writer.commit());
  return to;
}

}  // namespace penstock::buffer
