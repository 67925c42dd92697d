// Runs a plan on the real store, and marks in the trace what has returned.
// Usage: workload ROOT SEED STEPS   (under the shim). Prints how many rows were dropped.
#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "agent/base/log.hpp"
#include "agent/base/unique_fd.hpp"
#include "tests/power/plan.hpp"
#include "tests/power/trace.hpp"

namespace {

using namespace penstock;
using namespace penstock::power;

[[noreturn]] void die(const std::string& text) {
  std::fprintf(stderr, "workload: %s\n", text.c_str());
  std::exit(1);
}

void mark(Mark mark, std::uint64_t value) {
  static const auto call =
      reinterpret_cast<void (*)(std::int32_t, std::uint64_t)>(::dlsym(RTLD_DEFAULT, "power_mark"));
  if (call == nullptr) die("the shim is not loaded");
  call(static_cast<std::int32_t>(mark), value);
}

struct Workload {
  std::filesystem::path root;
  Plan plan;
  std::unique_ptr<buffer::Store> store;
  std::array<std::uint32_t, stream_count> ids{};
  std::uint64_t dropped_rows = 0;

  void open(std::size_t life) {
    buffer::OpenReport report;
    auto opened = buffer::Store::open(store_options(root, plan, life), report);
    if (!opened.ok()) die(opened.error().text);
    store = std::move(opened).value();
    for (std::size_t i = 0; i < stream_count; ++i) {
      auto stream =
          store->open_stream(stream_names[i], stream_priorities[i], buffer::WhenFull::drop_oldest);
      if (!stream.ok()) die(stream.error().text);
      ids[i] = stream->id;
    }
  }

  /// Nothing of a file without its first pages can be read.
  void damage_file() const {
    const auto file = store_options(root, plan, 0).path / "buffer.mdb";
    const UniqueFd fd(::open(file.c_str(), O_RDWR | O_CLOEXEC));
    const std::string zeros(8192, '\0');
    if (!fd.is_open() || ::pwrite(fd.get(), zeros.data(), zeros.size(), 0) != 8192 ||
        ::fsync(fd.get()) != 0) {
      die("damaging the file failed");
    }
  }

  void reopen(const Step& step) {
    const bool begins = begins_life(step.reopening);
    if (begins) mark(Mark::left_behind, store->stats().events);
    if (step.reopening != Reopening::unclean) store->close();
    store.reset();
    if (begins) mark(Mark::life_begins, step.life);
    if (step.reopening == Reopening::damage) {
      damage_file();
      mark(Mark::damaged, step.life);
    }
    open(step.life);
    if (begins) mark(Mark::life_opened, step.life);
  }

  void acknowledge_oldest() {
    for (const auto priority : {buffer::Priority::high, buffer::Priority::normal}) {
      auto rows = store->rows_after(priority, 0, 20'000);
      if (!rows.ok()) die(rows.error().text);
      if (!rows->empty()) store->acknowledge(store->generation(), priority, rows->back().key.id);
      store->pin(store->generation(), priority, 0);
    }
  }

  void compact() const {
    const auto done = store->compact({});
    // Of a file whose blocks are reserved there is nothing to give back.
    if (!done.ok() && done.error().code != Errc::invalid) die(done.error().text);
  }

  void commit(const Step& step, std::uint64_t number) {
    std::vector<std::string> contents;
    for (const PlannedRow& row : step.rows) contents.push_back(content_for(step.life, row));
    std::vector<buffer::NewRow> rows;
    for (std::size_t i = 0; i < step.rows.size(); ++i) {
      buffer::NewRow row;
      row.stream_id = ids[step.rows[i].stream];
      row.seq = step.rows[i].seq;
      row.count = step.rows[i].count;
      row.value = contents[i];
      rows.push_back(row);
    }
    std::vector<std::string> texts;
    for (std::size_t i = 0; i < position_parts.size(); ++i) {
      texts.push_back(position_after(i, number));
    }
    std::vector<buffer::NewPosition> positions;
    for (std::size_t i = 0; i < position_parts.size(); ++i) {
      positions.push_back({position_owner, position_parts[i], texts[i]});
    }
    auto report = store->commit({rows, positions});
    if (!report.ok()) die(report.error().text);
    dropped_rows += report->dropped_rows;
    mark_oldest();
    mark(Mark::committed, number);
  }

  void mark_oldest() const {
    const auto streams = store->stream_stats();
    if (!streams.ok()) die(streams.error().text);
    for (const buffer::StreamStats& stream : *streams) {
      const auto known = std::find(stream_names.begin(), stream_names.end(), stream.name);
      const auto index = static_cast<std::uint64_t>(known - stream_names.begin());
      mark(Mark::oldest, (index << oldest_shift) + stream.first_seq);
    }
  }

  void run() {
    mark(Mark::life_begins, 0);
    open(0);
    mark(Mark::life_opened, 0);
    std::uint64_t number = 0;
    for (const Step& step : plan.steps) {
      if (step.reopening != Reopening::none) reopen(step);
      if (step.acknowledges) acknowledge_oldest();
      if (step.compacts) compact();
      commit(step, ++number);
    }
    store->close();
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) die("usage: workload ROOT SEED STEPS");
  set_up_logging(LogLevel::off, LogStyle::plain);
  Workload workload;
  workload.root = argv[1];
  workload.plan =
      make_plan(std::strtoull(argv[2], nullptr, 10), std::strtoull(argv[3], nullptr, 10));
  workload.run();
  std::printf("%llu\n", static_cast<unsigned long long>(workload.dropped_rows));
  return 0;
}
