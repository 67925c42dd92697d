#include "tests/support/mqtt_broker.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <stdexcept>

#include "tests/support/net.hpp"

namespace penstock::tests {
namespace {

std::string two(unsigned value) {
  return {static_cast<char>(value >> 8), static_cast<char>(value & 0xFF)};
}
unsigned two_at(const std::string& in, std::size_t at) {
  return static_cast<unsigned>(static_cast<unsigned char>(in.at(at))) << 8 |
         static_cast<unsigned char>(in.at(at + 1));
}
std::string text_at(const std::string& in, std::size_t& at) {
  const std::string text = in.substr(at + 2, two_at(in, at));
  at += 2 + text.size();
  return text;
}
/// The properties of a packet of MQTT 5, which are shorter than 128 bytes.
std::string properties_at(const std::string& in, std::size_t& at) {
  const std::string properties = in.substr(at + 1, static_cast<unsigned char>(in.at(at)));
  at += 1 + properties.size();
  return properties;
}

}  // namespace

MqttBroker::MqttBroker(std::uint16_t port) : MqttBroker(Behaviour(), port) {}

MqttBroker::MqttBroker(Behaviour behaviour, std::uint16_t port)
    : behaviour_(behaviour),
      listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  const int yes = 1;
  ::setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  socklen_t size = sizeof address;
  if (::bind(listener_.get(), generic, size) != 0 || ::listen(listener_.get(), 8) != 0) {
    throw std::runtime_error("the test's broker cannot listen");
  }
  ::getsockname(listener_.get(), generic, &size);
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { serve(); });
}

MqttBroker::~MqttBroker() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  wake();
  thread_.join();
}

void MqttBroker::wake() { ::eventfd_write(wake_.get(), 1); }

void MqttBroker::publish(std::string_view topic, std::string_view payload, unsigned qos,
                         bool is_retained) {
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back({std::string(topic), std::string(payload), qos, is_retained});
  }
  wake();
}

void MqttBroker::send(std::string_view bytes) {
  const std::lock_guard lock(mutex_);
  send_all(connection_.get(), bytes);
}

void MqttBroker::drop_connection() {
  {
    const std::lock_guard lock(mutex_);
    is_drop_due_ = true;
  }
  wake();
}

MqttBroker::Seen MqttBroker::seen() const {
  const std::lock_guard lock(mutex_);
  return seen_;
}

std::size_t MqttBroker::unacknowledged() const {
  const std::lock_guard lock(mutex_);
  return queue_.size();
}

void MqttBroker::close_connection() {
  connection_.reset();
  received_.clear();
  is_subscribed_ = false;
}

