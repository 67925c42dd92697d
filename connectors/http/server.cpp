#include "connectors/http/server.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <list>
#include <sstream>
#include <unordered_map>

#include "agent/base/log.hpp"
#include "connectors/http/body.hpp"
#include "connectors/http/request.hpp"
#include "connectors/support/bad_input.hpp"
#include "connectors/support/token_bucket.hpp"

namespace penstock::connectors::http {
namespace {

/// Deadlines are looked at this often at least.
constexpr int tick_ms = 500;
/// How long answers may take to go out after stop was asked for.
constexpr std::int64_t farewell_us = 2'000'000;
constexpr unsigned retry_after_s = 2;
/// So many turns does the daemon take to write an answer, end the connection, and forget it.
constexpr int eager_turns = 4;
constexpr std::size_t idempotency_key_bytes_max = 256;

Result<std::string> read_text(const char* option, const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file || text.str().empty()) {
    return Error{Errc::unavailable, fmt::format("tls.{} {} cannot be read", option, quoted(path))};
  }
  return text.str();
}

}  // namespace

class Server::Core {
 public:
  Core(const Settings& settings, const Access& access, Desk& desk, Log& log)
      : settings_(settings),
        access_(access),
        desk_(desk),
        log_(log),
        bad_(log, clock_),
        refused_(clock_),
        bucket_(settings.requests_per_second_max),
        stop_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

  ~Core() {
    say_farewell();
    for (MHD_Daemon* daemon : daemons_) mhd().stop_daemon(daemon);
  }

  Result<void> open() {
    for (const support::ListenAddress& address : settings_.addresses) PENSTOCK_TRY(open(address));
    return {};
  }

  void run() {
    while (!is_stopping_) {
      turn();
      give_up_late(clock_.steady_us());
    }
    answer_durable();
  }

  void request_stop() {
    is_stopping_ = true;
    ::eventfd_write(stop_fd_.get(), 1);
  }

 private:
  Result<void> open(const support::ListenAddress& address);
  void turn();
  void answer_durable();
  void give_up_late(std::int64_t now_us);
  void say_farewell();
  void resume(Request& request, Answer answer);

  static MHD_Result on_request(void* core, MHD_Connection* connection, const char* url,
                               const char* method, const char* version, const char* data,
                               std::size_t* size, void** request);
  static void on_completed(void* core, MHD_Connection* connection, void** request,
                           MHD_RequestTerminationCode code);
  static void on_connection(void* core, MHD_Connection* connection, void** context,
                            MHD_ConnectionNotificationCode code);
  MHD_Result begin(MHD_Connection* connection, std::string_view url, std::string_view method,
                   void** request);
  MHD_Result receive(Request& request, std::string_view data);
  MHD_Result finish(Request& request);
  Answer first_answer(MHD_Connection* connection, std::string_view url, std::string_view method,
                      Request& request);
  Answer take_body(Request& request);
  Answer refuse(unsigned status, std::string text, unsigned retry_s = 0);
  void tell_refused(const Answer& answer);

  const Settings& settings_;
  const Access& access_;
  Desk& desk_;
  Log& log_;
  const Clock& clock_ = system_clock();
  support::BadInput bad_;
  support::Tally refused_;
  support::TokenBucket bucket_;
  UniqueFd stop_fd_;
  std::atomic<bool> is_stopping_{false};
  bool has_said_farewell_ = false;
  int eager_turns_ = 0;
  std::vector<MHD_Daemon*> daemons_;
  std::list<Request> requests_;
  /// Connections between requests, by when the next one's headers have to be there.
  std::unordered_map<MHD_Connection*, std::int64_t> idle_;
  Chunk chunk_;
  std::string unpacked_;
};

