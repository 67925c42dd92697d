// The limit that latency is compared with: LMDB alone, one line of 128 bytes a commit, with a pause
// before each. Prints one JSON line with the microseconds of every commit.
//   bare_commit FILE COMMITS PAUSE_US
#include <fmt/format.h>
#include <lmdb.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

void check(int rc, const char* what) {
  if (rc == 0) return;
  fmt::print(stderr, "bare_commit: {}: {}\n", what, mdb_strerror(rc));
  std::exit(1);
}

MDB_txn* begin(MDB_env* env) {
  MDB_txn* txn = nullptr;
  check(mdb_txn_begin(env, nullptr, 0, &txn), "begin");
  return txn;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    fmt::print(stderr, "usage: bare_commit FILE COMMITS PAUSE_US\n");
    return 64;
  }
  MDB_env* env = nullptr;
  check(mdb_env_create(&env), "create");
  check(mdb_env_set_mapsize(env, std::size_t{64} << 20), "map");
  check(mdb_env_open(env, argv[1], MDB_NOSUBDIR | MDB_NOLOCK, 0644), "open");
  MDB_dbi table = 0;
  MDB_txn* txn = begin(env);
  check(mdb_dbi_open(txn, nullptr, 0, &table), "table");
  check(mdb_txn_commit(txn), "commit");

  std::string line(128, 'x');
  std::vector<long> microseconds;
  for (long i = 0; i < std::atol(argv[2]); ++i) {
    ::usleep(static_cast<useconds_t>(std::atol(argv[3])));
    const auto began = std::chrono::steady_clock::now();
    txn = begin(env);
    MDB_val key{sizeof i, &i};
    MDB_val value{line.size(), line.data()};
    check(mdb_put(txn, table, &key, &value, 0), "put");
    check(mdb_txn_commit(txn), "commit");
    microseconds.push_back(std::chrono::duration_cast<std::chrono::microseconds>(
                               std::chrono::steady_clock::now() - began)
                               .count());
  }
  mdb_env_close(env);
  fmt::print("{{\"us\":[{}]}}\n", fmt::join(microseconds, ","));
  return 0;
}
