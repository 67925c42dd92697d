// The limit that benchmarks compare with: Paho alone, sending the lines of a file, many to a
// message, QoS 1, a window in flight, nothing stored. Prints one JSON line with its own CPU time.
#include <MQTTAsync.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>

namespace {

std::mutex mutex;
std::condition_variable changed;
bool connected = false;
bool failed = false;
int in_flight = 0;

void on_connected(void*, MQTTAsync_successData5*) {
  const std::lock_guard lock(mutex);
  connected = true;
  changed.notify_one();
}
void on_failed(void*, MQTTAsync_failureData5*) {
  const std::lock_guard lock(mutex);
  failed = true;
  changed.notify_one();
}
void on_acknowledged(void*, MQTTAsync_successData5*) {
  const std::lock_guard lock(mutex);
  --in_flight;
  changed.notify_one();
}

[[noreturn]] void die(const char* what) {
  std::fprintf(stderr, "bare_publisher: %s\n", what);
  std::exit(1);
}

void publish(MQTTAsync client, const char* topic, std::string& payload, int window) {
  {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return in_flight < window || failed; });
    if (failed) die("publish failed");
    ++in_flight;
  }
  MQTTAsync_responseOptions options = MQTTAsync_responseOptions_initializer;
  options.onSuccess5 = on_acknowledged;
  options.onFailure5 = on_failed;
  if (MQTTAsync_send(client, topic, static_cast<int>(payload.size()), payload.data(), 1, 0,
                     &options) != MQTTASYNC_SUCCESS) {
    die("MQTTAsync_send");
  }
  payload.clear();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) die("usage: bare_publisher URL TOPIC FILE LINES_PER_MESSAGE WINDOW");
  const char* topic = argv[2];
  const int lines_per_message = std::atoi(argv[4]);
  const int window = std::atoi(argv[5]);

  MQTTAsync_createOptions create = MQTTAsync_createOptions_initializer5;
  create.maxBufferedMessages = window + 1;
  MQTTAsync client = nullptr;
  if (MQTTAsync_createWithOptions(&client, argv[1], "bare-publisher", MQTTCLIENT_PERSISTENCE_NONE,
                                  nullptr, &create) != MQTTASYNC_SUCCESS) {
    die("create");
  }
  MQTTAsync_connectOptions connect = MQTTAsync_connectOptions_initializer5;
  connect.maxInflight = window;
  connect.onSuccess5 = on_connected;
  connect.onFailure5 = on_failed;
  if (MQTTAsync_connect(client, &connect) != MQTTASYNC_SUCCESS) die("connect");
  {
    std::unique_lock lock(mutex);
    changed.wait(lock, [] { return connected || failed; });
    if (failed) die("the broker refused");
  }

  const int file = ::open(argv[3], O_RDONLY | O_CLOEXEC);
  if (file < 0) die("open");
  std::string buffer(128 * 1024, '\0');
  std::string payload;
  int lines = 0;
  long total = 0;
  for (;;) {
    const ssize_t got = ::read(file, buffer.data(), buffer.size());
    if (got <= 0) break;
    const char* at = buffer.data();
    const char* end = at + got;
    while (at < end) {
      const char* newline =
          static_cast<const char*>(std::memchr(at, '\n', static_cast<std::size_t>(end - at)));
      const char* stop = newline ? newline + 1 : end;
      payload.append(at, stop);
      at = stop;
      if (newline && ++lines == lines_per_message) {
        publish(client, topic, payload, window);
        lines = 0;
      }
      if (newline) ++total;
    }
  }
  ::close(file);
  if (!payload.empty()) publish(client, topic, payload, window);
  {
    std::unique_lock lock(mutex);
    changed.wait(lock, [] { return in_flight == 0 || failed; });
  }
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const double cpu_s = static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                       static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
  std::printf("{\"lines\":%ld,\"cpu_s\":%.6f}\n", total, cpu_s);
  std::fflush(stdout);
  std::_Exit(failed ? 1 : 0);
}
