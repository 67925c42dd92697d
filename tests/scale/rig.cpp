#include "tests/scale/rig.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>

namespace penstock::tests {
namespace {

constexpr std::size_t line_bytes = 127;
constexpr std::size_t letters_size = std::size_t{1} << 20;
constexpr std::size_t window_bytes = std::size_t{1} << 20;
constexpr auto priority = buffer::Priority::normal;

[[noreturn]] void die(const Error& error) {
  fmt::print(stderr, "rig: {}\n", error.text);
  std::exit(1);
}

std::uint64_t next_random(std::uint64_t& state) {
  state = state * 6364136223846793005U + 1442695040888963407U;
  return state >> 33;
}

}  // namespace

Rig::Rig(const Options& options) : options_(options) {
  buffer::StoreOptions store_options;
  store_options.path = options.path;
  store_options.max_size = options.max_size;
  store_options.preallocate = options.preallocate;
  store_options.device = "scale";
  buffer::OpenReport report;
  auto store = buffer::Store::open(store_options, report, clock_);
  if (!store.ok()) die(store.error());
  store_ = *std::move(store);
  pipeline::IntakeOptions intake;
  intake.device = "scale";
  intake.boot = "b1d4c7e2";
  intake.commit_bytes = options.commit_bytes;
  intake.batch_events_max = options.row_events_max;
  intake.write_budget_bytes_per_s = options.write_budget_bytes_per_s;
  inbox_ = std::make_unique<pipeline::Inbox>(intake.queue_bytes_max);
  collector_ = std::make_unique<pipeline::Collector>(intake, *store_, *inbox_, clock_);
  pipeline::SourceOptions source;
  source.name = "app";
  source.type = "scale";
  auto opened = inbox_->open(source);
  if (!opened.ok()) die(opened.error());
  source_ = *opened;
  make_lines(options.text);
}

void Rig::make_lines(Text text) {
  constexpr std::string_view alphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-";
  constexpr std::array<std::string_view, 16> words = {
      "accepted ", "closed ", "connection ", "error ",   "from ",    "host ", "info ",   "kernel ",
      "lease ",    "link ",   "request ",    "session ", "timeout ", "user ", "worker ", "eth0 "};
  while (letters_.size() < letters_size) {
    const std::uint64_t random = next_random(state_);
    if (text == Text::noise) {
      letters_ += alphabet[random % alphabet.size()];
    } else {
      letters_ += words[random % words.size()];
    }
  }
}

void Rig::push(std::uint32_t events) {
  const std::uint64_t stream = chunks_++ % options_.streams;
  const std::string part = options_.streams == 1 ? std::string() : fmt::format("s{}", stream);
  for (std::uint32_t i = 0; i < events; ++i) {
    const std::size_t at = next_random(state_) % (letters_.size() - line_bytes);
    chunk_.add(clock_.wall_us(), part,
               {{"message", std::string_view(letters_).substr(at, line_bytes)}});
  }
  if (auto pushed = inbox_->push(*source_, chunk_); !pushed.ok()) die(pushed.error());
  chunk_.clear();
  pass(std::chrono::microseconds(0));
}

void Rig::pass(std::chrono::microseconds time) {
  const std::int64_t end_us = clock_.steady_us() + time.count();
  for (;;) {
    const std::chrono::microseconds wait = collector_->step();
    if (!collector_->stats().last_error.empty()) {
      die(Error{Errc::unavailable, collector_->stats().last_error});
    }
    const std::int64_t left = end_us - clock_.steady_us();
    if (wait.count() > left || (left == 0 && wait.count() > 0)) {
      clock_.advance(std::chrono::microseconds(left));
      return;
    }
    clock_.advance(wait);
  }
}

std::uint64_t Rig::drain(std::uint64_t events) {
  std::uint64_t covered = 0;
  std::uint64_t after = 0;
  while (covered < events) {
    auto rows = store_->rows_after(priority, after, window_bytes);
    if (!rows.ok()) die(rows.error());
    if (rows->empty()) break;
    for (const buffer::Row& row : *rows) {
      if (covered >= events) break;
      if (row.is_damaged) die(Error{Errc::corrupt, "a row is damaged"});
      if (row.kind == buffer::RowKind::batch) {
        if (auto text = buffer::content_of(row); !text.ok()) die(text.error());
      }
      covered += row.key.count;
      after = row.key.id;
    }
    store_->acknowledge(store_->generation(), priority, after);
    store_->pin(store_->generation(), priority, 0);
    pass(std::chrono::seconds(3));
  }
  settle();
  return covered;
}

void Rig::acknowledge_all() {
  store_->acknowledge(store_->generation(), priority, store_->durable_id());
}

}  // namespace penstock::tests
