// Runs a plan on the real store, and marks in the trace each commit that has returned.
// Usage: workload FOLDER SEED STEPS   (under the shim)
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <memory>

#include "tests/powercut/plan.hpp"

namespace {

using namespace penstock;
using namespace penstock::powercut;

[[noreturn]] void die(const std::string& text) {
  std::fprintf(stderr, "workload: %s\n", text.c_str());
  std::exit(1);
}

struct Workload {
  std::filesystem::path folder;
  std::unique_ptr<buffer::Store> store;
  std::array<std::uint32_t, stream_count> ids{};

  void open() {
    buffer::OpenReport report;
    auto opened = buffer::Store::open(store_options(folder), report);
    if (!opened.ok()) die(opened.error().text);
    store = std::move(opened).value();
    for (std::size_t i = 0; i < stream_count; ++i) {
      auto stream = store->open_stream(stream_names[i], stream_priorities[i], stream_policies[i]);
      if (!stream.ok()) die(stream.error().text);
      ids[i] = stream->id;
    }
  }

  void acknowledge_oldest() {
    for (const auto priority : {buffer::Priority::high, buffer::Priority::normal}) {
      auto rows = store->rows_after(priority, 0, 20'000);
      if (!rows.ok()) die(rows.error().text);
      if (!rows->empty()) store->acknowledge(store->generation(), priority, rows->back().key.id);
    }
  }

  void commit(const Step& step, std::size_t number) {
    std::vector<std::string> contents;
    for (const auto& row : step.rows)
      contents.push_back(content_for(row.stream, row.seq, row.count));
    std::vector<buffer::NewRow> rows;
    for (std::size_t i = 0; i < step.rows.size(); ++i) {
      buffer::NewRow row;
      row.stream_id = ids[step.rows[i].stream];
      row.seq = step.rows[i].seq;
      row.count = step.rows[i].count;
      row.value = contents[i];
      rows.push_back(row);
    }
    const std::string position = std::to_string(number);
    const buffer::NewPosition positions[] = {{position_owner, "p", position}};
    auto report = store->commit({rows, positions});
    if (!report.ok()) die(report.error().text);
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) die("usage: workload FOLDER SEED STEPS");
  const auto mark =
      reinterpret_cast<void (*)(std::uint64_t)>(::dlsym(RTLD_DEFAULT, "powercut_mark"));
  if (mark == nullptr) die("the shim is not loaded");
  Workload workload;
  workload.folder = argv[1];
  const auto plan =
      make_plan(std::strtoull(argv[2], nullptr, 10), std::strtoull(argv[3], nullptr, 10));
  workload.open();
  std::uint64_t number = 0;
  for (const Step& step : plan) {
    if (step.acknowledges) workload.acknowledge_oldest();
    workload.commit(step, ++number);
    mark(number);
    if (step.reopens) {
      workload.store->close();
      workload.store.reset();
      workload.open();
    }
  }
  workload.store->close();
  return 0;
}
