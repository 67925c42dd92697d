#include "buffer/check.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <new>

#include "agent/base/bytes.hpp"
#include "agent/base/unique_fd.hpp"
#include "buffer/file.hpp"

namespace penstock::buffer {
namespace {

constexpr std::size_t recent_rows = 64;
constexpr std::size_t recent_list_bytes = 1 << 20;
// Damage can send LMDB round in circles, which takes the processor's time; a slow disk takes none.
constexpr std::uint64_t processor_seconds_max = 60;
constexpr std::uint64_t slow_processor_bytes_per_s = 4 << 20;
constexpr std::uint64_t seconds_max = 600;
constexpr std::uint64_t slow_disk_bytes_per_s = 256 << 10;
constexpr std::size_t record_max = std::size_t{16} << 20;
constexpr int trial_writes = 64;
// What reading damaged pages ends in. Others come from outside: a user, the kernel short of memory.
constexpr int signals_of_damage[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGXCPU};

/// What the child tells, one record each: kind, size of the rest (u32), the rest.
enum Kind : char { epoch_kind = 'e', position_kind = 'p', stream_kind = 's', end_kind = '.' };

/// Ends the child without a result: something else than the file is at fault.
[[noreturn]] void give_up(int err) { ::_exit(err); }

/// The child's end of the pipe. What cannot be written ends the child.
class Teller {
 public:
  explicit Teller(int fd) : fd_(fd) {}
  ~Teller() { flush(); }
  Teller(const Teller&) = delete;
  Teller& operator=(const Teller&) = delete;

  void tell(Kind kind, std::initializer_list<std::string_view> texts) {
    std::uint32_t size = 0;
    for (const std::string_view text : texts) {
      size += static_cast<std::uint32_t>(sizeof(std::uint32_t) + text.size());
    }
    waiting_ += kind;
    append(size);
    for (const std::string_view text : texts) {
      append(static_cast<std::uint32_t>(text.size()));
      waiting_ += text;
    }
    if (waiting_.size() >= 4096) flush();
  }

  void flush() {
    std::string_view left = waiting_;
    while (!left.empty()) {
      const ssize_t written = ::write(fd_, left.data(), left.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) give_up(errno);
      left.remove_prefix(static_cast<std::size_t>(written));
    }
    waiting_.clear();
  }

 private:
  void append(std::uint32_t number) {
    char bytes[sizeof number];
    store_le(bytes, number);
    waiting_.append(bytes, sizeof bytes);
  }

