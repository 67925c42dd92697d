// Resolution: looks a name up on a thread of its own, so that a slow name service holds up nobody.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

#include "agent/base/result.hpp"
#include "agent/base/unique_fd.hpp"
#include "agent/forward/mqtt_options.hpp"

namespace penstock::forward {

/// How far an attempt to reach a broker got.
struct Attempt {
  enum class Step : std::uint8_t { resolve, connect, tls, websocket, done };
  std::atomic<Step> reached{Step::resolve};  ///< where it is or ended, or done
  std::string address;                       ///< tried or chosen last, in digits; "": none
  bool is_too_late = false;                  ///< nobody answered its last step in time
  std::int64_t resolve_us = 0;               ///< what each step took
  std::int64_t connect_us = 0;
  std::int64_t tls_us = 0;        ///< 0 for a broker without TLS
  std::int64_t websocket_us = 0;  ///< 0 for a broker without WebSocket
};

/// A step that has not ended in time: its name, what there was not, and what may be the reason.
struct UnfinishedStep {
  std::string_view name;
  std::string_view what;
  std::string_view question;
  /// "no connection within 10 s"
  std::string text(std::chrono::seconds time) const;
};
UnfinishedStep unfinished(Attempt::Step step);

/// A connected, blocking socket, which gives up on each read and write after 3 s. Blocks for
/// options.timeout at most, or until `stop` is asked for. `digits`: an address as Attempt has it.
Result<UniqueFd> connect_to(const std::string& digits, const ConnectOptions& options,
                            const std::stop_token& stop);

/// A look-up in progress. Dropping it abandons it: getaddrinfo cannot be interrupted, so its thread
/// lives on until the name service answers, touching nothing but what it shares with this handle.
class Resolution {
 public:
  /// Chooses an address of the name: the only one, or the first of several that takes a TCP
  /// connection, beginning behind as many as `skip` says, going round. An address is waited for
  /// 3 s while others are left, the last one for as long as a step may take: options.timeout and
  /// a second, since whoever waits for it gives up before. `done` is called once on the thread of
  /// the look-up; an address in digits is answered at once.
  static std::shared_ptr<Resolution> begin(const ConnectOptions& options, std::size_t skip,
                                           std::function<void()> done);
  /// Also whether an address takes a TCP connection and, as the broker's scheme asks for, a TLS
  /// handshake and the request for a WebSocket: says why not.
  static std::shared_ptr<Resolution> begin_attempt(const ConnectOptions& options,
                                                   std::function<void()> done);

  bool is_done() const { return shared_->is_done.load(std::memory_order_acquire); }
  /// Only when it is done.
  const Result<void>& result() const { return shared_->result; }
  /// Only when it is done, but `reached` at any time; of begin() it has the address alone.
  const Attempt& attempt() const { return shared_->attempt; }

 private:
  using Work = std::function<Result<void>(Attempt&)>;
  static void run(const std::shared_ptr<Resolution>& resolution, Work work,
                  std::function<void()> done);

  struct Shared {
    std::atomic<bool> is_done{false};
    Result<void> result;
    Attempt attempt;
  };
  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

}  // namespace penstock::forward