Result<void> Server::Core::open(const support::ListenAddress& address) {
  PENSTOCK_TRY_ASSIGN(UniqueFd fd, support::open_listener(address, 0));
  std::vector<MHD_OptionItem> items;
  std::string cert;
  std::string key;
  unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME;
  if (address.transport == support::Transport::tls) {
    PENSTOCK_TRY_ASSIGN(cert, read_text("cert", settings_.cert));
    PENSTOCK_TRY_ASSIGN(key, read_text("key", settings_.key));
    flags |= MHD_USE_TLS;
    items.push_back({MHD_OPTION_HTTPS_MEM_CERT, 0, cert.data()});
    items.push_back({MHD_OPTION_HTTPS_MEM_KEY, 0, key.data()});
  }
  items.push_back({MHD_OPTION_END, 0, nullptr});
  const auto idle_s = static_cast<unsigned>(settings_.idle_time.count() / 1'000'000);
  MHD_Daemon* daemon = mhd().start_daemon(
      flags, 0, nullptr, nullptr, &Core::on_request, this, MHD_OPTION_LISTEN_SOCKET, fd.get(),
      MHD_OPTION_CONNECTION_LIMIT, static_cast<unsigned>(settings_.connections_max),
      MHD_OPTION_PER_IP_CONNECTION_LIMIT,
      static_cast<unsigned>(settings_.connections_per_address_max), MHD_OPTION_CONNECTION_TIMEOUT,
      idle_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT, settings_.header_bytes_max,
      MHD_OPTION_NOTIFY_COMPLETED, &Core::on_completed, this, MHD_OPTION_NOTIFY_CONNECTION,
      &Core::on_connection, this, MHD_OPTION_ARRAY, items.data(), MHD_OPTION_END);
  if (daemon == nullptr) {
    return Error{Errc::unavailable,
                 fmt::format("listen on {}: the certificate or its key cannot be used",
                             quoted(address.text))};
  }
  fd.release();  // the daemon closes it
  daemons_.push_back(daemon);
  log_.info("event=listening address={}", quoted(address.text));
  return {};
}

void Server::Core::turn() {
  // The daemon does not say that a resumed or an answered connection has something to do yet.
  int timeout_ms = eager_turns_ > 0 ? 0 : tick_ms;
  if (eager_turns_ > 0) --eager_turns_;
  std::vector<pollfd> polled{{stop_fd_.get(), POLLIN, 0}, {desk_.chunks.durable_fd(), POLLIN, 0}};
  for (MHD_Daemon* daemon : daemons_) {
    const auto* info = mhd().get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD);
    polled.push_back({info == nullptr ? -1 : info->epoll_fd, POLLIN, 0});
    MHD_UNSIGNED_LONG_LONG wanted_ms = 0;
    if (mhd().get_timeout(daemon, &wanted_ms) == MHD_YES) {
      timeout_ms = static_cast<int>(
          std::min<MHD_UNSIGNED_LONG_LONG>(wanted_ms, static_cast<unsigned>(timeout_ms)));
    }
  }
  ::poll(polled.data(), polled.size(), timeout_ms);  // an interruption is only an early look
  answer_durable();
  for (MHD_Daemon* daemon : daemons_) mhd().run(daemon);
}

void Server::Core::resume(Request& request, Answer answer) {
  request.answer = std::move(answer);
  request.state = Request::State::answered;
  eager_turns_ = eager_turns;
  mhd().resume_connection(request.connection);
}

void Server::Core::answer_durable() {
  desk_.chunks.clear_durable();
  const std::uint64_t durable = desk_.chunks.durable_count();
  for (Request& request : requests_) {
    if (request.state != Request::State::waiting || request.ticket > durable) continue;
    resume(request, {MHD_HTTP_NO_CONTENT, {}, 0, request.answer.is_repeat});
  }
}

void Server::Core::give_up_late(std::int64_t now_us) {
  // A socket that is shut down looks to the daemon as if the client had gone.
  const auto shut = [](MHD_Connection* connection) {
    const auto* info = mhd().get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (info != nullptr) ::shutdown(info->connect_fd, SHUT_RDWR);
  };
  for (Request& request : requests_) {
    if (now_us < request.deadline_us) continue;
    if (request.state == Request::State::waiting) {
      resume(request, refuse(MHD_HTTP_SERVICE_UNAVAILABLE, "not durable in time", retry_after_s));
    } else if (request.state == Request::State::receiving) {
      request.deadline_us = now_us + farewell_us;
      shut(request.connection);
    }
  }
  for (auto& [connection, deadline_us] : idle_) {
    if (now_us < deadline_us) continue;
    deadline_us = now_us + farewell_us;
    shut(connection);
  }
}

