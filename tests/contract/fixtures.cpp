#include "tests/contract/fixtures.hpp"

#include <fmt/format.h>

#include <map>
#include <memory>

#include "connectors/support/listen_address.hpp"
#include "tests/support/journal_writer.hpp"
#include "tests/support/modbus_server.hpp"
#include "tests/support/mqtt_broker.hpp"
#include "tests/support/net.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::tests::contract {
namespace {

using std::filesystem::path;

std::string file_yaml(const path& folder) {
  return fmt::format("start: beginning\npaths: [\"{}/*.log\"]\n", folder.string());
}
bool file_feed(const path& folder, std::size_t index) {
  append_file(folder / "app.log", fmt::format("line {}\n", index));
  return true;
}

std::string host_yaml(const path& folder) {
  return fmt::format("every: 1s\nproc_root: {0}/proc\nsys_root: {0}/sys\ncollect: [load]\n",
                     folder.string());
}
bool host_feed(const path& folder, std::size_t index) {
  std::filesystem::create_directories(folder / "proc");
  write_file(folder / "proc/loadavg", fmt::format("{}.5 0.1 0.1 1/80 100\n", index));
  return true;
}

std::string demo_yaml(const path&) { return "every: 1s\nseed: 3\n"; }
bool demo_feed(const path&, std::size_t) { return true; }

/// The port of a source that lies in `folder`: chosen once, then remembered there.
std::uint16_t port_of(const path& folder) {
  const path file = folder / "port";
  if (!std::filesystem::exists(file)) write_file(file, std::to_string(free_port()));
  return static_cast<std::uint16_t>(std::stoul(read_file(file)));
}
/// Another program holds the port.
std::shared_ptr<void> take_port(const path& folder) {
  const auto address =
      connectors::support::parse_listen_address(fmt::format("tcp://127.0.0.1:{}", port_of(folder)));
  auto fd = connectors::support::open_listener(*address, 0);
  return std::make_shared<UniqueFd>(std::move(*fd));
}
bool send_to_port(const path& folder, std::string_view text) {
  const UniqueFd fd = connect_tcp(port_of(folder));
  return fd.is_open() && send_all(fd.get(), text);
}

std::string socket_yaml(const path& folder) {
  return fmt::format("format: json\nlisten: tcp://127.0.0.1:{}\n", port_of(folder));
}
bool socket_feed(const path& folder, std::size_t index) {
  return send_to_port(folder, fmt::format("{{\"index\":{}}}\n", index));
}

std::string syslog_yaml(const path& folder) {
  return fmt::format("zone: utc\nlisten: tcp://127.0.0.1:{}\n", port_of(folder));
}
bool syslog_feed(const path& folder, std::size_t index) {
  return send_to_port(folder, fmt::format("<13>1 2026-11-25T18:00:00Z h a - - - {}\n", index));
}

// One device for each folder, for as long as the test program runs.
std::map<path, std::unique_ptr<ModbusServer>> devices;

std::string modbus_yaml(const path& folder) {
  return fmt::format(
      "every: 1s\naddress: tcp://127.0.0.1:{}\nread: [{{name: level, holding: 3}}]\n",
      port_of(folder));
}
bool modbus_feed(const path& folder, std::size_t index) {
  auto& device = devices[folder];
  if (!device) device = std::make_unique<ModbusServer>(ModbusServer::On::tcp, port_of(folder));
  device->change([index](auto& units) { units[1].holding[3] = static_cast<std::uint16_t>(index); });
  return true;
}
/// It comes back with the first feed.
std::shared_ptr<void> modbus_take_away(const path& folder) {
  devices.erase(folder);
  return std::make_shared<int>();
}

std::map<path, std::unique_ptr<JournalWriter>> journals;

std::string journald_yaml(const path& folder) {
  return fmt::format("start: beginning\ndirectory: \"{}\"\n", folder.string());
}
bool journald_feed(const path& folder, std::size_t index) {
  auto& journal = journals[folder];
  if (!journal) journal = std::make_unique<JournalWriter>(folder / "system.journal", 1);
  journal->append({fmt::format("MESSAGE=entry {}", index), "PRIORITY=6"});
  return true;
}

/// Its numbers go on far behind those that were there.
void journald_lose(const path& folder) {
  journals.erase(folder);
  std::filesystem::remove(folder / "system.journal");
  journals[folder] = std::make_unique<JournalWriter>(folder / "system.journal", 1000);
}

std::string http_yaml(const path& folder) {
  return fmt::format("path: /\nlisten: tcp://127.0.0.1:{}\n", port_of(folder));
}
bool http_feed(const path& folder, std::size_t index) {
  const UniqueFd fd = connect_tcp(port_of(folder));
  const std::string body = fmt::format("{{\"index\":{}}}", index);
  send_all(fd.get(), fmt::format("POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                                 "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
                                 body.size(), body));
  return receive_all(fd.get()).find(" 204 ") != std::string::npos;
}

/// A child that knows where it stands: the number of lines it has told.
constexpr std::string_view exec_child =
    R"(read -r start
n=$(printf %s "$start" | tr -dc 0-9)
tail -n +$((n + 1)) -F "$1" | while read -r line; do
  n=$((n + 1))
  case $line in
    gone) printf '{"lost":1,"position":"%s"}\n' "$n" ;;
    *) printf '{"events":[{"message":"%s"}],"position":"%s"}\n' "$line" "$n" ;;
  esac
done
)";
std::string exec_yaml(const path& folder) {
  write_file(folder / "child", exec_child);
  return fmt::format("cursor: true\ncommand: [sh, \"{0}/child\", \"{0}/lines\"]\n",
                     folder.string());
}
bool exec_feed(const path& folder, std::size_t index) {
  append_file(folder / "lines", fmt::format("line {}\n", index));
  return true;
}

void exec_lose(const path& folder) { append_file(folder / "lines", "gone\n"); }

std::map<path, std::unique_ptr<MqttBroker>> brokers;

std::string mqtt_yaml(const path& folder) {
  return fmt::format("qos: 2\nbroker: mqtt://127.0.0.1:{}\ntopics: [a]\nack_every: 0\n",
                     port_of(folder));
}
bool mqtt_feed(const path& folder, std::size_t index) {
  auto& broker = brokers[folder];
  if (!broker) broker = std::make_unique<MqttBroker>(port_of(folder));
  broker->publish("a", fmt::format("message {}", index), 2);
  return true;
}
std::shared_ptr<void> mqtt_take_away(const path& folder) {
  brokers.erase(folder);
  return std::make_shared<int>();
}

constexpr Fixture all[] = {
    {"file", file_yaml, file_feed},
    {"host", host_yaml, host_feed},
    {"demo", demo_yaml, demo_feed},
    {"socket", socket_yaml, socket_feed, true, take_port},
    {"syslog", syslog_yaml, syslog_feed, true, take_port},
    {"exec", exec_yaml, exec_feed, false, nullptr, exec_lose},
    {"journald", journald_yaml, journald_feed, false, nullptr, journald_lose},
    {"modbus", modbus_yaml, modbus_feed, false, modbus_take_away},
    {"http", http_yaml, http_feed, true, take_port},
    {"mqtt", mqtt_yaml, mqtt_feed, false, mqtt_take_away},
};

}  // namespace

std::span<const Fixture> fixtures() { return all; }

const Fixture* find_fixture(std::string_view type) {
  for (const Fixture& fixture : all) {
    if (fixture.type == type) return &fixture;
  }
  return nullptr;
}

}  // namespace penstock::tests::contract
