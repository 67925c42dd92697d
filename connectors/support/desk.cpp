#include "connectors/support/desk.hpp"

#include <sys/eventfd.h>

#include <utility>

namespace penstock::connectors::support {
namespace {

constexpr std::size_t spares_max = 64;

void clear(int fd) {
  eventfd_t value = 0;
  static_cast<void>(::eventfd_read(fd, &value));
}

}  // namespace

Desk::Desk()
    : left_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      durable_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

bool Desk::has_room(std::size_t size) const {
  const std::lock_guard lock(mutex_);
  return left_ == durable_ ||
         (left_ - durable_ < waiting_chunks_max && waiting_bytes_ + size <= waiting_bytes_max);
}

std::uint64_t Desk::leave(Chunk& chunk) {
  const std::lock_guard lock(mutex_);
  waiting_bytes_ += chunk.size();
  waiting_.push_back(std::move(chunk));
  if (spares_.empty()) {
    chunk = Chunk();
  } else {
    chunk = std::move(spares_.back());
    spares_.pop_back();
  }
  ::eventfd_write(left_fd_.get(), 1);
  return ++left_;
}

std::uint64_t Desk::left_count() const {
  const std::lock_guard lock(mutex_);
  return left_;
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

}  // namespace penstock::connectors::support