/// Nothing may be suspended when a daemon ends.
void Server::Core::say_farewell() {
  if (std::exchange(has_said_farewell_, true)) return;
  const std::int64_t end_us = clock_.steady_us() + farewell_us;
  for (Request& request : requests_) {
    if (request.state != Request::State::waiting) continue;
    resume(request, refuse(MHD_HTTP_SERVICE_UNAVAILABLE, "the agent stops", retry_after_s));
  }
  const auto is_going_out = [](const Request& r) { return r.state == Request::State::answered; };
  is_stopping_ = true;
  while (std::any_of(requests_.begin(), requests_.end(), is_going_out) &&
         clock_.steady_us() < end_us) {
    for (MHD_Daemon* daemon : daemons_) mhd().run_wait(daemon, 10);
  }
}

MHD_Result Server::Core::on_request(void* core, MHD_Connection* connection, const char* url,
                                    const char* method, const char*, const char* data,
                                    std::size_t* size, void** request) {
  Core& self = *static_cast<Core*>(core);
  if (*request == nullptr) return self.begin(connection, url, method, request);
  Request& known = *static_cast<Request*>(*request);
  if (*size > 0) {
    const std::string_view piece(data, *size);
    *size = 0;
    return self.receive(known, piece);
  }
  if (known.state == Request::State::answered) {
    return send_answer(connection, known.answer, self.is_stopping_);
  }
  return self.finish(known);
}

void Server::Core::on_completed(void* core, MHD_Connection* connection, void** request,
                                MHD_RequestTerminationCode) {
  Core& self = *static_cast<Core*>(core);
  const auto* known = static_cast<Request*>(*request);
  if (known == nullptr) return;
  self.eager_turns_ = eager_turns;
  *request = nullptr;
  self.requests_.remove_if([&](const Request& other) { return &other == known; });
  self.idle_[connection] = self.clock_.steady_us() + self.settings_.idle_time.count();
}

void Server::Core::on_connection(void* core, MHD_Connection* connection, void**,
                                 MHD_ConnectionNotificationCode code) {
  Core& self = *static_cast<Core*>(core);
  if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
    self.idle_.erase(connection);
    return;
  }
  self.idle_[connection] = self.clock_.steady_us() + self.settings_.idle_time.count();
}

Answer Server::Core::refuse(unsigned status, std::string text, unsigned retry_s) {
  Answer answer{status, std::move(text), retry_s};
  if (const std::uint64_t count = refused_.note(1)) {
    log_.info("event=requests_refused count={} status={} reason={}", count, status,
              quoted(answer.text));
  }
  return answer;
}

/// What can be said by the headers alone; status 0: go on.
Answer Server::Core::first_answer(MHD_Connection* connection, std::string_view url,
                                  std::string_view method, Request& request) {
  if (!access_.allows(header(connection, "Authorization"))) {
    return refuse(MHD_HTTP_UNAUTHORIZED, "a token or a password is needed");
  }
  if (!takes_path(settings_, url)) return refuse(MHD_HTTP_NOT_FOUND, "nothing is taken here");
  if (method != "POST") return refuse(MHD_HTTP_METHOD_NOT_ALLOWED, "POST events here");
  const std::int64_t now_us = clock_.steady_us();
  if (bucket_.wait_us(now_us) > 0) {
    return refuse(MHD_HTTP_TOO_MANY_REQUESTS, "more than max_requests_per_second", 1);
  }
  bucket_.take(1, now_us);
  const auto packing = packing_of(header(connection, "Content-Encoding"));
  if (!packing) {
    return refuse(MHD_HTTP_UNSUPPORTED_MEDIA_TYPE, "content encodings taken: gzip, deflate");
  }
  request.packing = *packing;
  const auto decode = body_options(settings_, url, header(connection, "Content-Type"));
  if (!decode) {
    return refuse(MHD_HTTP_UNSUPPORTED_MEDIA_TYPE,
                  "content types taken: application/json, application/x-ndjson, text/plain");
  }
  request.decode = *decode;
  if (!set_precision(query(connection, "precision"), request.decode)) {
    return refuse(MHD_HTTP_BAD_REQUEST, "precision is s, ms, us or ns");
  }
  request.idempotency_key = header(connection, "Idempotency-Key");
  if (request.idempotency_key.size() > idempotency_key_bytes_max) {
    return refuse(MHD_HTTP_BAD_REQUEST, "Idempotency-Key: at most 256 bytes");
  }
  const std::string length(header(connection, "Content-Length"));
  if (!length.empty() && std::strtoull(length.c_str(), nullptr, 10) > settings_.body_bytes_max) {
    return refuse(MHD_HTTP_CONTENT_TOO_LARGE, "the body is longer than body_bytes_max");
  }
  return {};
}

