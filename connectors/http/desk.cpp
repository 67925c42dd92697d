#include "connectors/http/desk.hpp"

#include <sys/eventfd.h>

#include <utility>

namespace penstock::connectors::http {
namespace {

constexpr std::size_t spares_max = 64;

void clear(int fd) {
  eventfd_t value = 0;
  static_cast<void>(::eventfd_read(fd, &value));
}

}  // namespace

Desk::Desk(const Session& session)
    : left_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      durable_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  keys_.load(session);
}

Desk::Left Desk::leave(Chunk& chunk, std::string_view idempotency_key) {
  const std::lock_guard lock(mutex_);
  const KeyHash key = hash_of(idempotency_key);
  if (!idempotency_key.empty()) {
    if (const auto earlier = keys_.find(key)) return {Answer::is_repeat, *earlier};
  }
  const std::size_t size = chunk.size();
  if (left_ - durable_ >= waiting_requests_max ||
      (left_ > durable_ && waiting_bytes_ + size > waiting_bytes_max)) {
    return {Answer::is_full, 0};
  }
  ++left_;
  if (!idempotency_key.empty()) keys_.add(key, left_, chunk);
  waiting_bytes_ += size;
  waiting_.push_back(std::move(chunk));
  if (spares_.empty()) {
    chunk = Chunk();
  } else {
    chunk = std::move(spares_.back());
    spares_.pop_back();
  }
  ::eventfd_write(left_fd_.get(), 1);
  return {Answer::left, left_};
}

std::uint64_t Desk::durable_count() const {
  const std::lock_guard lock(mutex_);
  return durable_;
}

void Desk::clear_durable() { clear(durable_fd_.get()); }

std::vector<Chunk> Desk::take() {
  clear(left_fd_.get());
  const std::lock_guard lock(mutex_);
  taken_ = left_;
  taken_bytes_ = waiting_bytes_;
  return std::exchange(waiting_, {});
}

void Desk::committed(std::vector<Chunk> chunks) {
  const std::lock_guard lock(mutex_);
  durable_ = taken_;
  waiting_bytes_ -= std::exchange(taken_bytes_, 0);
  for (Chunk& chunk : chunks) {
    if (spares_.size() == spares_max) break;
    spares_.push_back(std::move(chunk));
  }
  ::eventfd_write(durable_fd_.get(), 1);
}

}  // namespace penstock::connectors::http