void MqttBroker::serve() {
  for (;;) {
    pollfd waits[] = {
        {wake_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}, {connection_.get(), POLLIN, 0}};
    ::poll(waits, 3, -1);
    const std::lock_guard lock(mutex_);
    eventfd_t ignored = 0;
    ::eventfd_read(wake_.get(), &ignored);
    if (is_stopping_) return;
    if (is_drop_due_) close_connection();
    is_drop_due_ = false;
    if (waits[1].revents != 0) {
      close_connection();
      connection_.reset(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      const int yes = 1;
      ::setsockopt(connection_.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    } else if (waits[2].revents != 0 && connection_.is_open()) {
      char buffer[4096];
      const ssize_t got = ::recv(connection_.get(), buffer, sizeof buffer, 0);
      if (got <= 0) {
        close_connection();
      } else {
        received_.append(buffer, static_cast<std::size_t>(got));
      }
    }
    // Packets of a client are below 16 KiB, so their length has at most two bytes.
    while (received_.size() >= 2) {
      const bool is_long = (received_[1] & 0x80) != 0;
      if (is_long && received_.size() < 3) break;
      const std::size_t head = is_long ? 3 : 2;
      const std::size_t size =
          (received_[1] & 0x7F) | (is_long ? static_cast<std::size_t>(received_[2]) << 7 : 0);
      if (received_.size() < head + size) break;
      const auto first = static_cast<std::uint8_t>(received_[0]);
      const std::string body = received_.substr(head, size);
      received_.erase(0, head + size);
      take(first, body);
    }
    send_queued(false);
  }
}

void MqttBroker::send_packet(int first, const std::string& body) {
  std::string out(1, static_cast<char>(first));
  std::size_t size = body.size();
  do {
    out += static_cast<char>((size & 0x7F) | (size > 0x7F ? 0x80 : 0));
    size >>= 7;
  } while (size > 0);
  send_all(connection_.get(), out + body);
}

void MqttBroker::take(std::uint8_t first, const std::string& body) {
  const auto find = [this](std::uint16_t id) {
    return std::find_if(queue_.begin(), queue_.end(), [id](const auto& m) { return m.id == id; });
  };
  switch (first >> 4) {
    case 1: return take_connect(body);
    case 3: return take_publish(first, body);
    case 8:
    case 10:
      return take_subscribe(static_cast<std::uint16_t>(two_at(body, 0)), body, first >> 4 == 10);
    case 12:
      ++seen_.pings;
      if (!behaviour_.is_silent) send_packet(0xD0, "");
      return;
    case 14: ++seen_.disconnects; return;
    default: break;
  }
  const auto id = static_cast<std::uint16_t>(two_at(body, 0));
  const auto found = find(id);
  if (first == 0x50) {
    seen_.pubrecs.push_back(id);
    if (found != queue_.end()) found->is_released = true;
    return send_packet(0x62, two(id));
  }
  (first == 0x40 ? seen_.pubacks : seen_.pubcomps).push_back(id);
  if (found != queue_.end()) queue_.erase(found);
}

void MqttBroker::take_connect(const std::string& body) {
  ++seen_.connects;
  seen_.version = static_cast<std::uint8_t>(body.at(6));
  const auto flags = static_cast<unsigned char>(body.at(7));
  seen_.is_clean = (flags & 2) != 0;
  seen_.keep_alive_s = static_cast<std::uint16_t>(two_at(body, 8));
  std::size_t at = 10;
  const bool is_5 = seen_.version == 5;
  if (is_5 && behaviour_.closes_on_5) return close_connection();
  if (is_5) {
    const std::string properties = properties_at(body, at);
    if (properties.size() == 8) {
      // Session expiry and receive maximum, in this order: so our source writes them.
      seen_.session_expiry_s = two_at(properties, 1) << 16 | two_at(properties, 3);
      seen_.receive_max = static_cast<std::uint16_t>(two_at(properties, 6));
    }
  }
  seen_.client_id = text_at(body, at);
  if ((flags & 4) != 0) {
    if (is_5) properties_at(body, at);
    text_at(body, at);
    text_at(body, at);
  }
  if ((flags & 0x80) != 0) seen_.user = text_at(body, at);
  if ((flags & 0x40) != 0) seen_.password = text_at(body, at);
  if (is_5 && !behaviour_.knows_5) {
    send_packet(0x20, std::string("\0\x01", 2));
    return close_connection();
  }
  if (seen_.is_clean) {
    if (has_session_) queue_.clear();
    has_session_ = false;
  }
  std::string answer{static_cast<char>(behaviour_.connack == 0 && has_session_ ? 1 : 0),
                     static_cast<char>(behaviour_.connack)};
  if (is_5) {
    answer += behaviour_.keep_alive_s == 0
                  ? std::string(1, '\0')
                  : std::string("\x03\x13", 2) + two(behaviour_.keep_alive_s);
  }
  send_packet(0x20, answer);
  if (behaviour_.connack != 0) return close_connection();
  if (has_session_) {
    is_subscribed_ = true;
    send_queued(true);
  }
}

void MqttBroker::take_publish(std::uint8_t first, const std::string& body) {
  std::size_t at = 0;
  seen_.published.push_back(text_at(body, at));
  const bool is_held = seen_.published.size() > behaviour_.published_max;
  if ((first & 6) != 0 && !is_held) send_packet(0x40, body.substr(at, 2));
}

void MqttBroker::take_subscribe(std::uint16_t id, const std::string& body, bool is_un) {
  std::size_t at = seen_.version == 5 ? 3 : 2;
  auto& filters = is_un ? seen_.unsubscribed : seen_.filters;
  filters.clear();
  std::string answer = two(id) + (seen_.version == 5 ? std::string(1, '\0') : "");
  while (at < body.size()) {
    filters.push_back(text_at(body, at));
    if (!is_un) {
      seen_.filter_options = static_cast<std::uint8_t>(body.at(at++));
      answer += static_cast<char>(behaviour_.suback == 0xFF ? seen_.filter_options & 3
                                                            : behaviour_.suback);
    } else if (seen_.version == 5) {
      answer += '\0';
    }
  }
  if (!behaviour_.is_silent) send_packet(is_un ? 0xB0 : 0x90, answer);
  if (is_un) return;
  has_session_ = !seen_.is_clean;
  is_subscribed_ = true;
}

void MqttBroker::send_queued(bool is_resumed) {
  if (!connection_.is_open() || !is_subscribed_) return;
  const auto publish = [this](const Message& m, bool is_again) {
    send_packet(0x30 | (is_again ? 8 : 0) | static_cast<int>(m.qos << 1) | (m.is_retained ? 1 : 0),
                two(static_cast<unsigned>(m.topic.size())) + m.topic +
                    (m.qos > 0 ? two(m.id) : "") +
                    (seen_.version == 5 ? std::string(1, '\0') : "") + m.payload);
  };
  unsigned in_flight = 0;
  for (auto it = queue_.begin(); it != queue_.end() && in_flight < behaviour_.window;) {
    if (it->id != 0) {
      ++in_flight;
      if (is_resumed && it->is_released) send_packet(0x62, two(it->id));
      if (is_resumed && !it->is_released) publish(*it, true);
      ++it;
      continue;
    }
    if (it->qos == 0) {
      publish(*it, false);
      it = queue_.erase(it);
      continue;
    }
    const auto is_taken = [&](std::uint16_t id) {
      return std::any_of(queue_.begin(), queue_.end(), [&](const auto& m) { return m.id == id; });
    };
    if (behaviour_.reuses_ids) last_id_ = 0;
    do ++last_id_;
    while (last_id_ == 0 || is_taken(last_id_));
    it->id = last_id_;
    ++in_flight;
    publish(*it, false);
    ++it;
  }
}

}  // namespace penstock::tests