  int fd_;
  std::string waiting_;
};

/// Whether the counters are from before this sound row: numbers would be used again.
bool is_newer(const Counters& counters, std::uint32_t epoch, Table table, const Cursor& cursor) {
  const auto decode = table == Table::parked ? &decode_parked_key : &decode_row_key;
  const auto row = decode(cursor.key());
  return row && row->key.id >= counters.next_id &&
         decode_row(epoch, table, cursor.key(), row->kind, cursor.value());
}

Result<void> walk_rows(Txn& txn, Table table, const State& state, CheckDepth depth) {
  if (!txn.has(table)) return {};
  PENSTOCK_TRY_ASSIGN(Cursor cursor, Cursor::open(txn, table));
  const bool is_all = depth == CheckDepth::all;
  PENSTOCK_TRY_ASSIGN(bool found, is_all ? cursor.first() : cursor.last());
  std::uint64_t hash = 0;
  std::uint64_t seen = 0;
  for (; found && (is_all || seen < recent_rows); ++seen) {
    PENSTOCK_TRY(cursor.check_page());
    hash ^= hash_of(cursor.value());  // reads every page of it
    if (is_newer(state.counters, state.identity.epoch, table, cursor)) {
      return Error{Errc::corrupt, "its counters are older than its rows"};
    }
    PENSTOCK_TRY_ASSIGN(found, is_all ? cursor.next() : cursor.previous());
  }
  volatile std::uint64_t sink = hash;
  static_cast<void>(sink);
  PENSTOCK_TRY_ASSIGN(const std::uint64_t rows, txn.entries(table));
  if (is_all ? seen == rows : seen == std::min<std::uint64_t>(rows, recent_rows)) return {};
  return Error{Errc::corrupt, fmt::format("{} of {} rows of a table are seen", seen, rows)};
}

/// Takes pages from LMDB's list of free ones, as the next commit will, and gives them back.
Result<void> try_write(Env& env) {
  PENSTOCK_TRY_ASSIGN(Txn txn, env.begin_write());
  const std::string value(2 * env.page_size(), 'x');
  for (int i = 0; i < trial_writes; ++i) {
    const auto put = txn.put(Table::state, fmt::format("~{}", i), value);
    if (!put.ok() && put.error().code == Errc::full) return {};  // no finding: it can be full
    PENSTOCK_TRY(put);
  }
  return {};
}

Result<void> tell_positions(Txn& txn, std::uint32_t epoch, Teller& teller) {
  PENSTOCK_TRY_ASSIGN(Cursor cursor, Cursor::open(txn, Table::state));
  PENSTOCK_TRY_ASSIGN(bool found, cursor.seek({&position_prefix, 1}));
  while (found && cursor.key().substr(0, 1) == std::string_view(&position_prefix, 1)) {
    if (const auto record = decode_position(epoch, cursor.key(), cursor.value())) {
      teller.tell(position_kind, {record->owner, record->part, record->bytes});
    }
    PENSTOCK_TRY_ASSIGN(found, cursor.next());
  }
  return {};
}

/// Damaged sizes would let the buffer look full for ever; damaged lists would give pages away that
/// are in use.
Result<void> check_pages(Env& env, CheckDepth depth) {
  PENSTOCK_TRY_ASSIGN(Txn txn, env.begin_read());
  PENSTOCK_TRY(txn.check_free_list(depth == CheckDepth::all ? SIZE_MAX : recent_list_bytes));
  PENSTOCK_TRY_ASSIGN(const std::uint64_t pages, txn.pages());
  if (pages <= env.file_pages()) return {};
  return Error{Errc::corrupt,
               fmt::format("it says that {} of its {} pages are in use", pages, env.file_pages())};
}

/// What can be read comes first, so that it is told even if the rest ends the child.
Result<void> look(const std::filesystem::path& file, std::uint64_t map_bytes, CheckDepth depth,
                  Access access, Teller& teller) {
  PENSTOCK_TRY_ASSIGN(const auto env, open_whole(file, map_bytes, access));
  {
    PENSTOCK_TRY_ASSIGN(Txn txn, env->begin_read());
    PENSTOCK_TRY_ASSIGN(const auto identity, txn.get(Table::state, identity_key));
    if (identity) {
      const std::uint32_t epoch = epoch_of(*identity);
      teller.tell(epoch_kind, {epoch_text(epoch)});
      PENSTOCK_TRY(tell_positions(txn, epoch, teller));
    }
    teller.flush();
  }
  PENSTOCK_TRY_ASSIGN(const State state, read_state(*env));
  for (const auto& [id, record] : state.streams) {
    teller.tell(stream_kind, {record.name, std::to_string(record.place.next_seq)});
  }
  teller.flush();
  {
    PENSTOCK_TRY_ASSIGN(Txn txn, env->begin_read());
    for (const Table table : {Table::high, Table::normal, Table::low, Table::parked}) {
      PENSTOCK_TRY(walk_rows(txn, table, state, depth));
    }
  }
  PENSTOCK_TRY(check_pages(*env, depth));
  if (access == Access::read) return {};
  return try_write(*env);
}

/// The child ends when it has used too much of the processor (SIGXCPU), or waited for the disk for
/// too long (SIGALRM).
void limit_time(const std::filesystem::path& file, CheckDepth depth) {
  struct stat info = {};
  const bool reads_all = depth == CheckDepth::all && ::stat(file.c_str(), &info) == 0;
  const std::uint64_t bytes = reads_all ? static_cast<std::uint64_t>(info.st_size) : 0;
  const rlim_t seconds = processor_seconds_max + bytes / slow_processor_bytes_per_s;
  const rlimit processor = {seconds, seconds + 1};
  ::setrlimit(RLIMIT_CPU, &processor);
  ::alarm(static_cast<unsigned>(seconds_max + bytes / slow_disk_bytes_per_s));
}

[[noreturn]] void run_child(const std::filesystem::path& file, std::uint64_t map_bytes,
                            CheckDepth depth, Access access, int pipe_fd) {
  for (const int number :
       {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGXCPU, SIGALRM, SIGINT, SIGTERM}) {
    ::signal(number, SIG_DFL);
  }
  ::signal(SIGPIPE, SIG_IGN);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // or it would hold the buffer's lock on
  const rlimit no_core = {0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  // What LMDB's own assertions write would say nothing to a user. The descriptor stays taken: it
  // must not become that of the file.
  const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (nowhere < 0 || ::dup2(nowhere, STDERR_FILENO) < 0) give_up(errno);
  limit_time(file, depth);
  // No exception may go on into the stack that is a copy of the parent's.
  try {
    Teller teller(pipe_fd);
    const Result<void> result = look(file, map_bytes, depth, access, teller);
    const char code = static_cast<char>(result.ok() ? Errc::stopped : result.error().code);
    teller.tell(end_kind,
                {{&code, 1}, result.ok() ? "ok" : "", result.ok() ? "" : result.error().text});
  } catch (const std::bad_alloc&) {
    give_up(ENOMEM);
  } catch (...) {
    std::abort();
  }
  ::_exit(0);
}

/// All that the child wrote, until it closed the pipe.
Result<std::string> read_all(int fd) {
  std::string all;
  char bytes[65536];
  for (;;) {
    const ssize_t size = ::read(fd, bytes, sizeof bytes);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return errno_error("check the buffer: read");
    if (size == 0) return all;
    all.append(bytes, static_cast<std::size_t>(size));
  }
}

/// The texts of one record; empty if it is cut short.
std::vector<std::string> take_record(std::string_view& told, char& kind) {
  constexpr std::size_t head = 1 + sizeof(std::uint32_t);
  if (told.size() < head) return {};
  kind = told[0];
  const auto size = load_le<std::uint32_t>(told.data() + 1);
  if (size > record_max || told.size() - head < size) return {};
  std::string_view rest = told.substr(head, size);
  told.remove_prefix(head + size);
  std::vector<std::string> texts;
  while (rest.size() >= sizeof(std::uint32_t)) {
    const auto length = load_le<std::uint32_t>(rest.data());
    rest.remove_prefix(sizeof length);
    texts.emplace_back(rest.substr(0, length));
    rest.remove_prefix(std::min<std::size_t>(length, rest.size()));
  }
  return texts;
}

/// What it means that the child told no end: the finding, or an error that has nothing to do with
/// the file.
Result<std::string> end_of_child(int status) {
  if (!WIFSIGNALED(status)) return errno_error("check the buffer", WEXITSTATUS(status));
  const int number = WTERMSIG(status);
  if (number == SIGALRM) {
    return Error{Errc::unavailable, "check the buffer: the disk is too slow to read it"};
  }
  if (std::find(std::begin(signals_of_damage), std::end(signals_of_damage), number) ==
      std::end(signals_of_damage)) {
    return Error{Errc::unavailable,
                 fmt::format("check the buffer: ended from outside ({})", ::strsignal(number))};
  }
  if (number == SIGXCPU) return std::string("the check did not come to an end");
  return fmt::format("reading it ends in a crash ({})", ::strsignal(number));
}

Result<Checked> read_report(std::string_view told, int status) {
  Checked checked;
  char kind = 0;
  for (auto texts = take_record(told, kind); !texts.empty(); texts = take_record(told, kind)) {
    if (kind == epoch_kind) {
      checked.epoch = static_cast<std::uint32_t>(std::stoul(texts[0], nullptr, 16));
    } else if (kind == position_kind && texts.size() == 3) {
      checked.positions.push_back({texts[0], texts[1], texts[2]});
    } else if (kind == stream_kind && texts.size() == 2) {
      checked.streams.push_back({texts[0], std::stoull(texts[1])});
    } else if (kind == end_kind && texts.size() == 3) {
      const auto code = static_cast<Errc>(texts[0].empty() ? '\0' : texts[0][0]);
      checked.is_sound = texts[1] == "ok";
      checked.problem = texts[2];
      if (!checked.is_sound && code != Errc::corrupt) return Error{code, checked.problem};
      return checked;
    }
  }
  PENSTOCK_TRY_ASSIGN(checked.problem, end_of_child(status));
  return checked;
}

}  // namespace

Result<Checked> check_apart(const std::filesystem::path& file, std::uint64_t map_bytes,
                            CheckDepth depth, Access access) {
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) != 0) return errno_error("check the buffer: pipe");
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) return errno_error("check the buffer: fork");
  if (child == 0) run_child(file, map_bytes, depth, access, write_end.get());
  write_end = UniqueFd();
  const Result<std::string> told = read_all(read_end.get());
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!told.ok()) return told.error();
  return read_report(*told, status);
}

}  // namespace penstock::buffer
