#include "tests/fault/collected.hpp"

#include <unistd.h>

#include <cstdlib>
#include <stdexcept>

namespace penstock::fault {
namespace {

using namespace std::chrono_literals;

constexpr int attempts_max = 3000;
constexpr buffer::Priority priorities[] = {buffer::Priority::high, buffer::Priority::normal,
                                           buffer::Priority::low};

std::string owner_of(std::size_t source) {
  return std::string("test") + '\0' + source_names[source];
}

[[noreturn]] void give_up(const std::string& what) { throw std::runtime_error(what); }

}  // namespace

buffer::StoreOptions store_options(const std::filesystem::path& folder, bool is_second_device) {
  buffer::StoreOptions options;
  options.path = folder / "made" / "buffer";
  options.max_size = buffer::max_size_min;
  options.preallocate = !is_second_device;
  options.device = is_second_device ? "second" : "first";
  options.machine_id = "fault-machine";
  return options;
}

std::vector<std::uint64_t> numbers_in(std::string_view batch) {
  constexpr std::string_view member = "\"n\":";
  std::vector<std::uint64_t> numbers;
  for (std::size_t at = batch.find(member); at != std::string_view::npos;
       at = batch.find(member, at)) {
    at += member.size();
    numbers.push_back(std::strtoull(batch.data() + at, nullptr, 10));
  }
  return numbers;
}

void Run::note(const std::string& line) const {
  const std::string text = line + '\n';
  if (::write(log_fd_, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    give_up("the notes cannot be written");
  }
}

void Run::open() {
  for (int attempt = 0; store_ == nullptr; ++attempt) {
    buffer::OpenReport report;
    auto opened = buffer::Store::open(store_options(folder_, is_second_device_), report, clock_);
    if (opened.ok()) {
      store_ = std::move(opened).value();
      break;
    }
    const Errc code = opened.error().code;
    if (code != Errc::unavailable && code != Errc::full) give_up("open: " + opened.error().text);
    if (attempt == attempts_max) give_up("never opens: " + opened.error().text);
  }
  pipeline::IntakeOptions options;
  options.device = "fault";
  options.boot = "b1d4c7e2";
  options.commit_every = 0us;
  inbox_ = std::make_unique<pipeline::Inbox>(options.queue_bytes_max);
  collector_ = std::make_unique<pipeline::Collector>(options, *store_, *inbox_, clock_);
  for (std::size_t i = 0; i < source_count; ++i) {
    pipeline::SourceOptions source;
    source.name = source_names[i];
    source.type = "test";
    if (i == 0) source.when_full = buffer::WhenFull::block;
    auto opened = inbox_->open(source);
    if (!opened.ok()) give_up("source: " + opened.error().text);
    sessions_.push_back(std::make_unique<pipeline::ConnectorSession>(*inbox_, **opened, clock_));
  }
}

void Run::close(bool is_clean) {
  if (is_clean) {
    if (const auto done = collector_->finish(attempts_max, 0ms); !done.ok()) {
      give_up("finish: " + done.error().text);
    }
    store_->close();
  }
  sessions_.clear();
  collector_.reset();
  inbox_.reset();
  store_.reset();
}

void Run::push(std::size_t source, int chunk) {
  static const std::string text(150, 't');
  connectors::Chunk events;
  for (int i = 0; i < events_per_chunk; ++i) {
    const std::int64_t n = std::int64_t{chunk - 1} * events_per_chunk + i;
    events.add(clock_.wall_us(), "", {{"text", std::string_view(text)}, {"n", n}});
  }
  events.position("", std::to_string(chunk));
  if (const auto pushed = sessions_[source]->push(events); !pushed.ok()) {
    give_up("push: " + pushed.error().text);
  }
}

void Run::wait_until_durable(int chunk) {
  const std::string position = std::to_string(chunk);
  for (int steps = 0; steps < attempts_max; ++steps) {
    bool is_durable = true;
    for (const auto& session : sessions_) {
      is_durable = is_durable && session->resume_from("") == position;
    }
    if (is_durable) return note("durable " + position);
    clock_.advance(collector_->step());
  }
  give_up("chunk " + position + " never becomes durable: " + collector_->stats().last_error);
}

void Run::forward() {
  for (const auto priority : priorities) {
    const std::uint64_t generation = store_->generation();
    const auto rows = store_->rows_after(priority, 0, 20'000);
    if (!rows.ok()) continue;
    for (const buffer::Row& row : *rows) {
      const std::string name = store_->stream_name(row.key.stream_id);
      if (row.is_damaged) give_up("a damaged row");
      if (row.kind == buffer::RowKind::loss) {
        note("lost " + name + ' ' + std::to_string(row.key.count));
        continue;
      }
      const auto content = buffer::content_of(row);
      if (!content.ok()) give_up("content: " + content.error().text);
      for (const std::uint64_t n : numbers_in(*content)) {
        note("got " + name + ' ' + std::to_string(n));
      }
    }
    if (!rows->empty()) store_->acknowledge(generation, priority, rows->back().key.id);
    store_->pin(generation, priority, 0);
  }
}

void Run::check_positions(int chunk) {
  for (std::size_t i = 0; i < source_count; ++i) {
    auto position = store_->position(owner_of(i), "");
    for (int attempt = 0; !position.ok() && attempt < attempts_max; ++attempt) {
      position = store_->position(owner_of(i), "");
    }
    if (!position.ok()) give_up("position: " + position.error().text);
    if (position->value_or("none") != std::to_string(chunk)) {
      give_up("the position of " + std::string(source_names[i]) + " is " +
              position->value_or("none") + ", not " + std::to_string(chunk));
    }
  }
}

void Run::to_the_end() {
  open();
  for (int chunk = 1; chunk <= chunks_max; ++chunk) {
    for (std::size_t i = 0; i < source_count; ++i) push(i, chunk);
    wait_until_durable(chunk);
    if (chunk % 3 == 0) forward();
    // One that fails must change nothing.
    if (chunk % 9 == 0) static_cast<void>(store_->compact({}).ok());
    const bool changes_device = chunk == chunks_max / 2;
    if (chunk % 10 != 0 && !changes_device) continue;
    close(chunk % 20 == 0);
    is_second_device_ = is_second_device_ || changes_device;
    open();
    check_positions(chunk);
  }
  close(true);
}

}  // namespace penstock::fault