MHD_Result Server::Core::begin(MHD_Connection* connection, std::string_view url,
                               std::string_view method, void** request) {
  idle_.erase(connection);
  Request& made = requests_.emplace_back();
  *request = &made;
  made.connection = connection;
  made.deadline_us = clock_.steady_us() + settings_.request_time.count();
  made.answer = is_stopping_ ? Answer{MHD_HTTP_SERVICE_UNAVAILABLE, "the agent stops", 2}
                             : first_answer(connection, url, method, made);
  if (made.answer.status == 0) return MHD_YES;
  made.state = Request::State::answered;
  return send_answer(connection, made.answer, true);
}

MHD_Result Server::Core::receive(Request& request, std::string_view data) {
  if (request.answer.status != 0) return MHD_YES;  // the rest of what is refused already
  if (request.body.size() + data.size() > settings_.body_bytes_max) {
    request.body = {};
    request.answer = refuse(MHD_HTTP_CONTENT_TOO_LARGE, "the body is longer than body_bytes_max");
    return MHD_YES;
  }
  request.body.append(data);
  return MHD_YES;
}

MHD_Result Server::Core::finish(Request& request) {
  if (request.answer.status == 0) request.answer = take_body(request);
  request.body = {};
  if (request.answer.status == 0 && request.ticket <= desk_.chunks.durable_count()) {
    request.answer.status = MHD_HTTP_NO_CONTENT;  // a repeat of what is durable already
  }
  if (request.answer.status != 0) {
    request.state = Request::State::answered;
    return send_answer(request.connection, request.answer, is_stopping_);
  }
  request.state = Request::State::waiting;
  request.deadline_us = clock_.steady_us() + settings_.commit_wait.count();
  mhd().suspend_connection(request.connection);
  return MHD_YES;
}

/// status 0: left at the desk.
Answer Server::Core::take_body(Request& request) {
  std::string_view body = request.body;
  if (request.packing != Packing::none) {
    const Unpacked unpacked = unpack(body, settings_.body_bytes_max, unpacked_);
    if (unpacked == Unpacked::too_long) {
      return refuse(MHD_HTTP_CONTENT_TOO_LARGE, "the unpacked body is longer than body_bytes_max");
    }
    if (unpacked == Unpacked::broken) return refuse(MHD_HTTP_BAD_REQUEST, "the body is no gzip");
    body = unpacked_;
  }
  chunk_.clear();
  const auto decoder = support::make_decoder(request.decode);
  const support::Decoded decoded = decode_body(*decoder, request.decode.format, body, chunk_);
  if (decoded.bad > 0) {
    bad_.note(decoded, body);
    return {MHD_HTTP_BAD_REQUEST, fmt::format("byte {}: {}; {} such; nothing was taken",
                                              decoded.bad_offset, decoded.reason, decoded.bad)};
  }
  if (decoded.events == 0) return {MHD_HTTP_NO_CONTENT};  // an empty list
  const std::string& key = request.idempotency_key;
  const KeyHash hash = hash_of(key);
  if (const auto earlier = key.empty() ? std::nullopt : desk_.keys.find(hash)) {
    request.ticket = *earlier;  // it may not be durable yet
    request.answer.is_repeat = true;
    return request.answer;
  }
  if (!desk_.chunks.has_room(chunk_.size())) {
    return refuse(MHD_HTTP_SERVICE_UNAVAILABLE, "the buffer has no room now", retry_after_s);
  }
  if (!key.empty()) desk_.keys.add(hash, desk_.chunks.left_count() + 1, chunk_);
  request.ticket = desk_.chunks.leave(chunk_);
  return request.answer;
}

Server::Server(const Settings& settings, const Access& access, Desk& desk, Log& log)
    : core_(std::make_unique<Core>(settings, access, desk, log)) {}
Server::~Server() = default;
Result<void> Server::open() { return core_->open(); }
void Server::run() { core_->run(); }
void Server::request_stop() { core_->request_stop(); }

}  // namespace penstock::connectors::http
