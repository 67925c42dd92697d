#include "agent/pipeline/session.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include "agent/base/assert.hpp"
#include "agent/pipeline/inbox.hpp"

namespace penstock::pipeline {

ConnectorSession::ConnectorSession(Inbox& inbox, Source& source, const Clock& clock)
    : inbox_(inbox),
      source_(source),
      clock_(clock),
      stop_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      log_("conn." + source.options.name) {}

ConnectorSession::~ConnectorSession() { inbox_.close(source_); }

std::optional<std::string> ConnectorSession::resume_from(std::string_view part) const {
  return inbox_.position(source_, part);
}

std::vector<std::string> ConnectorSession::known_parts() const { return inbox_.parts(source_); }

Result<void> ConnectorSession::push(connectors::Chunk& chunk) {
  return inbox_.push(source_, chunk);
}

Result<void> ConnectorSession::flush() { return inbox_.flush(source_); }

bool ConnectorSession::sleep_for(std::chrono::microseconds time) {
  return inbox_.sleep_for(source_, time);
}

void ConnectorSession::request_stop() {
  if (!stop_.request_stop()) return;
  const std::uint64_t one = 1;
  const ssize_t written = ::write(stop_fd_.get(), &one, sizeof(one));
  PENSTOCK_ASSERT(written == sizeof(one));
  inbox_.request_stop(source_);
}

SourceStats ConnectorSession::stats() const { return inbox_.stats(source_); }

}  // namespace penstock::pipeline
