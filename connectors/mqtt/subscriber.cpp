#include "connectors/mqtt/subscriber.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <limits>

namespace penstock::connectors::mqtt {
namespace {

constexpr std::size_t read_bytes = 64 * 1024;
constexpr std::size_t unsent_bytes_max = 256 * 1024;
constexpr std::size_t chunk_bytes_max = 256 * 1024;
constexpr std::uint16_t subscribe_id = 1;
constexpr std::uint16_t unsubscribe_id = 2;
constexpr std::string_view filters_part = "filters";

std::int64_t now() { return system_clock().steady_us(); }

/// Filters hold no NUL, so one ends each.
std::string joined(const std::vector<std::string>& filters) {
  std::string out;
  for (const std::string& filter : filters) (out += filter) += '\0';
  return out;
}
std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> filters;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\0'), text.size());
    if (end > 0) filters.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return filters;
}

}  // namespace

Subscriber::Subscriber(const Settings& settings, Version version, Ledger& ledger,
                       support::Desk& desk, Session& session)
    : settings_(settings),
      version_(version),
      ledger_(ledger),
      desk_(desk),
      session_(session),
      decoder_(support::make_decoder(settings.decode)),
      log_(session.log()),
      bad_(log_, system_clock()),
      reader_(version, settings.message_bytes_max),
      stop_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      ended_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      filters_before_(split(session.resume_from(filters_part).value_or(""))) {}

void Subscriber::request_stop() { ::eventfd_write(stop_.get(), 1); }

Error Subscriber::lost(std::string_view why) const {
  return Error{Errc::unavailable, fmt::format("{}: {}", settings_.broker.url, why)};
}

Error Subscriber::refused(std::uint8_t code, std::string_view reason) const {
  std::string text = fmt::format("{} (code {:#04x})", reason_words(version_, code), code);
  if (!reason.empty()) text += fmt::format("; it says {}", penstock::quoted(reason));
  return lost(text);
}

Result<Subscriber::Opened> Subscriber::open(const config::Secret& password) {
  Result<Transport> opened = Transport::open(settings_.broker.host, settings_.broker.port,
                                             settings_.has_tls() ? &settings_.tls : nullptr,
                                             session_.stop_fd(), settings_.timeout);
  if (!opened.ok()) {
    return opened.error().code == Errc::stopped ? opened.error() : lost(opened.error().text);
  }
  transport_ = std::make_unique<Transport>(*std::move(opened));
  Connect connect{.client_id = settings_.client_id,
                  .is_clean = settings_.is_clean,
                  .keep_alive_s = static_cast<std::uint16_t>(settings_.keep_alive.count()),
                  .session_expiry_s = static_cast<std::uint32_t>(
                      settings_.is_clean ? 0 : settings_.session_expiry.count()),
                  .receive_max = settings_.receive_max};
  if (settings_.user) connect.user = *settings_.user;
  if (!password.is_empty()) connect.password = password.reveal();
  unsent_ = connect_packet(version_, connect);
  const Result<Connack> answer = wait_for_connack();
  unsent_.clear();
  if (!answer.ok()) {
    if (answer.error().code == Errc::full) return Opened::closed;
    return answer.error();
  }
  const Connack& connack = answer.value();
  if (version_ == Version::v5 && (connack.code == 0x84 || connack.code == 0x01)) {
    return Opened::refused_version;
  }
  if (connack.code != 0) return refused(connack.code, connack.reason);
  if (!connack.has_session) {
    ledger_.forget_all();
    filters_before_.clear();
  }
  keep_alive_us_ = connack.keep_alive_s.value_or(settings_.keep_alive.count()) * 1'000'000LL;
  log_.info("event=connected broker={} protocol={} session={}",
            penstock::quoted(settings_.broker.url), version_ == Version::v5 ? "5" : "3.1.1",
            connack.has_session ? "kept" : "new");
  if (connack.session_expiry_s && *connack.session_expiry_s < connect.session_expiry_s) {
    log_.warn("event=session_shorter session_expiry_s={} asked_s={}", *connack.session_expiry_s,
              connect.session_expiry_s);
  }
  return Opened::yes;
}

/// full: the broker closed the connection without an answer.
Result<Connack> Subscriber::wait_for_connack() {
  const std::int64_t deadline_us = now() + settings_.timeout.count();
  std::vector<char> buffer(read_bytes);
  for (;;) {
    PENSTOCK_TRY(write_socket());
    const Result<std::size_t> got = transport_->read(buffer.data(), buffer.size());
    if (!got.ok()) return Error{Errc::full, got.error().text};
    reader_.feed({buffer.data(), *got});
    const Result<std::optional<Packet>> packet = reader_.next();
    if (!packet.ok()) return lost(packet.error().text);
    if (packet.value()) {
      if (const auto* connack = std::get_if<Connack>(&*packet.value())) return *connack;
      return lost("the broker's first packet is no CONNACK");
    }
    if (*got > 0) continue;
    const std::int64_t left_us = deadline_us - now();
    if (left_us <= 0) return lost("no CONNACK in time: is this an MQTT broker?");
    pollfd waits[] = {{session_.stop_fd(), POLLIN, 0},
                      {transport_->fd(), transport_->events(true, !unsent_.empty()), 0}};
    ::poll(waits, 2, static_cast<int>(left_us / 1000 + 1));
    if (waits[0].revents != 0) return Error{Errc::stopped, "stop was asked for"};
  }
}

Result<void> Subscriber::run() {
  received_us_ = sent_us_ = now();
  handed_over_us_ = received_us_ - settings_.ack_every.count();
  subscribe();
  const Result<void> result = serve();
  if (result.ok()) {
    unsent_ += disconnect_packet();
    static_cast<void>(write_socket());
  } else {
    hand_over();
  }
  transport_->close();
  ::eventfd_write(ended_.get(), 1);
  return result;
}

Result<void> Subscriber::serve() {
  for (;;) {
    // Packets came with CONNACK's bytes, too.
    PENSTOCK_TRY(take_packets());
    acknowledge();
    PENSTOCK_TRY(keep_alive(now()));
    PENSTOCK_TRY(write_socket());
    if (transport_->has_more() && reads()) {
      PENSTOCK_TRY(read_socket());
      continue;
    }
    pollfd waits[] = {{stop_.get(), POLLIN, 0},
                      {desk_.durable_fd(), POLLIN, 0},
                      {transport_->fd(), transport_->events(reads(), !unsent_.empty()), 0}};
    ::poll(waits, 3, wait_ms(now()));  // an interruption is only an early look
    if (waits[0].revents != 0) return {};
    if (waits[1].revents != 0) desk_.clear_durable();
    // TLS may have to write before it can read.
    const bool writes_only = waits[2].revents == POLLOUT && !unsent_.empty();
    if (waits[2].revents != 0 && !writes_only) PENSTOCK_TRY(read_socket());
  }
}

bool Subscriber::reads() const {
  return unsent_.size() < unsent_bytes_max && desk_.has_room(chunk_.size());
}

Result<void> Subscriber::read_socket() {
  std::array<char, read_bytes> buffer;
  const Result<std::size_t> got = transport_->read(buffer.data(), buffer.size());
  if (!got.ok()) return lost(got.error().text);
  if (*got == 0) return {};
  received_us_ = now();
  answer_due_us_ = 0;
  reader_.feed({buffer.data(), *got});
  return {};
}

Result<void> Subscriber::take_packets() {
  for (;;) {
    const Result<std::optional<Packet>> packet = reader_.next();
    if (!packet.ok()) return lost(packet.error().text);
    if (!packet.value()) break;
    PENSTOCK_TRY(take(*packet.value()));
    if (waiting_ >= messages_at_once || chunk_.size() >= chunk_bytes_max) hand_over();
  }
  if (is_hand_over_due(now())) hand_over();
  return {};
}

Result<void> Subscriber::take(const Packet& packet) {
  if (const auto* message = std::get_if<Publish>(&packet)) {
    take_message(*message);
  } else if (const auto* pubrel = std::get_if<Pubrel>(&packet)) {
    // The broker may use the identifier again after our PUBCOMP: so first it is forgotten for good.
    ledger_.released(pubrel->id);
    due_.push_back({desk_.left_count() + 1, Ack::pubcomp, pubrel->id});
    ++waiting_;
  } else if (const auto* suback = std::get_if<Suback>(&packet)) {
    return take_suback(*suback);
  } else if (const auto* disconnect = std::get_if<Disconnect>(&packet)) {
    return refused(disconnect->code, disconnect->reason);
  } else if (std::holds_alternative<Connack>(packet)) {
    return lost("a second CONNACK");
  }
  return {};
}

void Subscriber::take_message(const Publish& message) {
  if (message.qos > 0) {
    due_.push_back(
        {desk_.left_count() + 1, message.qos == 1 ? Ack::puback : Ack::pubrec, message.id});
    ++waiting_;
    if (ledger_.has(message)) return;
    ledger_.add(message);
  }
  if (message.is_retained && settings_.retained == RetainHandling::never) return;
  std::array<Field, 3> extra;
  std::size_t count = 0;
  if (settings_.adds_topic) extra[count++] = {"topic", message.topic};
  if (message.is_retained) extra[count++] = {"retained", true};
  if (message.is_again && message.qos == 1) extra[count++] = {"redelivered", true};
  support::Envelope envelope;
  if (settings_.has_stream_per_topic) envelope.part = message.topic;
  envelope.extra = {extra.data(), count};
  if (message.is_cut && !support::is_of_use_cut(settings_.decode.format)) {
    return bad_.note("longer than message_bytes_max",
                     support::BadInput::excerpt_at(message.payload, 0));
  }
  const support::Decoded decoded = decoder_->decode(message.payload, envelope, chunk_);
  bad_.note(decoded, message.payload);
  if (message.is_cut) chunk_.mark_cut();
  if (decoded.events > 0 && has_filters_due_) {
    chunk_.position(filters_part, joined(settings_.topics));
    has_filters_due_ = false;
  }
}

void Subscriber::subscribe() {
  // Repeated on each connection: it changes nothing, and heals a broker that has lost it.
  unsent_ +=
      subscribe_packet(version_, subscribe_id, settings_.topics, settings_.qos, settings_.retained);
  answer_due_us_ = now() + settings_.timeout.count();
  std::vector<std::string> gone;
  for (const std::string& filter : filters_before_) {
    const auto& wanted = settings_.topics;
    if (std::find(wanted.begin(), wanted.end(), filter) == wanted.end()) gone.push_back(filter);
  }
  if (!gone.empty()) unsent_ += unsubscribe_packet(version_, unsubscribe_id, gone);
  has_filters_due_ =
      !settings_.is_clean && settings_.qos > 0 && filters_before_ != settings_.topics;
}

Result<void> Subscriber::take_suback(const Suback& suback) {
  if (suback.codes.size() != settings_.topics.size()) return lost("SUBACK of another length");
  std::size_t granted = 0;
  std::uint8_t last_code = 0;
  for (std::size_t i = 0; i < suback.codes.size(); ++i) {
    const auto code = static_cast<std::uint8_t>(suback.codes[i]);
    const std::string& filter = settings_.topics[i];
    if (code >= 0x80) {
      last_code = code;
      log_.error("event=subscription_refused topics={} error={}", penstock::quoted(filter),
                 penstock::quoted(reason_words(version_, code)));
      continue;
    }
    ++granted;
    if (code < settings_.qos) {
      log_.warn("event=qos_lowered topics={} qos={} asked={}", penstock::quoted(filter), code,
                settings_.qos);
    }
  }
  if (granted == 0) return refused(last_code, suback.reason);
  log_.info("event=subscribed topics={} refused={}", granted, suback.codes.size() - granted);
  return {};
}

bool Subscriber::is_hand_over_due(std::int64_t now_us) const {
  if (settings_.qos == 0) return !chunk_.is_empty();
  return (waiting_ > 0 || !chunk_.is_empty()) &&
         (waiting_ >= std::min<std::size_t>(messages_at_once, settings_.receive_max) ||
          now_us >= handed_over_us_ + settings_.ack_every.count());
}

void Subscriber::hand_over() {
  ledger_.write(chunk_);
  if (chunk_.is_empty() && waiting_ > 0) {
    // Nothing but repeats: what they wait for is at the desk, or durable already.
    for (auto it = due_.rbegin(); it != due_.rend() && it->chunk > desk_.left_count(); ++it) {
      it->chunk = desk_.left_count();
    }
  } else if (!chunk_.is_empty()) {
    desk_.leave(chunk_);
  }
  waiting_ = 0;
  handed_over_us_ = now();
}

void Subscriber::acknowledge() {
  const std::uint64_t durable = desk_.durable_count();
  while (!due_.empty() && due_.front().chunk <= durable && unsent_.size() < unsent_bytes_max) {
    const Due due = due_.front();
    due_.pop_front();
    append_ack(unsent_, due.ack, due.id);
    if (due.ack == Ack::puback) ledger_.acknowledged(due.id);
  }
}

Result<void> Subscriber::write_socket() {
  if (unsent_.empty()) return {};
  const Result<std::size_t> sent = transport_->write(unsent_);
  if (!sent.ok()) return lost(sent.error().text);
  if (*sent > 0) sent_us_ = now();
  unsent_.erase(0, *sent);
  return {};
}

/// The broker wants to hear from us within keep_alive, also while we do not read; and we from it.
Result<void> Subscriber::keep_alive(std::int64_t now_us) {
  if (!reads()) {
    // An answer may lie in the socket: time counts again when we read.
    received_us_ = now_us;
    if (answer_due_us_ > 0) answer_due_us_ = now_us + settings_.timeout.count();
  } else if (answer_due_us_ > 0 && now_us >= answer_due_us_) {
    return lost("no answer in time");
  }
  if (now_us < ping_due_us()) return {};
  unsent_ += ping_packet();
  sent_us_ = now_us;
  if (answer_due_us_ == 0) answer_due_us_ = now_us + settings_.timeout.count();
  return {};
}

std::int64_t Subscriber::ping_due_us() const {
  if (keep_alive_us_ == 0) return std::numeric_limits<std::int64_t>::max();
  const bool is_asked = answer_due_us_ > 0;
  return (is_asked ? sent_us_ : std::min(sent_us_, received_us_)) + keep_alive_us_ / 4 * 3;
}

int Subscriber::wait_ms(std::int64_t now_us) const {
  std::int64_t due_us = std::min(now_us + 60'000'000, ping_due_us());
  if (waiting_ > 0 || !chunk_.is_empty()) {
    due_us = std::min(due_us, handed_over_us_ + settings_.ack_every.count());
  }
  if (answer_due_us_ > 0) due_us = std::min(due_us, answer_due_us_);
  return static_cast<int>(std::max<std::int64_t>((due_us - now_us) / 1000 + 1, 0));
}

}  // namespace penstock::connectors::mqtt
